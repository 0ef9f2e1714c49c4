"""Cutouts to a folder of FITS files, which ``images=folder`` reads back."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts import Images, open_images
from astro_iicnet.cutouts.base import Cutouts, CutoutSource
from astro_iicnet.cutouts.local import fits_files
from astro_iicnet.cutouts.retrieve import retrieve
from astro_iicnet.exceptions import ImagesError
from astro_iicnet.labels import Status
from astro_iicnet.output import write_results

INDEX_FILE = "index.ecsv"
"""Name of the table that says which row of the list is in which file."""

_WRITTEN = (Status.OK, Status.BAD_PIXELS)
_SAME_GRID = 0.01  # px
_BLOCK = 2880
_PART = ".part"
_NOT_OF_A_PART = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")


def write_cutouts(
    coords: SkyCoord,
    folder: str | Path,
    *,
    images: Images = "irsa",
    bands: Sequence[str] = ("W1", "W2", "W3"),
    progress: bool = True,
    overwrite: bool = False,
) -> Table:
    """Fetch the cutouts of a list and write each source to a FITS file of its own.

    A file has one image extension for each band, named after it, with the cards of the tile's header;
    CRPIX is that of the part. `~astro_iicnet.cutouts.local.LocalFolder`, or ``images=folder``, gives
    the same pixels and offsets for the same positions.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions in any frame; NaN marks one that is not usable.
    folder : str or pathlib.Path
        Where the files go; made if it does not exist. Row 0 goes to ``000000.fits``.
    images : str, pathlib.Path, CutoutSource or list of these, default "irsa"
        Where the pixels come from, see `~astro_iicnet.cutouts.open_images`. Resampled images
        ("hips") are refused: read back, they would pass for images of the Atlas.
    bands : sequence of str, default ("W1", "W2", "W3")
        Band names.
    progress : bool, default True
        Show progress on stderr.
    overwrite : bool, default False
        Replace the files of an earlier run.

    Returns
    -------
    `~astropy.table.Table`
        What ``index.ecsv`` in the folder holds. N rows: ``row``, ``file`` (empty where there are no
        pixels), ``ra`` and ``dec`` [deg, ICRS], ``status``, ``tile``, and ``images``, the name of the
        image source that served the row.

    Raises
    ------
    ImagesError
        If the image source or a band does not exist, the images cannot be written as images of
        the Atlas, or the folder holds FITS files that would be taken for cutouts of this list.
    IICnetError
        If the folder cannot be written.

    Notes
    -----
    Files are written whole or not at all, the index last. Rows that failed have no file; read back,
    they are ``no_coverage``, or, within 28 arcsec of another row, partly filled from its file.
    """
    zero_points(bands)
    source = open_images(images)
    headers = _Headers(source)
    target = _open_folder(Path(folder).expanduser(), len(coords), headers, overwrite)
    icrs = coords.icrs
    index = _new_index(icrs)
    index.meta.update(images=source.name, bands=list(bands))
    for rows, cutouts in retrieve(source, icrs, tuple(bands), progress=progress):
        has_pixels = np.isin(cutouts.status, _WRITTEN)
        index["status"][rows] = [Status(code).label for code in cutouts.status]
        rows, cutouts = rows[has_pixels], cutouts[has_pixels]
        _write_chunk(target, rows, icrs[rows], cutouts, headers)
        index["file"][rows] = [_file_name(row) for row in rows]
        index["tile"][rows] = cutouts.tile
        index["images"][rows] = np.where(cutouts.served_by == "", source.name, cutouts.served_by)
    for row in np.flatnonzero(index["file"] == ""):
        (target / _file_name(int(row))).unlink(missing_ok=True)
    for name in ("file", "status", "tile", "images"):
        index[name] = index[name].astype(str)
    write_results(index, target / INDEX_FILE)
    return index


def _new_index(icrs: SkyCoord) -> Table:
    """A row for each position; text of any length until it is known how long it is."""
    n = len(icrs)
    columns = {"row": np.arange(n), "file": "", "ra": icrs.ra.deg, "dec": icrs.dec.deg}
    columns |= {"status": "", "tile": "", "images": ""}
    text = {name: np.full(n, "", dtype=object) for name, values in columns.items() if isinstance(values, str)}
    return Table(columns | text, units={"ra": "deg", "dec": "deg"})


class _Headers:
    """Headers of the tiles of an image source, or of the sources that are tried in turn."""

    def __init__(self, source: CutoutSource) -> None:
        self._sources: tuple[Any, ...] = tuple(getattr(source, "sources", (source,)))
        self.folders = [one.path for one in self._sources if isinstance(getattr(one, "path", None), Path)]
        for one in self._sources:
            if one.survey != "allwise-atlas":
                raise ImagesError(
                    f"Cutouts of {one.name!r} are of the survey {one.survey!r}: in a folder they would pass "
                    "for images of the Atlas. Take 'irsa' or 'aws'."
                )
            if not hasattr(one, "header"):
                raise ImagesError(
                    f"The images {one.name!r} cannot be written: the source has no method "
                    "header(coadd_id, band), so the coordinates of its pixels are not known."
                )

    def get(self, coadd_id: str, band: str, served_by: str) -> fits.Header:
        """The header of a tile, from the source of that name; from the only one if there is no name."""
        errors = []
        for one in self._sources:
            if served_by in ("", one.name):
                try:
                    return one.header(coadd_id, band)
                except ImagesError as error:  # two folders have the same name
                    errors.append(str(error))
        raise ImagesError(errors[0] if errors else f"No image source is named {served_by!r}.")


def _open_folder(folder: Path, n: int, headers: _Headers, overwrite: bool) -> Path:
    """Make the folder, or see that all FITS files in it may be replaced."""
    if any(folder.resolve().is_relative_to(other.resolve()) for other in headers.folders):
        raise ImagesError(f"{str(folder)!r} holds the images that shall be cut: give another folder.")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ImagesError(f"Cannot make the folder {str(folder)!r}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImagesError(f"Cannot write to the folder {str(folder)!r}: no permission.")
    own = {_file_name(row) for row in range(n)}
    there = [str(path.relative_to(folder)) for path in fits_files(folder)]
    strange = [name for name in there if name not in own]
    if strange:
        raise ImagesError(
            f"{str(folder)!r} holds {len(strange)} FITS files that are not of this list, such as "
            f"{strange[0]!r}: they would be read along with it. Give another folder."
        )
    if there and not overwrite:
        raise ImagesError(
            f"{str(folder)!r} holds {len(there)} cutouts already. Give another folder, or replace them "
            "(overwrite=True, on the command line --overwrite): what is in the store is not fetched again."
        )
    for part in folder.glob(f"*{_PART}"):  # of a run that was killed
        part.unlink(missing_ok=True)
    (folder / INDEX_FILE).unlink(missing_ok=True)  # it does not tell of what comes now
    return folder


def _file_name(row: int) -> str:
    return f"{row:06d}.fits"


def _write_chunk(
    folder: Path, rows: np.ndarray, coords: SkyCoord, cutouts: Cutouts, headers: _Headers
) -> None:
    """Write cutouts to the files of their rows."""
    primary = fits.PrimaryHDU().header
    for group in _groups(cutouts):
        chosen, where = cutouts[group], coords[group]
        tile, served_by = str(chosen.tile[0]), str(chosen.served_by[0])
        of_tile = [headers.get(tile, band, served_by) for band in chosen.bands]
        of_part = [_part_header(header, chosen, number) for number, header in enumerate(of_tile)]
        corner = _corner(of_tile[0], where, chosen)
        for one, row in enumerate(rows[group]):
            primary["ROW"] = (int(row), "row in the list, from 0")
            primary["RA"] = (float(where.ra.deg[one]), "[deg] position in the list, ICRS")
            primary["DEC"] = (float(where.dec.deg[one]), "[deg] position in the list, ICRS")
            parts = [_to_bytes(primary)]
            for whole, part, pixels in zip(of_tile, of_part, chosen.pixels[one], strict=True):
                part["CRPIX1"] = whole["CRPIX1"] - float(corner[one, 0])
                part["CRPIX2"] = whole["CRPIX2"] - float(corner[one, 1])
                parts.append(_to_bytes(part, pixels))
            _write_whole(b"".join(parts), folder / _file_name(row))


def _part_header(header: fits.Header, cutouts: Cutouts, number: int) -> fits.Header:
    """The header of the image extension for one band: that of the tile, all but CRPIX."""
    header = header.copy()
    for key in _NOT_OF_A_PART:
        header.remove(key, ignore_missing=True)
    header["MAGZP"] = float(cutouts.magzp[number])  # to which the pixels were brought
    size = cutouts.pixels.shape[-1]
    return fits.ImageHDU(np.empty((size, size), np.float32), header, name=cutouts.bands[number]).header


def _to_bytes(header: fits.Header, pixels: np.ndarray | None = None) -> bytes:
    """An HDU as it stands in a file: many times faster than by way of `~astropy.io.fits.HDUList`."""
    data = b"" if pixels is None else pixels.astype(">f4").tobytes()
    return header.tostring().encode("ascii") + data + b"\0" * (-len(data) % _BLOCK)


def _groups(cutouts: Cutouts) -> Iterator[np.ndarray]:
    """Row numbers of the cutouts of each tile and server."""
    keys = np.char.add(np.char.add(cutouts.tile.astype(str), " "), cutouts.served_by.astype(str))
    order = np.argsort(keys, kind="stable")
    changes = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return (rows for rows in np.split(order, changes) if len(rows))


def _corner(header: fits.Header, coords: SkyCoord, cutouts: Cutouts) -> np.ndarray:
    """(n, 2) the pixel of the tile, (x, y) from 0, that is the first of each cutout."""
    position = np.stack(skycoord_to_pixel(coords, WCS(header), origin=0, mode="wcs"), axis=1)
    middle = position - cutouts.offset
    drift = np.abs(middle - np.rint(middle)).max()
    if drift > _SAME_GRID:
        raise ImagesError(
            f"The header of tile {cutouts.tile[0]} does not fit its cutouts: positions in the two differ "
            f"by {drift:.2f} px."
        )
    return np.rint(middle).astype(int) - cutouts.pixels.shape[-1] // 2


def _write_whole(content: bytes, path: Path) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}{_PART}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise ImagesError(f"Cannot write {str(path)!r}: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)
