"""Cut many squares out of one image at once."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from astro_iicnet.cutouts.base import CUTOUT_SIZE
from astro_iicnet.exceptions import ImagesError

_CHUNK = 256  # cutouts gathered at a time: they stay in the cache while their bytes are swapped


def cut_image(
    image: np.ndarray, x: ArrayLike, y: ArrayLike, size: int = CUTOUT_SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square around each of many positions in one image.

    Nothing is resampled: the middle pixel is the one that holds the position, and where in it the
    position lies is told by the offset.

    Parameters
    ----------
    image : numpy.ndarray
        (ny, nx), any numeric type and byte order; a memory map is read only where cutouts lie.
    x, y : array_like
        (N,) positions [px], 0 at the centre of the first pixel. NaN gives a cutout of NaN.
    size : int, optional
        Odd number of pixels on a side, by default 41.

    Returns
    -------
    pixels : numpy.ndarray
        (N, size, size) float32 in native byte order, NaN outside the image.
    offset : numpy.ndarray
        (N, 2) float32 [px], (x, y): position minus middle pixel, within +-0.5; 0 for a NaN position.

    Raises
    ------
    ImagesError
        If ``image`` is not two-dimensional or ``size`` not a positive odd number.
    """
    if np.ndim(image) != 2:
        raise ImagesError(f"image has {np.ndim(image)} dimensions, expected 2: (ny, nx).")
    if size < 1 or size % 2 == 0:
        raise ImagesError(f"size is {size}, expected a positive odd number of pixels.")
    position = np.stack(np.broadcast_arrays(*np.atleast_1d(x, y)), axis=1).astype(float)
    limit = np.array(image.shape[::-1])
    usable = np.all(np.isfinite(position), axis=1)
    position[~usable] = -2 * size
    middle = np.floor(position + 0.5)
    offset = (position - middle).astype(np.float32)
    # Far outside is as good as just outside, and fits into an integer.
    corner = np.clip(middle, -size, limit + size).astype(int) - size // 2

    pixels = np.empty((len(position), size, size), dtype=np.float32)
    inside = np.all((corner >= 0) & (corner + size <= limit), axis=1)
    by_row = np.argsort(corner[:, 1])  # neighbours on disk and in the cache
    for rows in _chunks(by_row[inside[by_row]]):
        windows = sliding_window_view(image, (size, size))
        pixels[rows] = windows[corner[rows, 1], corner[rows, 0]]
    for rows in _chunks(by_row[~inside[by_row]]):
        pixels[rows] = _cut_across_edge(image, corner[rows], size)
    return pixels, offset


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]


def _cut_across_edge(image: np.ndarray, corner: np.ndarray, size: int) -> np.ndarray:
    """(M, size, size) float32 from the lower left corners (M, 2), NaN where there is no image."""
    columns, rows = np.moveaxis(corner[:, :, None] + np.arange(size), 1, 0)
    ny, nx = image.shape
    if ny == 0 or nx == 0:
        return np.full((len(corner), size, size), np.nan, dtype=np.float32)
    cut = image[np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :]]
    exists = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None, :]
    return np.where(exists, cut.astype(np.float32), np.float32(np.nan))
