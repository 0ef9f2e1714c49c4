"""Cutouts from the HiPS of AllWISE at CDS: resampled, a last resort and a quick look."""

import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from astro_iicnet.allwise.bands import PIXEL_SCALE, zero_points
from astro_iicnet.config import conf
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.header import header_length
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.cutouts.threads import run_in_threads
from astro_iicnet.cutouts.transport import BrokenBodyError, transport
from astro_iicnet.exceptions import ImagesError, NoImageError, RetrievalError, RetrievalWarning
from astro_iicnet.labels import Status

MAX_BYTES = 1 << 18
"""More than any answer has that we ask for: pixels of 8 bytes and a long header."""

_RESAMPLED = (
    "images='hips' are resampled from the AllWISE Atlas (bilinear, on HEALPix and back): noise and point "
    "sources look smoother than in the Atlas. For a quick look, or where nothing else answers."
)
_SAME_PLACE = 0.05  # px
_DTYPES: dict[int, np.dtype] = {-32: np.dtype(">f4"), -64: np.dtype(">f8")}
_CORNERS = np.array([[0.0, 0.0], [CUTOUT_SIZE - 1.0, CUTOUT_SIZE - 1.0]])
_wcs_lock = threading.Lock()  # not all of astropy's WCS may run in several threads


class HipsArchive:
    """Image source ``"hips"``: AllWISE as CDS resampled it, cut out by its service hips2fits.

    The images are asked on a grid centred on each target, so that the offset is 0. They are no Atlas
    images, which weights take into account by `survey`; they are not kept in the store of cutouts, and
    no Atlas tile is named for them. Services of ``conf.hips_servers`` are asked in turn, starting with
    the one that answered last.

    Raises
    ------
    ImagesError
        If Pillow or matplotlib is missing, without which `astroquery.hips2fits` does not work.

    References
    ----------
    Fernique et al. 2015, A&A 578, A114 (HiPS); hips2fits, a tool developed at CDS, Strasbourg, France:
    https://alasky.cds.unistra.fr/hips-image-services/hips2fits.
    """

    name = "hips"
    survey = "allwise-hips"

    def __init__(self) -> None:
        missing = [name for name, module in (("Pillow", "PIL"), ("matplotlib",) * 2) if not find_spec(module)]
        if missing:
            raise ImagesError(
                f"images='hips' needs {' and '.join(missing)}, not found here. "
                "Install with: pip install 'astro_iicnet[analysis]'"
            )
        from astroquery.hips2fits import hips2fitsClass  # type: ignore[import-untyped]

        self._service = hips2fitsClass()
        self._preferred = 0
        self._warned: set[type | str] = set()

    def __repr__(self) -> str:
        return "<HipsArchive>"

    def fetch(
        self,
        coords: SkyCoord,
        bands: tuple[str, ...],
        progress: Callable[[int, int], None] | None = None,
    ) -> Cutouts:
        """Fetch the pixels around each position; a row that fails gets a status, never an error.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            (N,) positions; NaN marks one that is not usable.
        bands : tuple of str
            Band names, as in ``("W1", "W2", "W3")``.
        progress : callable, optional
            Called with the numbers of rows done and of those among them that are ``retrieval_failed``,
            since it was called last.

        Returns
        -------
        Cutouts
            N rows in the order of ``coords``, at the nominal zero points. Status ``no_coverage`` where
            the service has no image or an empty one, ``retrieval_failed`` where no service answered as
            it should, ``bad_pixels`` as `~astro_iicnet.cutouts.quality.core_is_missing` tells.

        Raises
        ------
        ImagesError
            If a band does not exist, or ``conf.hips_servers`` is empty.

        Warns
        -----
        RetrievalWarning
            Once that the images are resampled, and once for each kind of failure.
        """
        magzp = zero_points(bands)
        if not conf.hips_servers:
            raise ImagesError("conf.hips_servers is empty. Expected the URL of a hips2fits service.")
        icrs = coords.icrs
        position = np.stack([np.atleast_1d(icrs.ra.deg), np.atleast_1d(icrs.dec.deg)], axis=1)
        usable = np.all(np.isfinite(position), axis=1)
        n, size = len(position), CUTOUT_SIZE
        cutouts = Cutouts(
            np.full((n, len(bands), size, size), np.nan, np.float32),
            np.zeros((n, 2), np.float32),
            tuple(bands),
            magzp,
            np.where(usable, Status.RETRIEVAL_FAILED, Status.BAD_COORDINATES).astype(np.uint8),
            np.full(n, ""),
        )
        report = progress or (lambda n_done, n_failed: None)
        report(n - int(np.count_nonzero(usable)), 0)
        self._fill(cutouts, position, np.flatnonzero(usable), report)
        return cutouts

    def _fill(
        self,
        cutouts: Cutouts,
        position: np.ndarray,
        usable: np.ndarray,
        report: Callable[[int, int], None],
    ) -> None:
        """Fetch each place once and put its pixels into all rows that want them."""
        places, member = np.unique(position[usable], axis=0, return_inverse=True)
        member = member.ravel()
        rows_of = np.split(usable[np.argsort(member, kind="stable")], np.cumsum(np.bincount(member))[:-1])
        jobs = [(k, cutouts.bands, *place) for k, place in enumerate(places.tolist())]
        with closing(run_in_threads(self._images, jobs, conf.max_connections)) as rounds:
            for done in rounds:
                n_done = n_failed = 0
                for (k, *_), outcome in done:
                    status = self._settle(cutouts, rows_of[k], outcome)
                    n_done += len(rows_of[k])
                    n_failed += len(rows_of[k]) * (status == Status.RETRIEVAL_FAILED)
                report(n_done, n_failed)

    def _settle(
        self, cutouts: Cutouts, rows: np.ndarray, images: np.ndarray | NoImageError | RetrievalError
    ) -> Status:
        """Write what came, or what went wrong, into some rows; return their status."""
        if isinstance(images, ImagesError):
            no_image = isinstance(images, NoImageError)
            status = Status.NO_COVERAGE if no_image else Status.RETRIEVAL_FAILED
            self._warn_once(type(images), f"images='hips': rows are {status.label}. {images}")
        elif np.any(np.all(np.isnan(images), axis=(1, 2))):
            status = Status.NO_COVERAGE
        else:
            missing = core_is_missing(images[None], np.zeros((1, 2)))[0]
            status = Status.BAD_PIXELS if missing else Status.OK
            cutouts.pixels[rows] = images
            self._warn_once(_RESAMPLED, _RESAMPLED)
        cutouts.status[rows] = status
        return status

    def _warn_once(self, kind: type | str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, RetrievalWarning, stacklevel=5)

    def _images(self, job: tuple[int, tuple[str, ...], float, float]) -> np.ndarray:
        """(B, S, S) float32 of one place; runs in a thread."""
        _, bands, ra, dec = job
        return np.stack([self._ask(f"CDS/P/allWISE/{band}", _target_wcs(ra, dec)) for band in bands])

    def _ask(self, hips: str, wcs: WCS) -> np.ndarray:
        """One image from the first service that has it."""
        with _wcs_lock:
            # astroquery's own requests are neither repeated nor checked, and switch a setting of the
            # whole process on and off, which threads must not do: it words the query, we send it.
            query = self._service.query_with_wcs(hips, wcs, get_query_payload=True)
        servers = list(conf.hips_servers)
        first = self._preferred
        errors: list[ImagesError] = []
        for k in range(len(servers)):
            number = (first + k) % len(servers)
            try:
                image = transport().get(
                    servers[number],
                    lambda body: _read_image(body, wcs),
                    params=query,
                    max_bytes=MAX_BYTES,
                )
            except (RetrievalError, NoImageError) as error:
                errors.append(error)
            else:
                self._preferred = number
                return image
        transient = [error for error in errors if isinstance(error, RetrievalError)]
        raise (transient or errors)[-1]


