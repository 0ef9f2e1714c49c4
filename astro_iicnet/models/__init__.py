"""Networks by name, and the files that hold them."""

import inspect
from typing import Any

from torch import nn

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.models.checkpoint import read_checkpoint, read_metadata, save_checkpoint
from astro_iicnet.models.iicnet import IICnet

__all__ = [
    "ARCHITECTURES",
    "IICnet",
    "build_model",
    "read_checkpoint",
    "read_metadata",
    "save_checkpoint",
]

ARCHITECTURES: dict[str, type[nn.Module]] = {"iicnet": IICnet}
"""What weights may name as their architecture."""


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
        If there is no such architecture, or it has no such option.
    """
    if architecture not in ARCHITECTURES:
        raise IICnetError(unknown_name("architecture", architecture, ARCHITECTURES))
    network = ARCHITECTURES[architecture]
    known = inspect.signature(network).parameters
    for option in options:
        if option not in known:
            raise IICnetError(unknown_name(f"option of {architecture}", option, known))
    return network(**options)
