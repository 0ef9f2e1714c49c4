"""The header of an Atlas image as an archive sends it: checked, and turned into a pixel grid."""

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from astropy.coordinates import BaseCoordinateFrame, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from astro_iicnet.allwise.bands import PIXEL_SCALE, get_band
from astro_iicnet.allwise.tiles import TILE_SIZE, tile_grid
from astro_iicnet.cutouts.transport import BrokenBodyError

BLOCK = 2880
"""Bytes to which a FITS header and its pixels are filled up."""

REFERENCE_PIXEL = (TILE_SIZE + 1) // 2
"""CRPIX of a whole tile in both directions."""

_CARD = 80
_END = "END".ljust(_CARD)
_END_CARD = re.compile(r"END {77}")
_WHOLE_PIXEL = 0.01  # px
_SAME_TILE = 1.0  # px; published centres are good to 0.004
_ODD_MAGZP = 10.0  # mag from that of the band
_SYSTEMS = ("", "FK5", "ICRS")
_DEGREES_PER_PIXEL = PIXEL_SCALE / 3600

# What would turn, shear, shift or scale the grid, and the only value at which it does not.
_HARMLESS = {
    **{f"PC{i}_{j}": float(i == j) for i in (1, 2) for j in (1, 2)},
    **{f"PV{i}_{m}": 0.0 for i in (1, 2) for m in range(5)},
    "CROTA1": 0.0, "CROTA2": 0.0, "LONPOLE": 180.0, "BSCALE": 1.0, "BZERO": 0.0,
}  # fmt: skip
_NOT_PLAIN = {"CD1_1", "CD1_2", "CD2_1", "CD2_2", "A_ORDER", "B_ORDER", "CPDIS1", "CPDIS2"}

_frame_lock = threading.Lock()


class Grid(NamedTuple):
    """Where the pixels of a tile lie on the sky: a SIN projection, north up.

    Parameters
    ----------
    crval1, crval2 : float
        Sky position of the reference pixel [deg].
    crpix1, crpix2 : float
        The reference pixel, counted from 1 at the first pixel of the whole tile.
    cdelt1, cdelt2 : float
        Pixel size [deg].
    radesys : str
        As in the header, empty where it has none.
    equinox : float
        As in the header [yr].
    """

    crval1: float
    crval2: float
    crpix1: float = REFERENCE_PIXEL
    crpix2: float = REFERENCE_PIXEL
    cdelt1: float = -_DEGREES_PER_PIXEL
    cdelt2: float = _DEGREES_PER_PIXEL
    radesys: str = ""
    equinox: float = 2000.0


@dataclass(frozen=True, eq=False)
class AtlasHeader:
    """What the header of a tile, or of a part of it, says.

    Parameters
    ----------
    text : str
        The header as it came, up to the last byte before the pixels.
    band : str
        "W1" to "W4".
    magzp : float
        Magnitude of 1 DN [Vega mag].
    shape : tuple of int
        (ny, nx) [px] of this part.
    corner : tuple of int
        (x, y) in the whole tile, from 0, of the first pixel of this part.
    grid : Grid
        Of the whole tile.
    """

    text: str
    band: str
    magzp: float
    shape: tuple[int, int]
    corner: tuple[int, int]
    grid: Grid

    @property
    def is_whole(self) -> bool:
        """Whether it is that of a whole tile."""
        return self.shape == (TILE_SIZE, TILE_SIZE) and self.corner == (0, 0)

    @property
    def data_start(self) -> int | None:
        """Byte of the file at which the pixels begin; None if the text was not read from there."""
        return len(self.text) if _END_CARD.search(self.text, max(0, len(self.text) - BLOCK)) else None

    @cached_property
    def scale(self) -> np.float32:
        """Factor that brings the pixels to the zero point of the band."""
        return np.float32(10 ** (0.4 * (get_band(self.band).zero_point - self.magzp)))

    def of_whole_tile(self) -> "AtlasHeader":
        """The header of the tile that this part was cut from.

        Its text has no END card: where the pixels begin in the file of the whole tile is not known.

        Returns
        -------
        AtlasHeader
            This one if it is that of a whole tile.
        """
        if self.is_whole:
            return self
        changed = {
            "NAXIS1": TILE_SIZE,
            "NAXIS2": TILE_SIZE,
            "CRPIX1": self.grid.crpix1,
            "CRPIX2": self.grid.crpix2,
        }
        cards = []
        for card in _cards_of(self.text):
            key = card[:8].rstrip()
            if key in changed:
                cards.append(f"{key:<8}= {changed[key]!r:>20}".ljust(_CARD))
            elif key not in ("END", "CHECKSUM", "DATASUM", ""):
                cards.append(card)
        text = "".join(cards)
        return AtlasHeader(text, self.band, self.magzp, (TILE_SIZE, TILE_SIZE), (0, 0), self.grid)

    def to_fits(self) -> fits.Header:
        """The cards as astropy has them, for pixels at the zero point of the band.

        Returns
        -------
        `~astropy.io.fits.Header`
            MAGZP is the zero point to which the pixels were brought.
        """
        header = fits.Header.fromstring(self.text)
        if self.scale != 1:
            header["MAGZP"] = (get_band(self.band).zero_point, "[mag] pixels were scaled to it")
        return header


