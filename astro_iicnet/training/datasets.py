"""Datasets of labelled cutouts, one FITS file each: read, written, divided."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.labels import CLASSES

SURVEY = "allwise-atlas"
"""Survey of a dataset that does not name its own."""


class Split(NamedTuple):
    """Row numbers of the three parts of a dataset."""

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray


def class_labels(table: Table) -> np.ndarray:
    """Label indices of the column ``class``.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Has a column ``class`` with names from `~astro_iicnet.labels.CLASSES`.

    Returns
    -------
    numpy.ndarray
        (N,) int64 index into `~astro_iicnet.labels.CLASSES`.

    Raises
    ------
    IICnetError
        If there is no such column or it holds an unknown class.
    """
    if "class" not in table.colnames:
        raise IICnetError(f"No column 'class' among {', '.join(table.colnames)}: it holds the true class.")
    names = np.char.strip(np.asarray(table["class"]).astype(str))
    labels = np.full(len(names), -1, dtype=np.int64)
    for index, name in enumerate(CLASSES):
        labels[names == name] = index
    if (labels < 0).any():
        raise IICnetError(unknown_name("class", str(names[labels < 0][0]), CLASSES))
    return labels


def split(labels: np.ndarray, *, seed: int = 0) -> Split:
    """Divide rows 8:1:1 at random, class by class, as the paper does.

    Parameters
    ----------
    labels : numpy.ndarray
        (N,) label indices.
    seed : int, default 0
        Seed of the shuffle.

    Returns
    -------
    Split
        Sorted row numbers ``train``, ``test`` and ``validation``.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Table 1: with its class sizes the parts have its sizes.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        n_train = len(rows) * 8 // 10
        n_test = (len(rows) - n_train + 1) // 2
        for part, piece in zip(parts, np.split(rows, [n_train, n_train + n_test]), strict=True):
            part.append(piece)
    return Split(*(np.sort(np.concatenate(part or [np.empty(0, int)])).astype(np.int64) for part in parts))


def survey_of(table: Table) -> str:
    """Survey of the cutouts of a dataset.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Of `read_dataset`.

    Returns
    -------
    str
        What its provenance says; `SURVEY` where that is silent.
    """
    return str(table.meta.get("survey", SURVEY))


def check_survey(survey: str, record: Mapping[str, Any]) -> None:
    """Refuse cutouts of another survey than that of some weights.

    Parameters
    ----------
    survey : str
        Survey of the cutouts, as in "allwise-atlas".
    record : mapping
        Record of the weights.

    Raises
    ------
    IICnetError
        If the two differ.
    """
    if survey != record["survey"]:
        raise IICnetError(
            f"The cutouts are of the survey {survey!r}; the weights {record['name']!r} were trained on "
            f"{record['survey']!r}, which differs in resolution, noise or flux scale: take others."
        )


