"""No pixels at all, for weights that look at magnitudes alone."""

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.labels import Status


class NoImages:
    """Image source of ``images=None``: every row is ok and has 0 x 0 px."""

    name = "none"
    survey = "allwise-atlas"

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Bring nothing, at once.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions.
        bands : tuple of str
            Band names.

        Returns
        -------
        Cutouts
            N rows without pixels.
        """
        n = len(coords)
        return Cutouts(
            np.empty((n, len(bands), 0, 0), np.float32),
            np.zeros((n, 2), np.float32),
            tuple(bands),
            zero_points(bands),
            np.full(n, Status.OK, np.uint8),
            np.full(n, ""),
        )
