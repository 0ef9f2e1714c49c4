"""How large a network is, and how much it computes."""

from collections.abc import Sequence

import torch
from torch import nn


def count_parameters(model: nn.Module) -> int:
    """Count what a training may change.

    Parameters
    ----------
    model : torch.nn.Module
        The network.

    Returns
    -------
    int
        Number of parameters; the statistics of batch normalisation are none.
    """
    return sum(parameter.numel() for parameter in model.parameters())


def count_multiply_adds(
    model: nn.Module, in_channels: int = 3, size: int = 80, *, inputs: Sequence[str] = ("image",)
) -> int:
    """Count the multiply-adds of all convolutions and linear layers for one source.

    Parameters
    ----------
    model : torch.nn.Module
        The network; it runs once, in evaluation mode, on the device where it is.
    in_channels : int, default 3
        Bands of the image.
    size : int, default 80
        Pixels on a side.
    inputs : sequence of str, default ("image",)
        What the network takes, see `~astro_iicnet.weights.Weights`; "magnitudes" of as many bands.

    Returns
    -------
    int
        Multiply-adds. Normalisation, activations, pools and biases are left out; published
        totals may hold some of them.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        # One filter of a convolution, one row of a linear layer: what makes one output value.
        weight = layer.weight
        total += output.numel() * weight[0].numel()  # type: ignore[index]

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, kinds)]
    training = model.training
    device = next(model.parameters()).device
    shapes = {"image": (1, in_channels, size, size), "magnitudes": (1, 2, in_channels)}
    try:
        with torch.no_grad():
            model.eval()(*(torch.zeros(shapes[name], device=device) for name in inputs))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return total
