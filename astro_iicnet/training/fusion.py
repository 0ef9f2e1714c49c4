"""Weights of the networks that look at magnitudes, from labelled cutouts."""

from collections.abc import Mapping, Sequence

from astropy.table import Table

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.magnitudes import MeasuredSources, train_on_magnitudes
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.weights import Weights, new_weights


def train_color_weights(
    name: str,
    data: Mapping[str, MeasuredSources],
    bands: Sequence[str],
    settings: TrainingSettings,
    *,
    features: str = "magnitudes",
) -> tuple[Weights, Table]:
    """Train a colour network from scratch.

    Parameters
    ----------
    name : str
        Name of the new weights.
    data : mapping of str to MeasuredSources
        ``train`` and ``validation``.
    bands : sequence of str
        Bands of the data.
    settings : TrainingSettings
        See `~astro_iicnet.training.magnitudes.train_on_magnitudes`.
    features : {"magnitudes", "colours"}, default "magnitudes"
        See `~astro_iicnet.fusion.networks.ColorNet`.

    Returns
    -------
    weights : Weights
        The network.
    history : `~astropy.table.Table`
        Of its training.

    Raises
    ------
    IICnetError
        As `~astro_iicnet.training.magnitudes.train_on_magnitudes`, or if there are no such features.
    """
    weights = new_weights(name, architecture="color", bands=bands, seed=settings.seed, features=features)
    history = train_on_magnitudes(weights.model, data["train"], data["validation"], settings)  # type: ignore[arg-type]
    return weights, history


def train_fusion_weights(
    name: str, data: Mapping[str, MeasuredSources], image: Weights, settings: TrainingSettings
) -> tuple[Weights, Table]:
    """Train a fusion network: first its colour branch alone, then all but its image branch.

    Parameters
    ----------
    name : str
        Name of the new weights.
    data : mapping of str to MeasuredSources
        ``train`` and ``validation``, with the features of ``image``.
    image : Weights
        The image branch, which stays as it is; its recipe and bands are those of the new weights.
    settings : TrainingSettings
        See `~astro_iicnet.training.magnitudes.train_on_magnitudes`; for both trainings.

    Returns
    -------
    weights : Weights
        The network.
    history : `~astropy.table.Table`
        Of the second training.

    Raises
    ------
    IICnetError
        As `~astro_iicnet.training.magnitudes.train_on_magnitudes`.
    """
    color, _ = train_color_weights(name, data, image.bands, settings)
    options = {key: value for key, value in image.record["options"].items() if key == "first_kernel"}
    recipe = image.preprocess.recipe
    weights = new_weights(
        name,
        architecture="fusion",
        bands=image.bands,
        recipe=recipe.name,
        size=recipe.size,
        seed=settings.seed,
        **options,
    )
    weights.model.start_from(image.model.cpu(), color.model)  # type: ignore[operator]
    weights.record["started_from"] = {"name": image.name, "sha256": image.record["sha256"]}
    history = train_on_magnitudes(weights.model, data["train"], data["validation"], settings)  # type: ignore[arg-type]
    return weights, history


def check_image_branch(image: Weights, bands: Sequence[str], survey: str) -> None:
    """Refuse weights that cannot be the image branch of a fusion network for these data.

    Parameters
    ----------
    image : Weights
        The weights.
    bands : sequence of str
        Bands of the data.
    survey : str
        Survey of the data.

    Raises
    ------
    IICnetError
        If they are not those of an IICnet in these bands and of this survey.
    """
    found = {
        "architecture": image.record["architecture"],
        "bands": ",".join(image.bands),
        "survey": image.record["survey"],
    }
    expected = {"architecture": "iicnet", "bands": ",".join(bands), "survey": survey}
    for key, value in expected.items():
        if found[key] != value:
            raise IICnetError(
                f"The image branch {image.name!r} has {key} {found[key]}: expected {value}, for these data. "
                "Take others, or some bands alone (--bands)."
            )
