"""A fusion network, put together from trained branches."""

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.weights import Weights, new_weights


def new_fusion_weights(name: str, image: Weights, color: Weights, *, seed: int = 0) -> Weights:
    """A fusion network that answers as its image branch until it is trained.

    Parameters
    ----------
    name : str
        Name of the new weights.
    image : Weights
        An IICnet; its bands, survey and preprocessing are those of the new weights.
    color : Weights
        A colour network with magnitudes, in the same bands.
    seed : int, default 0
        Of the random numbers in what joins the two.

    Returns
    -------
    Weights
        For `~astro_iicnet.training.magnitudes.train_on_magnitudes`, which leaves the image branch as it
        is. Entry ``started_from`` of the record is name and SHA-256 of that branch.

    Raises
    ------
    IICnetError
        If the branches are other networks, or do not fit together.
    """
    if image.record["architecture"] != "iicnet":
        raise IICnetError(
            f"The weights {image.name!r} have the architecture {image.record['architecture']!r}: the image "
            "branch of a fusion network is an 'iicnet'."
        )
    if image.bands != color.bands:
        raise IICnetError(
            f"The image branch {image.name!r} looks at {','.join(image.bands)}, the colours are of "
            f"{','.join(color.bands)}: take other weights, or some bands alone (--bands)."
        )
    recipe = image.preprocess.recipe
    weights = new_weights(
        name,
        architecture="fusion",
        bands=image.bands,
        recipe=recipe.name,
        size=recipe.size,
        seed=seed,
        first_kernel=image.record["options"].get("first_kernel", 5),
    )
    weights.model.start_from(image.model, color.model)  # type: ignore[operator]
    weights.record["survey"] = image.record["survey"]
    weights.record["started_from"] = {"name": image.name, "sha256": image.record["sha256"]}
    return weights