def header_length(body: bytes) -> int | None:
    """Bytes up to the pixels of the first image of a FITS file.

    Parameters
    ----------
    body : bytes
        The file, or its beginning.

    Returns
    -------
    int or None
        A multiple of 2,880; None where the header does not end in ``body``.

    Raises
    ------
    BrokenBodyError
        If it is no FITS file.
    """
    if not body.startswith(b"SIMPLE  ="):
        page = body.lstrip()[:1] == b"<"
        raise BrokenBodyError("a web page instead of FITS" if page else "not a FITS file")
    for start in range(0, len(body) - BLOCK + 1, BLOCK):
        block = body[start : start + BLOCK]
        if not block.isascii():
            raise BrokenBodyError("a FITS header that is not text")
        if any(block[i : i + 8] == b"END     " for i in range(0, BLOCK, _CARD)):
            return start + BLOCK
    return None


def read_header(text: str, coadd_id: str, band: str) -> AtlasHeader:
    """Read a header and check that it is the one asked for, of an image that we can use.

    Parameters
    ----------
    text : str
        Cards of 80 characters.
    coadd_id : str
        The tile that was asked for.
    band : str
        The band that was asked for.

    Returns
    -------
    AtlasHeader
        What it says.

    Raises
    ------
    BrokenBodyError
        If it belongs to another tile or band, or the image is not float32 on the plain grid of the
        Atlas, or a number in it is not finite.
    """
    cards = {card[:8].rstrip(): card for card in _cards_of(text)}
    found = _string(cards, "COADDID"), f"W{_number(cards, 'BAND'):g}"
    if found != (coadd_id, band):
        raise BrokenBodyError(f"tile {found[0]} in {found[1]} instead of {coadd_id} in {band}")
    if (_number(cards, "BITPIX"), _number(cards, "NAXIS")) != (-32, 2):
        raise BrokenBodyError("a FITS file that is not one image of 32 bit floats")
    shape = int(_number(cards, "NAXIS2")), int(_number(cards, "NAXIS1"))
    if not (0 < shape[0] <= TILE_SIZE and 0 < shape[1] <= TILE_SIZE):
        raise BrokenBodyError(f"an image of {shape[1]} x {shape[0]} px")
    magzp = _number(cards, "MAGZP")
    if abs(magzp - get_band(band).zero_point) > _ODD_MAGZP:
        raise BrokenBodyError(f"a zero point of {magzp:g} mag (MAGZP)")
    grid, corner = _read_grid(cards)
    _check_centre(grid, coadd_id)
    return AtlasHeader(text, band, magzp, shape, corner, grid)


def _read_grid(cards: Mapping[str, str]) -> tuple[Grid, tuple[int, int]]:
    """The grid of the whole tile, and the (x, y) of the first pixel in it."""
    ctype = _string(cards, "CTYPE1"), _string(cards, "CTYPE2")
    harmless = all(_number(cards, key) == _HARMLESS[key] for key in cards.keys() & _HARMLESS.keys())
    units = {_string(cards, key) for key in ("CUNIT1", "CUNIT2") if key in cards}
    if ctype != ("RA---SIN", "DEC--SIN") or not harmless or cards.keys() & _NOT_PLAIN or units - {"deg"}:
        raise BrokenBodyError("coordinates (WCS) that are not those of an Atlas image")
    crpix = _number(cards, "CRPIX1"), _number(cards, "CRPIX2")
    cdelt = _number(cards, "CDELT1"), _number(cards, "CDELT2")
    if max(abs(-cdelt[0] / _DEGREES_PER_PIXEL - 1), abs(cdelt[1] / _DEGREES_PER_PIXEL - 1)) > 1e-3:
        raise BrokenBodyError(f"pixels of {cdelt[1] * 3600:.4g} arcsec instead of {PIXEL_SCALE}")
    corner = round(REFERENCE_PIXEL - crpix[0]), round(REFERENCE_PIXEL - crpix[1])
    crpix = crpix[0] + corner[0], crpix[1] + corner[1]
    if max(abs(crpix[0] - REFERENCE_PIXEL), abs(crpix[1] - REFERENCE_PIXEL)) > _WHOLE_PIXEL:
        raise BrokenBodyError("pixels that are not those of the tile (CRPIX)")
    radesys = _string(cards, "RADESYS") if "RADESYS" in cards else ""
    equinox = _number(cards, "EQUINOX") if "EQUINOX" in cards else 2000.0
    crval = _number(cards, "CRVAL1"), _number(cards, "CRVAL2")
    if radesys not in _SYSTEMS or equinox != 2000.0:
        raise BrokenBodyError(f"coordinates in another system (RADESYS {radesys!r}, EQUINOX {equinox:g})")
    return Grid(*crval, *crpix, *cdelt, radesys, equinox), corner


