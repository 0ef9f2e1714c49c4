"""Archives of whole Atlas tiles that answer HTTP: what IRSA and the copy on AWS have in common."""

import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits

from astro_iicnet.allwise.bands import get_band
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.fetch import Fetch
from astro_iicnet.cutouts.header import BLOCK, AtlasHeader, Grid, read_header
from astro_iicnet.cutouts.piece import Piece, RowBlock, read_whole_header
from astro_iicnet.cutouts.store import CutoutStore
from astro_iicnet.cutouts.transport import BrokenBodyError, transport
from astro_iicnet.exceptions import ImagesError, RetrievalError, RetrievalWarning, unknown_name

KINDS = {"int": "int-3.fits", "unc": "unc-3.fits.gz", "cov": "cov-3.fits.gz"}
"""Ends of file names by kind of image: intensity, uncertainty, depth of coverage."""

_HEADER_BYTES = (2 * BLOCK, 10 * BLOCK)  # of AllWISE headers, and more in case one is longer
_N_HEADERS = 8192  # kept in memory: 2,048 tiles in four bands, 50 MB
_DETAIL = re.compile(r"\d{4}[mp]\d{3}_ac51|W\d|\d+")


class Archive:
    """An archive of whole Atlas tiles that answers HTTP requests.

    Cutouts that it served are kept in the store, see `~astro_iicnet.cutouts.store.CutoutStore`, and
    served from there the next time. All settings are read from `astro_iicnet.conf` when they are used.

    Attributes
    ----------
    name : str
        Name of the archive, as it goes into provenance and the store.
    survey : str
        "allwise-atlas".
    store : CutoutStore
        Where cutouts are kept.
    """

    name: str
    survey = "allwise-atlas"

    def __init__(self) -> None:
        self.store = CutoutStore()
        self._headers: OrderedDict[tuple[str, str], AtlasHeader] = OrderedDict()
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def image_url(self, coadd_id: str, band: str, kind: str = "int") -> str:
        """Where the image of a tile is.

        Parameters
        ----------
        coadd_id : str
            The tile, as in "1210p015_ac51".
        band : str
            "W1" to "W4".
        kind : str, optional
            "int" for intensity (the default), "unc" for its uncertainty, "cov" for the depth of coverage;
            the latter two are gzipped.

        Returns
        -------
        str
            The URL.

        Raises
        ------
        ImagesError
            If there is no such band or kind.
        """
        get_band(band)
        if kind not in KINDS:
            raise ImagesError(unknown_name("kind of image", kind, KINDS))
        folder = f"{coadd_id[:2]}/{coadd_id[:4]}/{coadd_id}"
        return f"{self._root()}/{folder}/{coadd_id}-{band.lower()}-{KINDS[kind]}"

    def _root(self) -> str:
        """Folder of all images."""
        raise NotImplementedError

    def rows_from(self) -> int:
        """Sources in one tile from which its rows are fetched, not a cutout for each.

        Returns
        -------
        int
            At least 1.
        """
        raise NotImplementedError

    def fetch(
        self,
        coords: SkyCoord,
        bands: tuple[str, ...],
        progress: Callable[[int, int], None] | None = None,
    ) -> Cutouts:
        """Bring the pixels around each position; a row that fails gets a status, never an error.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.
        progress : callable, optional
            Called in this thread with the numbers of rows that were done, and of those among them that
            failed, since it was called last: at least twice a second while the archive is at work. An
            error that it raises ends the work, and what came until then is in the store.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``. Status ``no_coverage`` where the archive has no image of
            the position in some band, ``retrieval_failed`` where it did not give it, ``bad_pixels`` as
            `~astro_iicnet.cutouts.quality.core_is_missing` tells.

        Raises
        ------
        ImagesError
            If a band does not exist.

        Warns
        -----
        RetrievalWarning
            Once for each reason for which rows came to nothing.
        """
        return Fetch(self, coords, tuple(bands), progress).run()

    def header(self, coadd_id: str, band: str) -> fits.Header:
        """The header of a tile that `fetch` has served lately.

        Parameters
        ----------
        coadd_id : str
            The tile.
        band : str
            "W1" to "W4".

        Returns
        -------
        `~astropy.io.fits.Header`
            That of the whole tile. MAGZP is the zero point of the pixels that `fetch` gives.

        Raises
        ------
        ImagesError
            If its header is neither in memory nor in the store.
        """
        known = self.known_headers([coadd_id], band)
        if not known:
            raise ImagesError(f"No header of tile {coadd_id!r} in {band}: fetch cutouts in it first.")
        return known[0].to_fits()

    def known_headers(self, tiles: list[str], band: str) -> dict[int, AtlasHeader]:
        """Headers of whole tiles that are in memory or in the store.

        Parameters
        ----------
        tiles : list of str
            The tiles.
        band : str
            "W1" to "W4".

        Returns
        -------
        dict of int to AtlasHeader
            By place in ``tiles``.
        """
        with self._lock:
            known = {i: self._headers.get((tile, band)) for i, tile in enumerate(tiles)}
        missing = {tiles[i]: i for i, header in known.items() if header is None}
        for tile, text in self.store.get_headers(self.name, band, list(missing)).items() if missing else ():
            try:
                header = read_header(text, tile, band)
            except BrokenBodyError:  # kept by a version that took it for good
                continue
            known[missing[tile]] = header
            self.remember(tile, band, header)
        return {i: header for i, header in known.items() if header is not None}

    def remember(self, coadd_id: str, band: str, header: AtlasHeader) -> None:
        """Keep the header of a whole tile in memory for a while.

        Parameters
        ----------
        coadd_id : str
            The tile.
        band : str
            "W1" to "W4".
        header : AtlasHeader
            Its header.
        """
        with self._lock:
            self._headers[coadd_id, band] = header
            self._headers.move_to_end((coadd_id, band))
            if len(self._headers) > _N_HEADERS:
                self._headers.popitem(last=False)

    def warn(self, problems: Mapping[str, int], n: int) -> None:
        """Warn of what went wrong, of each kind once in the life of the archive.

        Parameters
        ----------
        problems : mapping of str to int
            Reasons, and in how many images of a source they were met.
        n : int
            Number of sources.
        """
        for reason in problems:
            kind = _DETAIL.sub("", reason)
            if kind not in self._warned:
                self._warned.add(kind)
                affected = sum(count for other, count in problems.items() if _DETAIL.sub("", other) == kind)
                message = f"{affected} images for {n} sources did not come: {reason.rstrip('.')}."
                warnings.warn(message, RetrievalWarning, stacklevel=4)

    def fetch_header(self, coadd_id: str, band: str) -> AtlasHeader:
        """Fetch the header of a whole tile.

        Parameters
        ----------
        coadd_id : str
            The tile.
        band : str
            "W1" to "W4".

        Returns
        -------
        AtlasHeader
            As it is in the file.

        Raises
        ------
        NoImageError
            If the archive has no such image.
        RetrievalError
            If it did not give it.
        """
        url = self.image_url(coadd_id, band)

        def check(body: bytes) -> AtlasHeader | None:
            return read_whole_header(body, coadd_id, band)

        def check_end(body: bytes) -> AtlasHeader:
            if (header := check(body)) is None:
                raise BrokenBodyError("a header without an end")
            return header

        short, long = _HEADER_BYTES
        header = transport().get(url, check, byte_range=(0, short - 1), max_bytes=short)
        return header or transport().get(url, check_end, byte_range=(0, long - 1), max_bytes=long)

    def fetch_rows(self, coadd_id: str, header: AtlasHeader, block: RowBlock) -> np.ndarray:
        """Fetch rows of a whole tile.

        Parameters
        ----------
        coadd_id : str
            The tile.
        header : AtlasHeader
            As `fetch_header` gave it.
        block : RowBlock
            Which rows.

        Returns
        -------
        numpy.ndarray
            (n, 4095) float32, big-endian [DN].

        Raises
        ------
        NoImageError
            If the archive has no such image.
        RetrievalError
            If it did not give it.
        """
        url = self.image_url(coadd_id, header.band)
        if header.data_start is None:
            raise RetrievalError(f"The header of {coadd_id} was not read from the file of the tile.")
        byte_range = block.byte_range(header.data_start)
        n_bytes = byte_range[1] + 1 - byte_range[0]
        return transport().get(url, block.read, byte_range=byte_range, max_bytes=n_bytes)

    def fetch_cutout(
        self,
        coadd_id: str,
        band: str,
        centre: tuple[float, float],
        middle: Callable[[Grid], np.ndarray],
    ) -> Piece:
        """Fetch one cutout, where the archive cuts.

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
            With all pixels of the tile that the squares need.

        Raises
        ------
        NoImageError
            If the archive has no such image.
        RetrievalError
            If it did not give it.
        """
        raise NotImplementedError
