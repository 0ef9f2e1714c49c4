"""The door between whoever brings pixels and whoever looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import Status

CUTOUT_SIZE = 41
"""Pixels on a side: 50 arcsec, the sub-pixel shift and the reach of the interpolation."""


@dataclass(frozen=True, eq=False)
class Cutouts:
    """AllWISE pixels around N sources in B bands, row i for source i.

    Parameters
    ----------
    pixels : numpy.ndarray
        (N, B, S, S) float32 [DN], NaN where there are no data.
    offset : numpy.ndarray
        (N, 2) float32 [px], (x, y): target position minus middle pixel, within +-0.5.
    bands : tuple of str
        B band names, as in ``("W1", "W2", "W3")``.
    magzp : numpy.ndarray
        (B,) float64 [mag, Vega]: the magnitude of 1 DN.
    status : numpy.ndarray
        (N,) uint8 codes of `~astro_iicnet.labels.Status`.
    tile : numpy.ndarray
        (N,) str: the Atlas tile that served the row, empty where none did.
    served_by : numpy.ndarray, optional
        (N,) str: name of the image source that served the row, empty where none did. Known only
        where several sources were tried; by default empty in all rows.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    pixels: np.ndarray
    offset: np.ndarray
    bands: tuple[str, ...]
    magzp: np.ndarray
    status: np.ndarray
    tile: np.ndarray
    served_by: np.ndarray = field(default_factory=lambda: np.array(""))

    def __post_init__(self) -> None:
        if np.ndim(self.served_by) == 0:
            object.__setattr__(self, "served_by", np.full(len(self.status), self.served_by))
        n, n_bands = self.pixels.shape[:2] if self.pixels.ndim == 4 else (-1, -1)
        expected = {
            "pixels": (n, len(self.bands), *self.pixels.shape[2:3] * 2),
            "offset": (n, 2),
            "magzp": (n_bands,),
            "status": (n,),
            "tile": (n,),
            "served_by": (n,),
        }
        for name, shape in expected.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(
                    f"{name} has shape {np.shape(getattr(self, name))}, expected {shape}: "
                    "pixels are (N, B, S, S) and all else follows from them."
                )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_pixels(self) -> bool:
        """False where there are 0 x 0 px, as for weights that look at magnitudes alone."""
        return self.pixels.shape[-1] > 0

    def __getitem__(self, rows: slice | np.ndarray) -> "Cutouts":
        """The same for some rows (slice, mask or index array)."""
        return Cutouts(
            self.pixels[rows],
            self.offset[rows],
            self.bands,
            self.magzp,
            self.status[rows],
            self.tile[rows],
            self.served_by[rows],
        )

    def select_bands(self, bands: Sequence[str]) -> "Cutouts":
        """The same in some of its bands, in the order that is asked for.

        Parameters
        ----------
        bands : sequence of str
            Band names, as in ``("W1", "W2", "W3")``.

        Returns
        -------
        Cutouts
            These cutouts themselves where nothing changes.

        Raises
        ------
        IICnetError
            If the cutouts lack a band.
        """
        bands = tuple(bands)
        if bands == self.bands:
            return self
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise IICnetError(f"The cutouts have {', '.join(self.bands)}: {', '.join(missing)} is missing.")
        columns = [self.bands.index(band) for band in bands]
        return replace(self, pixels=self.pixels[:, columns], bands=bands, magzp=self.magzp[columns])

    def at_zero_points(self, magzp: np.ndarray) -> "Cutouts":
        """The same light in other units.

        Parameters
        ----------
        magzp : numpy.ndarray
            (B,) [mag, Vega] magnitude of 1 DN that is asked for.

        Returns
        -------
        Cutouts
            These cutouts themselves where nothing changes. A band whose zero point is not known, as
            it has no image, keeps its pixels.
        """
        # An image source without a single image does not know the zero points.
        change = np.nan_to_num(np.asarray(magzp, dtype=np.float64) - self.magzp)
        if not change.any():
            return self
        scale = (10 ** (0.4 * change)).astype(np.float32)
        return replace(self, pixels=self.pixels * scale[:, None, None], magzp=np.asarray(magzp))

    def __repr__(self) -> str:
        ok = int(np.count_nonzero(self.status == Status.OK))
        size = self.pixels.shape[-1]
        return f"<Cutouts: {len(self)} sources ({ok} ok), {'/'.join(self.bands)}, {size} x {size} px>"


class CutoutSource(Protocol):
    """Whoever brings pixels for positions: an archive, a folder, the simulated sky."""

    name: str
    survey: str

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Bring the pixels around each position; a row that fails gets a status, never an error.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``.
        """
        ...
