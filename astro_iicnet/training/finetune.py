"""Train on from weights that have learnt something already."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.networks import ColorNet, FusionNet
from astro_iicnet.models import ARCHITECTURES
from astro_iicnet.models.svm import IICnetSVM
from astro_iicnet.weights.load import Weights, load_weights, new_weights
from astro_iicnet.weights.registry import OPTIONAL


def start_from(
    start: str | Path,
    name: str,
    *,
    bands: Sequence[str],
    survey: str = "allwise-atlas",
    **choices: Any,
) -> Weights:
    """Weights to be trained on, under a name of their own.

    Architecture, options and preprocessing are those of the weights to start from; nothing is
    replaced, so nothing of what they have learnt is lost. Data may have more bands than the weights,
    behind theirs: the first layer then takes these too, with weights of 0, so that the network
    answers as before until it is trained.

    Parameters
    ----------
    start : str or pathlib.Path
        Weights to start from: a name, or the path of a ``.safetensors`` file.
    name : str
        Name of the new weights.
    bands : sequence of str
        Bands of the data, in their order: those of the weights, and after them any others.
    survey : str, default "allwise-atlas"
        Survey of the data.
    **choices
        What the caller asked for, None where nothing: ``architecture``, ``recipe``, ``size`` or an
        option of the architecture. They must agree with the weights.

    Returns
    -------
    Weights
        For `~astro_iicnet.training.loop.train`, then `~astro_iicnet.weights.save_weights`. Entry
        ``started_from`` of the record is name and SHA-256 of the weights to start from; their
        temperature, data and metrics are not in it.

    Raises
    ------
    WeightsError
        If the weights cannot be found or read.
    IICnetError
        If bands, survey or a choice contradict the weights.
    """
    weights = load_weights(start)
    if weights.inputs != ("image",):
        raise IICnetError(
            f"The weights {weights.name!r} look at {' and '.join(weights.inputs)}: only networks that "
            "look at the image alone can be trained on."
        )
    record = weights.record
    if len(bands) > len(weights.bands) and tuple(bands[: len(weights.bands)]) == weights.bands:
        weights = _widen(weights, tuple(bands))
    defaults = inspect.signature(ARCHITECTURES[record["architecture"]]).parameters.values()
    has = {option.name: option.default for option in defaults} | record["options"]
    has |= {"architecture": record["architecture"], "bands": list(weights.bands)}
    has |= {"recipe": record["recipe"], "size": weights.preprocess.recipe.size, "survey": record["survey"]}
    asked = {"bands": list(bands), "survey": survey} | choices
    for choice, value in asked.items():
        if value is not None and has.get(choice) != value:
            raise IICnetError(
                f"{choice}={_plain(value)} contradicts the weights {weights.name!r} to start from, which "
                f"have {_plain(has.get(choice))}: leave it out, take data to match, or train from scratch."
            )
    kept = ("architecture", "options", "bands", "recipe", "survey", "classes")
    new = {"name": name} | OPTIONAL | {key: weights.record[key] for key in kept}
    new["started_from"] = {"name": weights.name, "sha256": record["sha256"]}
    return Weights(new, weights.model, weights.preprocess)


def check_trainable(model: nn.Module) -> None:
    """Refuse a network that does not learn from images by gradient.

    Parameters
    ----------
    model : torch.nn.Module
        The network.

    Raises
    ------
    IICnetError
        If it has a support vector machine, or looks at magnitudes.
    """
    if isinstance(model, IICnetSVM):
        raise IICnetError(
            "A support vector machine is fitted, not trained: see astro_iicnet.training.svm.fit_svm."
        )
    if isinstance(model, ColorNet | FusionNet):
        raise IICnetError(
            f"A {type(model).__name__} looks at magnitudes: see astro_iicnet.training.fusion, or "
            "'astro-iicnet train --architecture'."
        )


def _widen(weights: Weights, bands: tuple[str, ...]) -> Weights:
    """The same network with more bands, which do not count yet."""
    record, recipe = weights.record, weights.preprocess.recipe
    options = {
        key: value for key, value in record["options"].items() if key not in ("in_channels", "n_classes")
    }
    wide = new_weights(
        weights.name,
        architecture=record["architecture"],
        bands=bands,
        recipe=record["recipe"],
        size=recipe.size,
        **options,
    )
    state = wide.model.state_dict()
    for name, tensor in weights.model.state_dict().items():
        if tensor.shape == state[name].shape:
            state[name].copy_(tensor)
        else:
            # Only the first convolution knows the number of bands.
            state[name].zero_()[:, : len(weights.bands)] = tensor
    return wide


def _plain(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
