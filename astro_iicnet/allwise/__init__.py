"""What AllWISE is: bands, point-spread functions, tiles."""

from astro_iicnet.allwise.bands import BANDS, PIXEL_SCALE, Band, get_band, zero_points
from astro_iicnet.allwise.psf import PSF, PSFS
from astro_iicnet.allwise.tiles import best_tile, tile_grid

__all__ = [
    "BANDS",
    "PIXEL_SCALE",
    "PSF",
    "PSFS",
    "Band",
    "best_tile",
    "get_band",
    "tile_grid",
    "zero_points",
]
