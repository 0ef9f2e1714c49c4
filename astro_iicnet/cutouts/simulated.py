"""The simulated sky as an image source: works anywhere, with classes that are known."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.labels import Status


class SimulatedSky:
    """Image source ``"simulated"``: a small simulated Atlas field around RA 150.12, Dec +2.21.

    No observation went into it: it serves to try the package and to test it. Its sources are
    those of `~astro_iicnet.simulation.field.example_sources`.
    """

    name = "simulated"
    survey = "allwise-atlas"

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Cut the pixels around each position out of the field.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions.
        bands : tuple of str
            Band names.

        Returns
        -------
        Cutouts
            N rows; ``no_coverage`` outside the field, ``bad_pixels`` less than 4 arcsec from its edge.
        """
        from astro_iicnet.simulation.field import simulated_field

        field = simulated_field()
        size = CUTOUT_SIZE
        icrs = coords.icrs
        usable = np.isfinite(icrs.ra.deg) & np.isfinite(icrs.dec.deg)
        separation = icrs.separation(SkyCoord(*field.wcs.wcs.crval, unit="deg")).deg
        near = usable & (separation < 1)
        x, y = np.full((2, len(coords)), -1e6)
        if near.any():
            x[near], y[near] = field.wcs.wcs_world2pix(icrs.ra.deg[near], icrs.dec.deg[near], 0)
        height, width = field.images.shape[1:]
        inside = (x > -0.5) & (y > -0.5) & (x < width - 0.5) & (y < height - 0.5)
        pixels = np.full((len(coords), len(bands), size, size), np.nan, np.float32)
        offset = np.zeros((len(coords), 2), np.float32)
        for k, band in enumerate(bands):
            image = field.images[field.bands.index(band)]
            pixels[inside, k], offset[inside] = cut_image(image, x[inside], y[inside], size)
        status = np.where(inside, Status.OK, Status.NO_COVERAGE)
        status = np.where(usable, status, Status.BAD_COORDINATES).astype(np.uint8)
        status[inside & core_is_missing(pixels, offset)] = Status.BAD_PIXELS
        tile = np.where(inside, "simulated", "")
        return Cutouts(pixels, offset, tuple(bands), zero_points(bands), status, tile)

    def header(self, coadd_id: str, band: str) -> fits.Header:
        """Header of the field in one band, with the cards of an image of the Atlas.

        Parameters
        ----------
        coadd_id : str
            "simulated", the only tile.
        band : str
            Band name.

        Returns
        -------
        `~astropy.io.fits.Header`
            Coordinates, BAND, COADDID, MAGZP and BUNIT.
        """
        from astro_iicnet.simulation.field import simulated_field

        (magzp,) = zero_points((band,))
        header = simulated_field().wcs.to_header()
        header.update(BAND=int(band[1:]), COADDID=coadd_id, MAGZP=float(magzp), BUNIT="DN")
        return header
