"""A trained network that teaches another one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models.device import autocast, choose_device, choose_precision
from astro_iicnet.weights import Weights

_BATCH = 256


class Teacher:
    """Probabilities of trained weights for the cutouts of a batch, to be learnt by another network.

    They say more than a label: how much a source looks like each class. The teacher sees the cutouts
    through its own preprocessing and upright, and is calibrated by its temperature.

    Parameters
    ----------
    weights : Weights
        The trained network, as `~astro_iicnet.weights.load_weights` gives it; it looks at an image.
    bands : sequence of str, optional
        Bands of the cutouts that it will be asked about, those of the weights among them. Default: those of
        the weights.
    device : str, default "auto"
        A torch device, that of the training; "auto" is CUDA where there is one, else the CPU.

    Raises
    ------
    IICnetError
        If the weights look at more than an image, or at a band that the cutouts lack.

    References
    ----------
    Hinton, Vinyals & Dean 2015, arXiv:1503.02531.
    """

    def __init__(self, weights: Weights, *, bands: Sequence[str] | None = None, device: str = "auto") -> None:
        seen = weights.bands if bands is None else tuple(bands)
        if weights.inputs != ("image",) or not set(weights.bands) <= set(seen):
            raise IICnetError(
                f"The teacher {weights.name} looks at {' and '.join(weights.inputs)} in "
                f"{','.join(weights.bands)}, the cutouts are images in {','.join(seen)}: take another "
                "teacher, or cutouts in its bands."
            )
        self._columns = [seen.index(band) for band in weights.bands]
        self._device = choose_device(device)
        self._precision = choose_precision("auto", self._device)
        model: nn.Module = weights.model.eval()
        self._model = model.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._preprocess = weights.preprocess.to(self._device)
        self._temperature = float(weights.record["temperature"])
        self.name = weights.name
        self._sha256 = weights.record["sha256"]

    def __repr__(self) -> str:
        return f"<Teacher {self.name} {self._sha256[:12]}>"

    @torch.no_grad()
    def __call__(self, pixels: Tensor, offset: Tensor) -> Tensor:
        """Probabilities of the classes.

        Parameters
        ----------
        pixels : torch.Tensor
            (N, B, S, S) [DN], in the bands that it was made for.
        offset : torch.Tensor
            (N, 2) [px].

        Returns
        -------
        torch.Tensor
            (N, 3) float32, rows summing to 1.
        """
        images = self._preprocess(pixels[:, self._columns], offset).contiguous(
            memory_format=torch.channels_last
        )
        with autocast(self._device, self._precision):
            logits = self._model(images)
        return torch.softmax(logits.float() / self._temperature, dim=1)


def ask(
    teacher: Callable[[Tensor, Tensor], Tensor], pixels: Tensor, offset: Tensor, device: torch.device
) -> Tensor:
    """Ask a teacher about each cutout, upright, batch by batch.

    Parameters
    ----------
    teacher : callable
        ``(pixels, offset)`` to (N, 3) probabilities, as a `Teacher`.
    pixels : torch.Tensor
        (N, B, S, S) [DN].
    offset : torch.Tensor
        (N, 2) [px].
    device : torch.device
        Where the teacher is.

    Returns
    -------
    torch.Tensor
        (N, 3) float32, where the pixels are.
    """
    parts = [
        teacher(some.to(device), places.to(device)).to(pixels.device)
        for some, places in zip(pixels.split(_BATCH), offset.split(_BATCH), strict=True)
    ]
    return torch.cat(parts)
