"""What batch normalisation uses after the training: means over many batches."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def settling_step(steps: int) -> int:
    """Step of an epoch at which the averages begin: a quarter before its end, 200 steps at most.

    Parameters
    ----------
    steps : int
        Steps of an epoch, at least 1.

    Returns
    -------
    int
        Number of the step, from 0.
    """
    return steps - max(1, min(200, steps // 4))


def restart_statistics(model: nn.Module) -> None:
    """Begin the averages of mean and variance anew; from here on, all batches count alike.

    PyTorch's running averages follow the last ten batches or so. Where a few sources are much
    brighter than the rest, as in crowded skies, that makes the validation of an epoch a lottery.

    Parameters
    ----------
    model : torch.nn.Module
        A network with any number of normalisations; changed in place. What it does in training stays
        the same.

    References
    ----------
    Wu & Johnson 2021, arXiv:2105.07576, Sec. 3.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None
            module.reset_running_stats()
