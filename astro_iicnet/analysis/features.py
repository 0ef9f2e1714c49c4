"""What the network looks at: maps of its layers, and the pixels that made it decide."""

import importlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES
from astro_iicnet.models.iicnet import IICnet
from astro_iicnet.models.layers import CBAM, RFB
from astro_iicnet.weights import Weights

_LAYERS: dict[str, type[nn.Module]] = {"conv1": nn.ReLU, "RFB": RFB, "CBAM": CBAM}


def feature_maps(weights: Weights, cutouts: Cutouts) -> dict[str, np.ndarray]:
    """Give the maps after the first convolution, the RFB and the first attention module.

    Parameters
    ----------
    weights : Weights
        Weights of the architecture "iicnet", as `~astro_iicnet.weights.load_weights` gives them.
    cutouts : Cutouts
        N sources with the bands of the weights.

    Returns
    -------
    dict of str to numpy.ndarray
        "conv1", "RFB" and "CBAM" -> (N, S / 2, S / 2) float32 mean over the channels, for an input of
        S x S; row 0 at the bottom.

    Raises
    ------
    IICnetError
        If the architecture is another, or a band is missing.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 11.
    """
    model = weights.model
    if not isinstance(model, IICnet):
        raise IICnetError(
            f"Feature maps are those of the architecture 'iicnet', but {weights.name!r} is a "
            f"{type(model).__name__}."
        )
    maps: dict[str, np.ndarray] = {}

    def layer_of(name: str) -> nn.Module:
        # The first of its kind: after the first convolution there is one RFB and then the first CBAM.
        return next(layer for layer in model.features if isinstance(layer, _LAYERS[name]))

    def store(name: str, output: Tensor) -> None:
        maps[name] = output.mean(dim=1).float().cpu().numpy()

    hooks = [
        layer_of(name).register_forward_hook(lambda _layer, _input, output, name=name: store(name, output))
        for name in _LAYERS
    ]
    try:
        with torch.inference_mode():
            model(_network_input(weights, cutouts))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: maps[name] for name in _LAYERS}


def attribute(
    weights: Weights, cutouts: Cutouts, *, classes: Sequence[str] | None = None, n_steps: int = 32
) -> np.ndarray:
    """Share the score of a class out among the pixels of the network's input, by integrated gradients.

    Parameters
    ----------
    weights : Weights
        As `~astro_iicnet.weights.load_weights` gives them.
    cutouts : Cutouts
        N sources with the bands of the weights.
    classes : sequence of str, optional
        N classes whose scores are explained. Default: the class found for each.
    n_steps : int, default 32
        Steps of the integral from an empty image (background everywhere) to the image.

    Returns
    -------
    numpy.ndarray
        (N, B, S, S) float32, S the size of the network's input: positive where a pixel speaks for the
        class. The sum over a source is about the logit less that of an empty image.

    Raises
    ------
    IICnetError
        If captum is not installed, the weights look at magnitudes, a class is unknown, or a band is missing.

    References
    ----------
    Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365.
    """
    try:
        captum = importlib.import_module("captum.attr")
    except ModuleNotFoundError:
        raise IICnetError(
            "Attribution needs captum, which is not installed: pip install 'astro_iicnet[analysis]'."
        ) from None
    if weights.inputs != ("image",):
        raise IICnetError(f"{weights.name!r} looks at magnitudes too: attribution is for images alone.")
    images = _network_input(weights, cutouts)
    if classes is None:
        with torch.no_grad():
            target = weights.model(images).argmax(dim=1)
    else:
        if len(classes) != len(cutouts) or not set(classes) <= set(CLASSES):
            raise IICnetError(
                f"classes is {list(classes)!r}: expected {len(cutouts)} names out of {', '.join(CLASSES)}."
            )
        target = torch.tensor([CLASSES.index(name) for name in classes], device=images.device)
    method = captum.IntegratedGradients(weights.model)
    found = method.attribute(images, target=target, n_steps=n_steps, internal_batch_size=64)
    return found.detach().float().cpu().numpy()


def _network_input(weights: Weights, cutouts: Cutouts) -> Tensor:
    device = next(weights.model.parameters()).device
    cutouts = cutouts.select_bands(weights.bands)
    # Pixels of a FITS file are big-endian, which torch does not take.
    pixels = torch.from_numpy(np.asarray(cutouts.pixels).astype(np.float32)).to(device)
    offset = torch.from_numpy(np.asarray(cutouts.offset).astype(np.float32)).to(device)
    with torch.no_grad():
        images: Tensor = weights.preprocess(pixels, offset)
    return images
