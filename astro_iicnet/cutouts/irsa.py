"""Cutouts from IRSA, which cuts them itself or sends rows of a whole tile."""

from collections.abc import Callable

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.config import conf
from astro_iicnet.cutouts.archive import Archive
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.header import Grid
from astro_iicnet.cutouts.piece import MAX_CUTOUT_BYTES, REACH, Piece, read_piece
from astro_iicnet.cutouts.transport import BrokenBodyError, transport

ASKED_SIZE = CUTOUT_SIZE + 4
"""Pixels on a side asked of IRSA: the cutout, and a margin for what it takes the centre to be."""

_N_VERIFIED = 3


class IrsaArchive(Archive):
    """Image source ``"irsa"``: the AllWISE Atlas at the NASA/IPAC Infrared Science Archive.

    Where few sources of a list lie in one tile, IRSA's service IBE is asked for one cutout for each source
    and band; from ``conf.tile_threshold`` sources on, rows of the tile are fetched and cut here. The
    returned header tells where pixels lie, never the request.

    Parameters
    ----------
    verify : bool, optional
        Compare the addresses of a few images of the first fetch with IRSA's own index (SIA v2), and raise
        an error if they differ. By default they are taken as they are.

    References
    ----------
    AllWISE Atlas images, doi:10.26131/IRSA153; https://irsa.ipac.caltech.edu/ibe/cutouts.html
    """

    name = "irsa"

    def __init__(self, *, verify: bool = False) -> None:
        super().__init__()
        self._verify = verify

    def _root(self) -> str:
        return f"{conf.irsa_server.rstrip('/')}/ibe/data/wise/allwise/p3am_cdd"

    def rows_from(self) -> int:
        """Sources in one tile from which its rows are fetched: ``conf.tile_threshold``.

        Returns
        -------
        int
            At least 1.
        """
        return conf.tile_threshold

    def fetch(
        self,
        coords: SkyCoord,
        bands: tuple[str, ...],
        progress: Callable[[int, int], None] | None = None,
    ) -> Cutouts:
        """As `Archive.fetch`; with ``verify`` it raises ImagesError where IRSA keeps images elsewhere.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.
        progress : callable, optional
            As in `Archive.fetch`.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``.
        """
        usable = np.flatnonzero(np.isfinite(coords.spherical.lon) & np.isfinite(coords.spherical.lat))
        if self._verify and len(usable):
            from astro_iicnet.cutouts.verify import verify_urls

            sample = np.unique(np.linspace(0, len(usable) - 1, _N_VERIFIED).astype(int))
            verify_urls(coords[usable[sample]], bands, self)
            self._verify = False
        return super().fetch(coords, bands, progress)

    def fetch_cutout(
        self,
        coadd_id: str,
        band: str,
        centre: tuple[float, float],
        middle: Callable[[Grid], np.ndarray],
    ) -> Piece:
        """Fetch one cutout, as `Archive.fetch_cutout` says.

        Parameters
        ----------
        coadd_id : str
            The tile.
        band : str
            "W1" to "W4".
        centre : tuple of float
            Right ascension and declination [deg] in the frame of the images.
        middle : callable
            Gives (M, 2) the middle pixels of the squares that must lie in it, from its grid.

        Returns
        -------
        Piece
            With all pixels of the tile that the squares need, and one more on each side.
        """

        def check(body: bytes) -> Piece:
            piece = read_piece(body, coadd_id, band)
            # One more: the grids of two bands may round to neighbouring pixels.
            if not piece.holds(middle(piece.header.grid), REACH + 1):
                raise BrokenBodyError("another part of the tile")
            return piece

        params = {
            "center": f"{centre[0]:.7f},{centre[1]:.7f}",
            "size": f"{ASKED_SIZE}pix",
            "gzip": "false",
        }
        url = self.image_url(coadd_id, band)
        return transport().get(url, check, params=params, max_bytes=MAX_CUTOUT_BYTES)
