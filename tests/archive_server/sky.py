"""The sky that the local archives serve: simulated pixels under headers like those of the Atlas."""

import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from astro_iicnet.allwise.bands import BANDS
from astro_iicnet.allwise.tiles import TILE_SIZE, tile_grid
from astro_iicnet.simulation.field import FIELD_BANDS, FIELD_SIZE, simulated_field

Box = tuple[int, int, int, int]
"""y0, y1, x0, x1: pixels of a tile from 0, the ends excluded."""

WHOLE: Box = (0, TILE_SIZE, 0, TILE_SIZE)
HEADER_BYTES = 5760
_BLOCK = 2880
_ROWS = 64  # rows in memory at a time
_REFERENCE = (TILE_SIZE + 1) // 2
_SCALE = 0.0003819444391411  # deg, as printed in real headers
_WAVELENGTHS = {"W1": 3.368, "W2": 4.618, "W3": 12.082, "W4": 22.194}
_MAGZPUNC = {"W1": 0.006, "W2": 0.007, "W3": 0.012, "W4": 0.012}
_SOURCE_FWHM = 6.3  # px
_SOURCE_REACH = 24  # px
_making = threading.Lock()  # the sky is made once, not by each thread that needs it first


@cache
def tile_centres() -> dict[str, tuple[float, float]]:
    """CRVAL of every tile, with the six decimals of real headers."""
    grid = tile_grid()
    centres = zip(grid["ra"].round(6).tolist(), grid["dec"].round(6).tolist(), strict=True)
    return dict(zip(grid["coadd_id"].tolist(), centres, strict=True))


@cache
def next_tile() -> dict[str, str]:
    """Another tile for every tile, for answers that are not what was asked for."""
    names = list(tile_centres())
    return dict(zip(names, names[1:] + names[:1], strict=True))


@dataclass(frozen=True)
class Source:
    """A round source added to one tile, in all bands: position in it [px from 0] and flux [DN]."""

    x: float
    y: float
    flux: float


