"""When a cutout holds too little of its target: one rule for all image sources."""

import numpy as np

from astro_iicnet.allwise.bands import PIXEL_SCALE

CORE_DIAMETER = 8.0
"""Diameter [arcsec] of the disc around the target in which pixels must be there: about the PSF's FWHM."""

MAX_MISSING = 0.1
"""Largest share of that disc that may be missing in any band."""


def core_is_missing(pixels: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Tell which cutouts miss more than a tenth of the central 8 arcsec in some band.

    The central 8 arcsec are the pixels whose centre lies within 4 arcsec of the target, about 27.
    Such rows get the status ``bad_pixels``; fewer missing pixels are filled in preprocessing.

    Parameters
    ----------
    pixels : numpy.ndarray
        (N, B, S, S), NaN where there are no data.
    offset : numpy.ndarray
        (N, 2) [px], (x, y): target minus middle pixel.

    Returns
    -------
    numpy.ndarray
        (N,) bool.
    """
    radius = CORE_DIAMETER / 2 / PIXEL_SCALE
    middle = pixels.shape[-1] // 2
    reach = min(middle, int(radius + 0.5) + 1)
    core = slice(middle - reach, middle + reach + 1)
    axis = np.arange(-reach, reach + 1)
    x = axis[None, None, :] - offset[:, 0, None, None]
    y = axis[None, :, None] - offset[:, 1, None, None]
    disc = x**2 + y**2 <= radius**2
    missing = np.isnan(pixels[:, :, core, core]) & disc[:, None]
    share = missing.sum(axis=(2, 3)) / disc.sum(axis=(1, 2))[:, None]
    return np.any(share > MAX_MISSING, axis=1)
