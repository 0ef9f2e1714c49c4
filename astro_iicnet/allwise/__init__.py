"""What AllWISE is: bands, point-spread functions, tiles."""

from astro_iicnet.allwise.bands import BANDS, PIXEL_SCALE, Band, get_band, zero_points
from astro_iicnet.allwise.psf import PSF, PSFS

__all__ = ["BANDS", "PIXEL_SCALE", "PSF", "PSFS", "Band", "get_band", "zero_points"]