def _check_centre(grid: Grid, coadd_id: str) -> None:
    """Hold the reference pixel against where the tile is known to lie: all cutouts of it hang on that."""
    known = approximate_grid(coadd_id)
    drift_ra = (grid.crval1 - known.crval1 + 180) % 360 - 180
    drift = math.hypot(drift_ra * math.cos(math.radians(known.crval2)), grid.crval2 - known.crval2)
    if drift > _SAME_TILE * _DEGREES_PER_PIXEL:
        raise BrokenBodyError(f"tile {coadd_id} in another place (CRVAL)")


def _cards_of(text: str) -> list[str]:
    return [text[i : i + _CARD] for i in range(0, len(text), _CARD)]


def _number(cards: Mapping[str, str], key: str) -> float:
    try:
        value = float(cards[key][10:].partition("/")[0].replace("D", "E"))
    except (KeyError, ValueError):
        raise BrokenBodyError(f"a header without a number for {key}") from None
    if not math.isfinite(value):
        raise BrokenBodyError(f"a header in which {key} is not finite")
    return value


def _string(cards: Mapping[str, str], key: str) -> str:
    _, quote, rest = cards.get(key, "")[10:].partition("'")
    if not quote:
        raise BrokenBodyError(f"a header without {key}")
    return rest.partition("'")[0].rstrip()


@lru_cache
def _frame(radesys: str, equinox: float) -> BaseCoordinateFrame:
    """The frame that astropy takes a header to mean."""
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "EQUINOX": equinox})
    if radesys:
        header["RADESYS"] = radesys
    with _frame_lock:
        return wcs_to_celestial_frame(WCS(header))


class Sky:
    """Positions, in the frame of each image that asks for them.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions, all finite.
    """

    def __init__(self, coords: SkyCoord) -> None:
        self._coords = coords
        self._known: dict[tuple[str, float], tuple[np.ndarray, np.ndarray]] = {}

    def seen_by(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the frame of an image.

        Parameters
        ----------
        grid : Grid
            Grid of the image.

        Returns
        -------
        lon, lat : numpy.ndarray
            (N,) [deg].
        """
        key = grid.radesys, grid.equinox
        if key not in self._known:
            position = self._coords.transform_to(_frame(*key)).spherical
            self._known[key] = position.lon.deg, position.lat.deg
        return self._known[key]

    def pixels(self, rows: np.ndarray, grids: Sequence[Grid], which: np.ndarray) -> np.ndarray:
        """Where positions lie in the tiles.

        Parameters
        ----------
        rows : numpy.ndarray
            (M,) int: the positions.
        grids : sequence of Grid
            Grids of some tiles.
        which : numpy.ndarray
            (M,) int: which of them for each position.

        Returns
        -------
        numpy.ndarray
            (M, 2) float64, (x, y) [px], 0 at the centre of the first pixel of the tile.
        """
        lon, lat = np.empty((2, len(rows)))
        systems: dict[tuple[str, float], list[int]] = {}
        for number, grid in enumerate(grids):
            systems.setdefault((grid.radesys, grid.equinox), []).append(number)
        for members in systems.values():
            here = slice(None) if len(systems) == 1 else np.isin(which, members)
            all_lon, all_lat = self.seen_by(grids[members[0]])
            lon[here], lat[here] = all_lon[rows[here]], all_lat[rows[here]]
        numbers = np.array([grid[:6] for grid in grids], dtype=float).reshape(-1, 6)
        return sin_projection(lon, lat, numbers[which])


def sin_projection(lon: np.ndarray, lat: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Project positions on grids, one for each.

    Parameters
    ----------
    lon, lat : numpy.ndarray
        (M,) [deg].
    grid : numpy.ndarray
        (M, 6): the first six numbers of a `Grid`.

    Returns
    -------
    numpy.ndarray
        (M, 2) float64, (x, y) [px], 0 at the centre of the first pixel.

    References
    ----------
    Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.5, with xi = eta = 0.
    """
    crval1, crval2, crpix1, crpix2, cdelt1, cdelt2 = grid.T
    angle, lat, lat0 = np.radians(lon - crval1), np.radians(lat), np.radians(crval2)
    x = np.cos(lat) * np.sin(angle)
    y = np.sin(lat) * np.cos(lat0) - np.cos(lat) * np.sin(lat0) * np.cos(angle)
    return np.stack([np.degrees(x) / cdelt1 + crpix1 - 1, np.degrees(y) / cdelt2 + crpix2 - 1], axis=-1)


@lru_cache(maxsize=1)
def _published() -> dict[str, tuple[float, float]]:
    table = tile_grid()
    centres = zip(table["ra"].tolist(), table["dec"].tolist(), strict=True)
    return dict(zip(table["coadd_id"].tolist(), centres, strict=True))


def approximate_grid(coadd_id: str) -> Grid:
    """The grid of a tile whose header is not known yet.

    Parameters
    ----------
    coadd_id : str
        The tile.

    Returns
    -------
    Grid
        Good to 0.003 px: for asking, not for cutting.
    """
    return Grid(*_published()[coadd_id])