def write_dataset(path: str | os.PathLike[str], cutouts: Cutouts, table: Table) -> None:
    """Write labelled cutouts to one FITS file, replacing any file of that name.

    The file has a primary header with the provenance (``table.meta``), an image extension
    ``PIXELS`` and a table extension ``SOURCES``. It appears under its name only when complete.

    Parameters
    ----------
    path : path
        The file to write.
    cutouts : Cutouts
        N cutouts; their offset, status and tile become columns.
    table : `~astropy.table.Table`
        N rows, with a column ``class``; its scalar ``meta`` goes into the primary header.

    Raises
    ------
    IICnetError
        If the lengths differ, a class is unknown or the file cannot be written.
    """
    path = Path(path)
    if len(cutouts) != len(table):
        raise IICnetError(f"{len(cutouts)} cutouts and {len(table)} table rows: one each, in the same order.")
    class_labels(table)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _to_fits(cutouts, table).writeto(temporary, overwrite=True)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise IICnetError(f"Cannot write the dataset {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _to_fits(cutouts: Cutouts, table: Table) -> fits.HDUList:
    primary = fits.PrimaryHDU(header=_provenance_header(table.meta))
    pixels = fits.ImageHDU(np.asarray(cutouts.pixels, dtype=np.float32), name="PIXELS")
    pixels.header["BUNIT"] = "DN"
    for index, (band, magzp) in enumerate(zip(cutouts.bands, cutouts.magzp, strict=True), start=1):
        pixels.header[f"BAND{index}"] = (band, f"band of plane {index}")
        pixels.header[f"MAGZP{index}"] = (float(magzp), "[mag] Vega magnitude of 1 DN")
    sources = fits.table_to_hdu(_with_cutout_columns(table, cutouts))
    sources.name = "SOURCES"
    return fits.HDUList([primary, pixels, sources])


def _provenance_header(meta: dict) -> fits.Header:
    """Scalar provenance as header cards; upper case, HIERARCH where longer than 8 letters."""
    header = fits.Header()
    header["CONTENT"] = "astro_iicnet labelled cutouts"
    for key, value in meta.items():
        if np.isscalar(value) and key.upper() not in header:
            name = key.upper() if len(key) <= 8 else f"HIERARCH {key.upper()}"
            header[name] = value.item() if isinstance(value, np.generic) else value
    return header


def _with_cutout_columns(table: Table, cutouts: Cutouts) -> Table:
    full = Table(table, copy=False)
    full.meta = {}
    full["offset_x"] = cutouts.offset[:, 0].astype(np.float32)
    full["offset_y"] = cutouts.offset[:, 1].astype(np.float32)
    full["status"] = cutouts.status.astype(np.uint8)
    full["tile"] = np.asarray(cutouts.tile, dtype=str)
    return full


def read_dataset(path: str | os.PathLike[str]) -> tuple[Cutouts, Table]:
    """Read labelled cutouts; the pixels stay on disk (memory-mapped) until they are used.

    Parameters
    ----------
    path : path
        A file of `write_dataset`.

    Returns
    -------
    cutouts : Cutouts
        N cutouts; ``pixels`` are memory-mapped, big-endian as FITS has them.
    table : `~astropy.table.Table`
        All columns of ``SOURCES``; the provenance is in ``meta`` (keys in lower case).

    Raises
    ------
    IICnetError
        If the file is missing, not FITS, truncated or not such a dataset.
    """
    try:
        return _read(Path(path))
    except FileNotFoundError as error:
        raise IICnetError(f"No dataset at {path}: check the path.") from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise IICnetError(
            f"{path} is not a complete dataset of astro_iicnet (extensions PIXELS and SOURCES): {error}"
        ) from error


def _read(path: Path) -> tuple[Cutouts, Table]:
    # astropy only warns about a truncated file; its pixels would fail much later.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hdus = fits.open(path, memmap=True, lazy_load_hdus=False)
    with hdus:
        damage = [str(w.message) for w in caught if issubclass(w.category, AstropyUserWarning)]
        if damage:
            raise ValueError(damage[0])
        provenance, header = hdus[0].header, hdus["PIXELS"].header
        table = Table.read(hdus["SOURCES"], memmap=False)
        pixels = hdus["PIXELS"].data
    table.convert_bytestring_to_unicode()
    skip = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CONTENT", "COMMENT", "HISTORY", ""}
    table.meta = {key.lower(): value for key, value in provenance.items() if key not in skip}
    n_bands = pixels.shape[1]
    tile = np.asarray(table["tile"].filled("") if table.masked else table["tile"]).astype(str)
    cutouts = Cutouts(
        pixels,
        np.stack([np.asarray(table[name], dtype=np.float32) for name in ("offset_x", "offset_y")], axis=1),
        tuple(header[f"BAND{index + 1}"] for index in range(n_bands)),
        np.array([header[f"MAGZP{index + 1}"] for index in range(n_bands)]),
        np.asarray(table["status"], dtype=np.uint8),
        tile,
    )
    class_labels(table)
    return cutouts, table
