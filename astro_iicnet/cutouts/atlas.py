"""One AllWISE Atlas image on disk: what its header says, and how to read it."""

import re
import warnings
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import BaseCoordinateFrame
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame

from astro_iicnet.allwise.bands import BANDS, PIXEL_SCALE
from astro_iicnet.exceptions import ImagesError

_DTYPES: dict[int, np.dtype] = {-32: np.dtype(">f4"), -64: np.dtype(">f8")}
_SCALED = ("BSCALE", "BZERO", "BLANK")
_NOT_INTENSITY = re.compile(r"(?<![a-z])(unc|cov|uncertainty|coverage)(?![a-z])")


@dataclass(frozen=True, eq=False)
class AtlasImage:
    """An intensity image of one tile in one band, whole or part of it.

    Parameters
    ----------
    path : pathlib.Path
        The FITS file.
    hdu : int
        Number of the image in the file.
    band : str
        "W1" to "W4".
    coadd_id : str
        The tile, as in "1210p015_ac51".
    magzp : float
        Magnitude of 1 DN [Vega mag].
    shape : tuple of int
        (ny, nx) [px].
    wcs : `~astropy.wcs.WCS`
        As astropy reads it from the header. Without RADESYS, EQUINOX 2000 means FK5.
    dtype : numpy.dtype or None
        Type of the pixels on disk, or None where the file cannot be mapped into memory (compressed
        or scaled).
    data_start : int
        Byte at which the pixels begin.

    Attributes
    ----------
    frame : `~astropy.coordinates.BaseCoordinateFrame`
        Frame of the WCS.
    frame_name : str
        The same for all images in one frame.
    centre : numpy.ndarray
        (3,) unit vector of the middle of the image, in its frame.
    cos_radius : float
        Cosine of the radius of a circle around the middle that holds the whole image.
    """

    path: Path
    hdu: int
    band: str
    coadd_id: str
    magzp: float
    shape: tuple[int, int]
    wcs: WCS
    dtype: np.dtype | None
    data_start: int
    frame: BaseCoordinateFrame = field(init=False)
    frame_name: str = field(init=False)
    centre: np.ndarray = field(init=False)
    cos_radius: float = field(init=False)

    def __post_init__(self) -> None:
        ny, nx = self.shape
        x = np.array([nx / 2, 0, nx, nx, 0]) - 0.5
        y = np.array([ny / 2, 0, 0, ny, ny]) - 0.5
        vectors = unit_vectors(*self.wcs.wcs_pix2world(x, y, 0))
        frame = wcs_to_celestial_frame(self.wcs)
        radius = np.arccos(np.clip((vectors[1:] @ vectors[0]).min(), -1, 1))
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "frame_name", repr(frame))
        object.__setattr__(self, "centre", vectors[0])
        object.__setattr__(self, "cos_radius", np.cos(1.01 * radius))

    def locate(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixel positions, and how far inside the image they are.

        Parameters
        ----------
        lon, lat : numpy.ndarray
            (N,) [deg] in the frame of the image.

        Returns
        -------
        x, y : numpy.ndarray
            (N,) [px], 0 at the centre of the first pixel.
        margin : numpy.ndarray
            (N,) [px] to the nearest edge, negative outside.
        """
        x, y = self.wcs.wcs_world2pix(lon, lat, 0)
        ny, nx = self.shape
        margin = np.minimum(
            np.minimum(x + 0.5, nx - 0.5 - x),
            np.minimum(y + 0.5, ny - 0.5 - y),
        )
        return x, y, margin

    def header(self) -> fits.Header:
        """The cards of the image, and those of the file's first header that it lacks.

        Returns
        -------
        `~astropy.io.fits.Header`
            A copy.

        Raises
        ------
        ImagesError
            If the file cannot be read any more.
        """
        try:
            with fits.open(self.path) as hdus:
                header = hdus[self.hdu].header.copy()
                header.extend(hdus[0].header.copy(strip=True), unique=True)
                return header
        except OSError as error:
            raise ImagesError(f"{str(self.path)!r} is not readable ({error}).") from None

    def read(self) -> np.ndarray:
        """The pixels [DN], mapped into memory where the file allows it.

        Returns
        -------
        numpy.ndarray
            (ny, nx), as on disk: big-endian if mapped.
        """
        if self.dtype is not None:
            return np.memmap(self.path, self.dtype, "r", self.data_start, self.shape)
        with fits.open(self.path, memmap=False) as hdus:
            return hdus[self.hdu].data


def unit_vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """(N, 3) unit vectors of positions [deg]."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def read_atlas_images(path: Path) -> tuple[list[AtlasImage], list[str]]:
    """Read the headers of a FITS file and keep its AllWISE Atlas intensity images.

    Uncertainty and coverage images are told by their header or file name, and passed over.

    Parameters
    ----------
    path : pathlib.Path
        A FITS file, plain or compressed, with one image or several.

    Returns
    -------
    images : list of AtlasImage
        What can be used.
    problems : list of str
        Why the file, or an image in it, cannot be used: not FITS, or nothing of AllWISE.
    """
    with warnings.catch_warnings():
        # What astropy finds odd in a header that it can read does not matter here.
        warnings.simplefilter("ignore")
        try:
            with fits.open(path) as hdus:
                return _sort_images(path, hdus)
        except Exception as error:  # a damaged header makes astropy raise errors of many kinds
            return [], [f"not readable as FITS ({error})"]


def _sort_images(path: Path, hdus: fits.HDUList) -> tuple[list[AtlasImage], list[str]]:
    images, problems, n_other = [], [], 0
    for number, hdu in enumerate(hdus):
        if not hdu.is_image or hdu.header["NAXIS"] == 0:
            continue
        card = ChainMap(hdu.header, hdus[0].header).get
        words = f"{path.name} {hdu.name} {card('FILETYPE')} {card('-')}"
        if _NOT_INTENSITY.search(words.lower()):
            n_other += 1
            continue
        try:
            images.append(_read_header(path, number, hdu, card))
        except ImagesError as error:
            problems.append(f"image {number}: {error}" if number else str(error))
    if not (images or problems or n_other):
        problems.append("no image in it")
    return images, problems


def _read_header(path: Path, number: int, hdu: fits.ImageHDU, card: Callable[[str], Any]) -> AtlasImage:
    """Raises ImagesError with the reason where the image is none of the Atlas's."""
    header = hdu.header
    band = f"W{str(card('BAND')).upper().removeprefix('W')}"
    if band not in BANDS:
        raise ImagesError(f"BAND is {card('BAND')!r}, expected 1, 2, 3 or 4")
    coadd_id = str(card("COADDID") or "").strip()
    if not coadd_id:
        raise ImagesError("no COADDID, the name of an Atlas tile")
    magzp = card("MAGZP")
    if isinstance(magzp, bool) or not isinstance(magzp, int | float) or not np.isfinite(magzp):
        raise ImagesError(f"MAGZP is {magzp!r}, expected the zero point in mag")
    if len(hdu.shape) != 2:
        raise ImagesError(f"image of {len(hdu.shape)} dimensions, expected 2")
    wcs = WCS(header)
    if not wcs.has_celestial:
        raise ImagesError("no celestial coordinates (WCS)")
    scale = proj_plane_pixel_scales(wcs) * 3600
    if not np.allclose(scale, PIXEL_SCALE, rtol=0.01):
        raise ImagesError(f"pixels of {scale[0]:.4g} arcsec, expected {PIXEL_SCALE}")
    dtype: np.dtype | None = None
    if _is_plain(path) and type(hdu) in (fits.PrimaryHDU, fits.ImageHDU):
        if not any(key in header for key in _SCALED):
            dtype = _DTYPES.get(header["BITPIX"])
    start = hdu.fileinfo()["datLoc"]
    return AtlasImage(path, number, band, coadd_id, float(magzp), hdu.shape, wcs, dtype, start)


def _is_plain(path: Path) -> bool:
    """Tell whether a FITS file is not compressed, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(6) == b"SIMPLE"
