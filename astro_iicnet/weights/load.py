"""From a name or a path to a network that is ready to use, verified on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astro_iicnet.exceptions import IICnetError, WeightsError, unknown_name
from astro_iicnet.labels import CLASSES
from astro_iicnet.weights.find import find_weights
from astro_iicnet.weights.registry import OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from torch import nn

    from astro_iicnet.preprocessing import Preprocess


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained network and the preprocessing that it was trained with.

    Parameters
    ----------
    record : dict
        What is known about the weights, see `~astro_iicnet.weights.read_registry`.
    model : torch.nn.Module
        (N, B, size, size) to (N, 3) logits, of the size in the recipe, as a rule 80; evaluation
        mode, on the CPU. A network that looks at magnitudes (see ``inputs``) takes them as
        `~astro_iicnet.fusion.networks.photometry_tensor` gives them, after the image if any.
    preprocess : `~astro_iicnet.preprocessing.Preprocess`
        ``pixels`` (N, B, S, S) [DN] and ``offset`` (N, 2) [px] to (N, B, size, size).
    """

    record: dict[str, Any]
    model: "nn.Module" = field(repr=False)
    preprocess: "Preprocess" = field(repr=False)

    @property
    def name(self) -> str:
        """Name with version, as in "iicnet-sim-v3"."""
        return self.record["name"]

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that the network looks at, in its order."""
        return tuple(self.record["bands"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the network takes, in this order: "image", "magnitudes" or both."""
        from astro_iicnet.fusion.origin import INPUTS

        return INPUTS.get(self.record["architecture"], ("image",))


def load_weights(weights: str | Path | None = None, *, progress: bool = True) -> Weights:
    """Load weights by name or from a file.

    Parameters
    ----------
    weights : str or pathlib.Path, optional
        A name of the registry of the package or of the private one (`~astro_iicnet.weights.add_weights`),
        whose file must have the SHA-256 of its record and is fetched if it is not on this disk; or the
        path of a ``.safetensors`` file, which brings architecture, bands and recipe in its header.
        Default: the default weights of the package.
    progress : bool, default True
        Whether to show a progress bar on stderr where a file is fetched.

    Returns
    -------
    Weights
        Record, network and preprocessing.

    Raises
    ------
    WeightsError
        If the name is unknown, the file missing, damaged, not to be had or not weights of this package.
    """
    path, record = find_weights(weights, progress=progress)
    return _build(path, record)


def new_weights(
    name: str,
    *,
    architecture: str = "iicnet",
    bands: Sequence[str] = ("W1", "W2", "W3"),
    recipe: str = "calibrated",
    size: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Weights:
    """A network that has learnt nothing yet, with its preprocessing and the start of its record.

    Parameters
    ----------
    name : str
        Name with version, as in "iicnet-sim-v3".
    architecture : str, default "iicnet"
        See `~astro_iicnet.models.ARCHITECTURES`.
    bands : sequence of str, default ("W1", "W2", "W3")
        What the network will look at.
    recipe : str, default "calibrated"
        See `~astro_iicnet.preprocessing.RECIPES`.
    size : int, optional
        Pixels on a side of the network's input. Default: that which the architecture was made for,
        80 of the recipe but for `~astro_iicnet.models.NATIVE_SIZES`.
    seed : int, default 0
        Of the random numbers in the network.
    **options
        What the architecture takes beside channels and classes, as in ``first_kernel=3``.

    Returns
    -------
    Weights
        For `~astro_iicnet.training.loop.train`, then `save_weights`.

    Raises
    ------
    IICnetError
        If there is no such architecture, option, band or recipe, or the size is out of range.
    """
    import torch

    from astro_iicnet.allwise.bands import zero_points
    from astro_iicnet.fusion.networks import build_model
    from astro_iicnet.models import NATIVE_SIZES
    from astro_iicnet.preprocessing import RECIPES, Preprocess

    if recipe not in RECIPES:
        raise IICnetError(unknown_name("recipe", recipe, RECIPES))
    record = {
        "name": name,
        "architecture": architecture,
        "options": {"in_channels": len(bands), "n_classes": len(CLASSES)} | options,
        "bands": list(bands),
        "recipe": recipe,
        "survey": "allwise-atlas",
    } | OPTIONAL
    size = NATIVE_SIZES.get(architecture, RECIPES[recipe].size) if size is None else size
    chosen = replace(RECIPES[recipe], size=size)
    preprocess = Preprocess(chosen, tuple(bands), zero_points(bands))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model(architecture, **record["options"])
    return Weights(record, model, preprocess)


def save_weights(path: str | Path, weights: Weights, **facts: Any) -> Path:
    """Write weights to a file that `load_weights` reads.

    Parameters
    ----------
    path : str or pathlib.Path
        File to write, by custom ``<name>.safetensors``.
    weights : Weights
        What to write.
    **facts
        What has been learnt about them, in place of what the record says: ``temperature``,
        ``training_data``, ``training_fractions``, ``started_from``, ``metrics``, ``licence``,
        ``citation``, ``name``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    WeightsError
        If a fact is unknown or the file cannot be written.
    """
    from astro_iicnet.models.checkpoint import save_checkpoint

    written = {"name", *REQUIRED, *OPTIONAL}
    known = OPTIONAL | {key: value for key, value in weights.record.items() if key in written}
    for fact in facts:
        if fact not in ("name", *OPTIONAL):
            raise WeightsError(unknown_name("fact about weights", fact, ("name", *OPTIONAL)))
    metadata = known | facts | {"recipe": weights.preprocess.recipe.to_dict()}
    save_checkpoint(path, weights.model, metadata)
    return Path(path)


def _build(path: Path, record: dict[str, Any]) -> Weights:
    from astro_iicnet.allwise.bands import zero_points
    from astro_iicnet.fusion.networks import build_model
    from astro_iicnet.models.checkpoint import read_checkpoint
    from astro_iicnet.preprocessing import Preprocess, Recipe

    state, metadata = read_checkpoint(path)
    try:
        model = build_model(record["architecture"], **record["options"])
        model.load_state_dict(state)
        recipe = Recipe.from_dict(metadata["recipe"])
        preprocess = Preprocess(recipe, tuple(record["bands"]), zero_points(record["bands"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"The weights in {str(path)!r} do not fit their own header: {error}") from error
    return Weights(record, model.eval(), preprocess.eval())
