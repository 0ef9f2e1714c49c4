"""From cutouts and magnitudes to probabilities, batch by batch."""

from typing import TYPE_CHECKING

import numpy as np

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.fusion.colours import Magnitudes
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from astro_iicnet.preprocessing import Preprocess


def find_probabilities(
    weights: Weights,
    cutouts: Cutouts,
    magnitudes: Magnitudes | None,
    *,
    device: "torch.device",
    batch_size: int | None = None,
    average: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a network to sources.

    Parameters
    ----------
    weights : Weights
        The network, on the device.
    cutouts : Cutouts
        N sources in the bands of the weights; a network that looks at magnitudes alone needs no pixels.
    magnitudes : Magnitudes or None
        Of the same sources; None where the network looks at none.
    device : torch.device
        Where it runs.
    batch_size : int, optional
        Sources at a time. Default: 32 on the CPU, 256 elsewhere.
    average : bool, default False
        Mean of the probabilities of each image in its eight orientations.

    Returns
    -------
    probabilities : numpy.ndarray
        (N, 3) float32 in the order of `~astro_iicnet.labels.CLASSES`; NaN where unknown.
    status : numpy.ndarray
        (N,) uint8 codes of `~astro_iicnet.labels.Status`.
    """
    import torch

    from astro_iicnet.fusion.networks import apply_network, magnitude_status, photometry_tensor

    status = np.array(cutouts.status, dtype=np.uint8)
    if cutouts.has_pixels:
        missing = core_is_missing(cutouts.pixels, cutouts.offset)
        status[(status == Status.OK) & missing] = Status.BAD_PIXELS
    photometry = None
    if magnitudes is not None:
        status = np.where(status == Status.OK, magnitude_status(weights.model, magnitudes), status)
        photometry = photometry_tensor(magnitudes).to(device)
    sees = "image" in weights.inputs
    preprocess = _preprocess(weights, cutouts.magzp).to(device) if sees else None
    temperature = float(weights.record["temperature"])
    batch_size = batch_size or (32 if device.type == "cpu" else 256)
    probabilities = np.full((len(cutouts), len(CLASSES)), np.nan, dtype=np.float32)
    rows = np.flatnonzero(status == Status.OK)
    # TF32 rounds to 10 bits: probabilities would change with the batch size in the third digit.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            measured = None if photometry is None else photometry[torch.from_numpy(batch).to(device)]
            found = []
            for image in _images(cutouts, batch, preprocess, device, average):
                logits = apply_network(weights.model, image, measured).float()
                found.append(torch.softmax(logits / temperature, dim=1))
            probabilities[batch] = torch.stack(found).mean(dim=0).cpu().numpy()
    return probabilities, status


def _preprocess(weights: Weights, magzp: np.ndarray) -> "Preprocess":
    """The preprocessing of the weights for images of these zero points."""
    from astro_iicnet.preprocessing import Preprocess

    # An image source without a single image does not know the zero points.
    magzp = np.where(np.isfinite(magzp), magzp, zero_points(weights.bands))
    if np.allclose(magzp, zero_points(weights.bands), rtol=0, atol=1e-4):
        return weights.preprocess
    return Preprocess(weights.preprocess.recipe, weights.bands, magzp)


def _images(
    cutouts: Cutouts, rows: np.ndarray, preprocess: "Preprocess | None", device: "torch.device", average: bool
) -> "Iterator[torch.Tensor | None]":
    """What a network is to see of some rows, one after the other: (M, B, S, S), or None without an image."""
    import torch

    from astro_iicnet.preprocessing import orientations

    if preprocess is None:
        yield None
        return
    # Pixels of a FITS file are big-endian, which torch does not take.
    pixels = torch.from_numpy(cutouts.pixels[rows].astype(np.float32)).to(device)
    offset = torch.from_numpy(cutouts.offset[rows].astype(np.float32)).to(device)
    images = preprocess(pixels, offset)
    for image in orientations(images) if average else (images,):
        yield image.to(memory_format=torch.channels_last)