class Sky:
    """Pixels and headers of all tiles, made when asked for."""

    def __init__(self) -> None:
        self._sources: dict[str, list[Source]] = {}

    def add_source(self, ra: float, dec: float, flux: float) -> None:
        """Add a round source, FWHM 6.3 px, to every tile that holds the position [deg]; flux in DN."""
        for coadd_id in tiles_near(ra, dec):
            x, y = locate(coadd_id, ra, dec)
            self._sources.setdefault(coadd_id, []).append(Source(x, y, flux))

    def pixels(self, coadd_id: str, band: str, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        """(y1 - y0, x1 - x0) float32 [DN], the truth."""
        return self.bytes_of(coadd_id, band, (y0, y1, x0, x1)).astype(np.float32)

    def bytes_of(self, coadd_id: str, band: str, box: Box) -> np.ndarray:
        """The same as it stands in a file, big-endian."""
        y0, y1, x0, x1 = box
        if not (0 <= y0 <= y1 <= TILE_SIZE and 0 <= x0 <= x1 <= TILE_SIZE):
            raise ValueError(f"{box} is not inside a tile of {TILE_SIZE} x {TILE_SIZE} px.")
        shift_y, shift_x = divmod(zlib.crc32(coadd_id.encode()) % FIELD_SIZE**2, FIELD_SIZE)
        rows = (np.arange(y0, y1) + shift_y) % FIELD_SIZE
        with _making:
            strip = _strip(band)
        pixels = strip[rows, shift_x + x0 : shift_x + x1]
        for source in self._sources.get(coadd_id, ()):
            _add(pixels, source, box)
        return pixels


@cache
def _strip(band: str) -> np.ndarray:
    """The simulated field repeated to the width of a tile and one more field, big-endian."""
    field = simulated_field()
    image = field.images[field.bands.index(band)].astype(">f4")
    return np.tile(image, (1, TILE_SIZE // FIELD_SIZE + 2))


def _add(pixels: np.ndarray, source: Source, box: Box) -> None:
    """Add a source to the pixels of a box, each pixel the value in its middle."""
    y0, y1, x0, x1 = box
    bottom, top = max(y0, int(source.y) - _SOURCE_REACH), min(y1, int(source.y) + _SOURCE_REACH + 2)
    left, right = max(x0, int(source.x) - _SOURCE_REACH), min(x1, int(source.x) + _SOURCE_REACH + 2)
    if bottom >= top or left >= right:
        return
    sigma = _SOURCE_FWHM / np.sqrt(8 * np.log(2))
    across = np.exp(-0.5 * ((np.arange(left, right) - source.x) / sigma) ** 2)
    along = np.exp(-0.5 * ((np.arange(bottom, top) - source.y) / sigma) ** 2)
    light = source.flux / (2 * np.pi * sigma**2) * np.outer(along, across)
    pixels[bottom - y0 : top - y0, left - x0 : right - x0] += light.astype(np.float32)


def locate(coadd_id: str, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [px from 0] in a tile of places [deg, frame of the header]; NaN on the far side."""
    return _project(*tile_centres()[coadd_id], ra, dec)


def tiles_near(ra: float, dec: float, radius: float = 0.0) -> list[str]:
    """Tiles that a circle [deg] touches, from south to north and by rising RA."""
    centre_ra, centre_dec = np.array(list(tile_centres().values())).T
    x, y = _project(centre_ra, centre_dec, ra, dec)
    half = TILE_SIZE / 2
    beyond = [np.maximum(np.abs(value - (_REFERENCE - 1)) - half, 0) for value in (x, y)]
    touched = np.hypot(*beyond) * _SCALE <= radius
    return [coadd_id for coadd_id, here in zip(tile_centres(), touched, strict=True) if here]


def _project(
    centre_ra: np.ndarray, centre_dec: np.ndarray, ra: np.ndarray, dec: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """SIN projection, north up: pixels from 0, NaN on the far side. All angles in deg."""
    centre_dec, dec = np.radians(centre_dec), np.radians(dec)
    angle = np.radians(ra - centre_ra)
    towards = np.sin(dec) * np.sin(centre_dec) + np.cos(dec) * np.cos(centre_dec) * np.cos(angle)
    east = np.cos(dec) * np.sin(angle)
    north = np.sin(dec) * np.cos(centre_dec) - np.cos(dec) * np.sin(centre_dec) * np.cos(angle)
    seen = np.where(towards > 0, 1.0, np.nan)
    middle = _REFERENCE - 1
    return middle - np.degrees(east * seen) / _SCALE, middle + np.degrees(north * seen) / _SCALE


@dataclass(frozen=True)
class Image:
    """A FITS file of one tile in one band, whole or part of it, read as a stream."""

    sky: Sky
    coadd_id: str
    band: str
    box: Box = WHOLE
    nan_wcs: bool = False

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return HEADER_BYTES + -(-self._data_bytes // _BLOCK) * _BLOCK

    @property
    def _data_bytes(self) -> int:
        y0, y1, x0, x1 = self.box
        return 4 * (y1 - y0) * (x1 - x0)

    def header_bytes(self) -> bytes:
        """The header as it stands in the file."""
        return _header(self.coadd_id, self.band, self.box, self.nan_wcs)

    def header(self) -> fits.Header:
        """The header as astropy reads it."""
        return fits.Header.fromstring(self.header_bytes())

    def of_another_tile(self) -> "Image":
        """The same part of another tile."""
        return replace(self, coadd_id=next_tile()[self.coadd_id])

    def in_another_band(self) -> "Image":
        """The same pixels in another band."""
        return replace(self, band=FIELD_BANDS[FIELD_BANDS.index(self.band) - 1])

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Blocks of the file from one byte up to another, the last excluded."""
        if start < HEADER_BYTES:
            yield self.header_bytes()[start:stop]
        first, last = max(start - HEADER_BYTES, 0), min(stop - HEADER_BYTES, self._data_bytes)
        if first < last:
            y0, y1, x0, x1 = self.box
            row = 4 * (x1 - x0)
            end = -(-last // row)
            for at in range(first // row, end, _ROWS):
                part = y0 + at, y0 + min(at + _ROWS, end), x0, x1
                block = self.sky.bytes_of(self.coadd_id, self.band, part).tobytes()
                yield block[max(first - at * row, 0) : last - at * row]
        padding = stop - max(start, HEADER_BYTES + self._data_bytes)
        if padding > 0:
            yield bytes(padding)

    def write(self, folder: Path) -> Path:
        """Write the file under its name in the archives, with the corner in it where it is a part."""
        y0, _, x0, _ = self.box
        corner = "" if self.box == WHOLE else f"_x{x0}_y{y0}"
        path = Path(folder) / f"{self.coadd_id}-w{self.band[1]}-int-3{corner}.fits"
        with open(path, "wb") as file:
            file.writelines(self.read(0, self.size))
        return path


@lru_cache(maxsize=1024)
def _header(coadd_id: str, band: str, box: Box, nan_wcs: bool) -> bytes:
    y0, y1, x0, x1 = box
    ra, dec = tile_centres()[coadd_id]
    facts = BANDS[band]
    number = int(band[1])
    cards = [
        _card("SIMPLE", "T", "Created with PDL (http://pdl.perl.org)"),
        _card("BITPIX", "-32", "number of bits per data pixel"),
        _card("NAXIS", "2", "number of data axes"),
        _card("NAXIS1", f"{x1 - x0}", "length of data axis 1"),
        _card("NAXIS2", f"{y1 - y0}", "length of data axis 2"),
        _card("BUNIT", "'DN      '", "image pixel units"),
        _card("EXTEND", "T", "FITS dataset may contain extensions"),
        "COMMENT   FITS (Flexible Image Transport System) format is defined in 'Astronomy",
        "COMMENT   and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H",
        _card("CRVAL1", "NaN" if nan_wcs else f"{ra:.6f}", "RA at CRPIX1,CRPIX2, J2000.0 (deg)"),
        _card("CRVAL2", f"{dec:.6f}", "Dec at CRPIX1,CRPIX2, J2000.0 (deg)"),
        _card("EQUINOX", "2000.0", "Equinox of WCS, (year)"),
        _card("CTYPE1", "'RA---SIN'", "Projection type for axis 1"),
        _card("CTYPE2", "'DEC--SIN'", "Projection type for axis 2"),
        _card("CRPIX1", _reference(x0, box), "Axis 1 reference pixel at CRVAL1,CRVAL2"),
        _card("CRPIX2", _reference(y0, box), "Axis 2 reference pixel at CRVAL1,CRVAL2"),
        _card("CDELT1", f"{-_SCALE:.16f}", "Axis 1 scale at CRPIX1,CRPIX2 (deg/pix)"),
        _card("CDELT2", f"{_SCALE:.16f}", "Axis 2 scale at CRPIX1,CRPIX2 (deg/pix)"),
        _card("CROTA2", "0.000000", "Image twist: +axis2 W of N, J2000.0 (deg)"),
        "HISTORY AWAIC: A WISE Astronomical Image Coadder; Vsn 5.1",
        _card("BITMASK", "413662255", "Fatal bitstring mask template"),
        _card("WRELEASE", "'release-v6.0'", "WSDS s/w release tag"),
        _card("FILETYPE", "'intensity image'", "product description"),
        _card("ORIGIN", "'simulated, not the WISE Science Data Center'", "origin of image data"),
        _card("FCREATE", "'2013-07-08T22:18:22.000Z'", "WSDC file creation date/time (UTC)"),
        _card("DATEOBS1", "'2010-04-24T20:49:09.163'", "obs. date/time of earliest frame (UTC)"),
        _card("DATEOBS2", "'2010-05-05T21:57:41.585'", "obs. date/time of latest frame (UTC)"),
        _card("MIDOBS", "'2010-04-26T07:44:29.124'", "obs. date/time of middle frame (UTC)"),
        _card("TELESCOP", "'WISE    '", "telescope used to acquire data"),
        _card("BAND", f"{number}", "wavelength band number"),
        _card("WAVELEN", f"{_WAVELENGTHS[band]}", "[microns] effective wavelength of band"),
        _card("COADDID", f"'{coadd_id}'", "atlas-image identifier"),
        _card("NUMFRMS", "116", "final number of frames touching footprint"),
        _card("MAGZP", f"{facts.zero_point:g}" + "." * (number > 2), "[mag] relative photometric zero point"),
        _card("MAGZPUNC", f"{_MAGZPUNC[band]}", "[mag] 1-sigma uncertainty in zero point"),
        _card("SIZEX", "1.564444", "[deg] linear dimension along axis 1"),
        _card("SIZEY", "1.564444", "[deg] linear dimension along axis 2"),
        _card("PXSCAL1", "1.375", "[asec/pix] scale at CRPIX1,CRPIX2 for axis1"),
        _card("PXSCAL2", "1.375", "[asec/pix] scale at CRPIX1,CRPIX2 for axis2"),
        _card("MEDINT", f"{sum(facts.background) / 2:.13f}", "[DN] median of intensity pixels"),
        _card("MEDCOV", "11.5703125", "[pixels] median depth-of-coverage"),
        _card("MINCOV", "0", "[pixels] minimum depth-of-coverage"),
        _card("MAXCOV", "18.32421875", "[pixels] maximum depth-of-coverage"),
        _card("ROBSIG", f"{facts.noise:.13f}", "[DN] robust spatial sigma at MEDCOV +/- 0.25"),
        _card("RANDSEED", "-999", "random seed for outlier step [-999=>not used]"),
        _card("MOONMASK", f"'/wise/fops/ref/coadd/wise-w{number}-moonmask.fits'", "Moon mask"),
        _card("-", f"'{coadd_id}-w{number}-int-3.fits'", "atlas image (coadd) filename"),
        "END",
    ]  # fmt: skip
    return "".join(card.ljust(80) for card in cards).ljust(HEADER_BYTES).encode("ascii")


def _reference(first: int, box: Box) -> str:
    """CRPIX, written as in whole tiles or as in cutouts."""
    return f"{_REFERENCE}.0" if box == WHOLE else f"{_REFERENCE - first:.15E}"


def _card(key: str, value: str, comment: str) -> str:
    value = f"{value:<20}" if value.startswith("'") else f"{value:>20}"
    return f"{key:<8}= {value} / {comment}"[:80]
