"""Networks by name, and the files that hold them."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.models.baselines import (
    efficientnet_v2_s,
    googlenet,
    mobilenet_v1,
    repvgg,
    resnet34,
    vgg16,
)
from astro_iicnet.models.checkpoint import read_checkpoint, read_metadata, save_checkpoint
from astro_iicnet.models.iicnet import IICnet
from astro_iicnet.models.student import Student
from astro_iicnet.models.svm import IICnetSVM

__all__ = [
    "ARCHITECTURES",
    "IICnet",
    "IICnetSVM",
    "NATIVE_SIZES",
    "Student",
    "build_model",
    "read_checkpoint",
    "read_metadata",
    "save_checkpoint",
]

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "iicnet": IICnet,
    "iicnet_svm": IICnetSVM,
    "student": Student,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet34": resnet34,
    "mobilenet_v1": mobilenet_v1,
    "efficientnet_v2_s": efficientnet_v2_s,
    "repvgg": repvgg,
}
"""What weights may name as their architecture; each takes ``in_channels`` and ``n_classes``.

The last six are the peers of the paper, see `~astro_iicnet.models.baselines`.
"""


NATIVE_SIZES: dict[str, int] = {"student": 36}
"""Pixels on a side of the input that an architecture was made for, where that is not the recipe's size."""


def build_model(architecture: str, **options: Any) -> nn.Module:
    """A fresh network of a named architecture.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES`, as in "iicnet".
    **options
        What the architecture takes, as in ``in_channels=4``.

    Returns
    -------
    torch.nn.Module
        The network with random weights, in training mode.

    Raises
    ------
    IICnetError
        If there is no such architecture, it has no such option, or a library that it needs is missing.
    """
    if architecture not in ARCHITECTURES:
        raise IICnetError(unknown_name("architecture", architecture, ARCHITECTURES))
    network = ARCHITECTURES[architecture]
    known = inspect.signature(network).parameters
    for option in options:
        if option not in known:
            raise IICnetError(unknown_name(f"option of {architecture}", option, known))
    return network(**options)