def _target_wcs(ra: float, dec: float) -> WCS:
    """The grid of a cutout centred on a target."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---SIN", "DEC--SIN"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = (CUTOUT_SIZE + 1) / 2, (CUTOUT_SIZE + 1) / 2
    wcs.wcs.cdelt = -PIXEL_SCALE / 3600, PIXEL_SCALE / 3600
    wcs.wcs.radesys = "ICRS"
    wcs.pixel_shape = CUTOUT_SIZE, CUTOUT_SIZE
    return wcs


def _read_image(body: bytes, wcs: WCS) -> np.ndarray:
    """(S, S) float32 from a FITS file that is on the grid asked for."""
    start = header_length(body)
    if start is None:
        raise BrokenBodyError("a FITS file that ends within its header")
    header = fits.Header.fromstring(body[:start])
    try:
        shape, bits = (header["NAXIS2"], header["NAXIS1"]), header["BITPIX"]
    except (KeyError, fits.VerifyError):
        raise BrokenBodyError("a header without the size of an image") from None
    dtype = _DTYPES.get(bits)
    if shape != (CUTOUT_SIZE, CUTOUT_SIZE) or dtype is None:
        raise BrokenBodyError(f"an image of {shape} px, BITPIX {bits}")
    n_pixels = CUTOUT_SIZE**2
    if len(body) < start + n_pixels * dtype.itemsize:
        raise BrokenBodyError(f"a FITS file that ends after {len(body)} bytes")
    try:
        with _wcs_lock:
            corners = WCS(header, fix=False).wcs_pix2world(_CORNERS, 0)
            shift = np.abs(wcs.wcs_world2pix(corners, 0) - _CORNERS).max()
    except Exception as error:  # of many kinds, for what a header may hold
        raise BrokenBodyError(f"a WCS that cannot be used ({error})") from None
    if not shift <= _SAME_PLACE:
        raise BrokenBodyError("an image of another place")
    pixels = np.frombuffer(body, dtype, n_pixels, start).reshape(CUTOUT_SIZE, CUTOUT_SIZE).astype(np.float32)
    return np.where(np.isfinite(pixels), pixels, np.float32(np.nan))
