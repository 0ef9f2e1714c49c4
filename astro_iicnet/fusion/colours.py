"""Magnitudes of a list of sources: from its own columns, or from cutouts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from astro_iicnet.allwise.bands import get_band
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import SourcesError
from astro_iicnet.labels import Status
from astro_iicnet.photometry.measurement import Photometry, measure

BANDS: tuple[str, ...] = ("W1", "W2", "W3")
"""Bands of the magnitudes, where nothing else is asked for."""

BRIGHTEST, FAINTEST = -6.0, 30.0
"""What lies beyond [mag] stands for "not known" in some catalogue, as -99 or 99.99."""

LARGEST_ERROR = 5.0
"""An error from here on [mag], or not above zero, stands for "no error" in some catalogue, as 9.99."""

# Lower case, of band n; AllWISE at IRSA, at VizieR, and what people make of them.
_MAGNITUDE = "w{n}mpro w{n}mag w{n}_mag w{n}magpsf w{n}_mpro mag_w{n} w{n}".split()
_ERROR = "w{n}sigmpro e_w{n}mag e_w{n}_mag w{n}magerr w{n}mag_err w{n}_mag_err w{n}_sigmpro".split()
_ERROR += "w{n}sigma w{n}_err w{n}err err_w{n} e_w{n} magerr_w{n} mag_err_w{n}".split()
_QUALITY = ("ph_qual", "phqual", "qph")

_VEGA = ("", "mag", "mag(1)", "mag(vega)", "vegamag", "vega", "magvega")
_AB = ("mag(ab)", "abmag", "ab", "magab")


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """Magnitudes of N sources in B bands, and what is known of each.

    Parameters
    ----------
    bands : tuple of str
        B band names.
    mag : numpy.ndarray
        (N, B) float32 [Vega mag]; a 95 % limit (the source is fainter) where ``upper_limit``; NaN
        where not known.
    error : numpy.ndarray
        (N, B) float32 1 sigma [mag], NaN for limits and where not known.
    upper_limit : numpy.ndarray
        (N, B) bool.
    status : numpy.ndarray
        (N,) uint8 codes of `~astro_iicnet.labels.Status`: ``OK`` where at least one band is known,
        else ``MISSING_MAGNITUDES``, or why they could not be had.
    """

    bands: tuple[str, ...]
    mag: np.ndarray
    error: np.ndarray
    upper_limit: np.ndarray
    status: np.ndarray

    def __len__(self) -> int:
        return len(self.mag)

    def __getitem__(self, rows: slice | np.ndarray) -> "Magnitudes":
        """The same for some rows (slice, mask or index array)."""
        return Magnitudes(
            self.bands, self.mag[rows], self.error[rows], self.upper_limit[rows], self.status[rows]
        )


def make_magnitudes(
    bands: Sequence[str], mag: np.ndarray, error: np.ndarray, upper_limit: np.ndarray
) -> Magnitudes:
    """Put magnitudes together; what cannot be true becomes unknown.

    Parameters
    ----------
    bands : sequence of str
        B band names.
    mag, error : numpy.ndarray
        (N, B) [Vega mag], NaN where not known.
    upper_limit : numpy.ndarray
        (N, B) bool.

    Returns
    -------
    Magnitudes
        The status is ``OK`` or ``MISSING_MAGNITUDES``.

    Raises
    ------
    ImagesError
        If there is no such band.
    """
    for band in bands:
        get_band(band)
    mag = np.array(mag, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        mag[~((mag > BRIGHTEST) & (mag < FAINTEST))] = np.nan
    known = np.isfinite(mag)
    limit = np.asarray(upper_limit, dtype=bool) & known
    error = np.where(known & ~limit, error, np.nan).astype(np.float32)
    status = np.where(known.any(axis=1), Status.OK, Status.MISSING_MAGNITUDES).astype(np.uint8)
    return Magnitudes(tuple(bands), mag, error, limit, status)


def from_cutouts(cutouts: Cutouts) -> Magnitudes:
    """Measure magnitudes, see `~astro_iicnet.photometry.measurement.measure`.

    Parameters
    ----------
    cutouts : Cutouts
        N sources in B bands.

    Returns
    -------
    Magnitudes
        Row i for source i, in the bands of the cutouts.

    Raises
    ------
    ImagesError
        If a band is not one of AllWISE, or the cutouts are too small.
    """
    return from_photometry(measure(cutouts))


def from_photometry(photometry: Photometry) -> Magnitudes:
    """Take magnitudes that have been measured already.

    Parameters
    ----------
    photometry : `~astro_iicnet.photometry.measurement.Photometry`
        N sources in B bands.

    Returns
    -------
    Magnitudes
        Row i for source i, in the same bands.
    """
    return make_magnitudes(photometry.bands, photometry.mag, photometry.mag_err, photometry.upper_limit)


def from_table(table: Table, bands: Sequence[str] = BANDS) -> Magnitudes:
    """Read magnitudes from the columns of a table.

    The names are those of AllWISE at IRSA (``w1mpro``, ``w1sigmpro``, ``ph_qual``) and VizieR (``W1mag``,
    ``e_W1mag``, ``qph``), or usual variants (``w1_mag``, ``w1``, ``w1err``), in any case. A magnitude
    is an upper limit where the quality letter is U, or, without such a letter, where there is a column
    of errors but no error. Masked values, NaN, text that is no number and values as 99.99 are unknown.

    Parameters
    ----------
    table : `~astropy.table.Table`
        N rows; it is not modified.
    bands : sequence of str, default ("W1", "W2", "W3")
        Bands wanted. One without a column is unknown in every row.

    Returns
    -------
    Magnitudes
        Row i for row i.

    Raises
    ------
    SourcesError
        If no band has a column, two columns could be meant, or a unit is neither that of Vega
        magnitudes (``mag``, or none) nor of AB magnitudes (``mag(AB)``), which are converted.
    ImagesError
        If there is no such band.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from astro_iicnet.fusion.colours import from_table
    >>> found = from_table(Table({"W1mag": [15.1, 14.0], "e_W1mag": [0.1, float("nan")]}), ["W1"])
    >>> found.upper_limit[:, 0]
    array([False,  True])
    """
    names: dict[str, list[str]] = {}
    for name in table.colnames:
        names.setdefault(re.sub(r"[\s\ufeff]", "", name).lower(), []).append(name)
    columns = [_find(names, _MAGNITUDE, band) for band in bands]
    if not any(columns):
        raise SourcesError(_not_found(table, bands))
    shape = (len(table), len(bands))
    mag, error = np.full(shape, np.nan), np.full(shape, np.nan)
    limit = np.zeros(shape, dtype=bool)
    for i, (band, column) in enumerate(zip(bands, columns, strict=True)):
        if column is None:
            continue
        mag[:, i] = _vega(table[column], column, band)
        letters = _quality_letters(table, names, band)
        limit[:, i] = letters == "U"
        column = _find(names, _ERROR, band)
        if column is not None:
            error[:, i] = _errors(table[column], column)
            limit[:, i] |= np.isnan(error[:, i]) & ~np.isin(letters, list("ABCZ"))
        mag[letters == "X", i] = np.nan
    return make_magnitudes(bands, mag, error, limit)


def colours(magnitudes: Magnitudes) -> np.ndarray:
    """Subtract the magnitudes of neighbouring bands.

    Parameters
    ----------
    magnitudes : Magnitudes
        N sources in B bands.

    Returns
    -------
    numpy.ndarray
        (N, B - 1) float32 [Vega mag], NaN where one of the two is not known.
    """
    return magnitudes.mag[:, :-1] - magnitudes.mag[:, 1:]


def _find(names: dict[str, list[str]], patterns: Iterable[str], band: str) -> str | None:
    """The column of a band, None where there is none."""
    get_band(band)
    for pattern in patterns:
        found = names.get(pattern.format(n=band[1:]), [])
        if len(found) > 1:
            raise SourcesError(
                f"The columns {' and '.join(map(repr, found))} could both be meant for {band}: "
                "rename or remove one."
            )
        if found:
            return found[0]
    return None


def _not_found(table: Table, bands: Sequence[str]) -> str:
    wanted = ", ".join(f"'{band.lower()}mpro' or '{band}mag'" for band in bands)
    return (
        f"No magnitudes found. The columns are: {', '.join(map(repr, table.colnames)) or 'none'}. Expected "
        f"AllWISE names as {wanted}: rename the columns, or let the magnitudes be measured "
        "(magnitudes='cutouts') or looked up (magnitudes='catalog')."
    )


def _vega(column: Any, name: str, band: str) -> np.ndarray:
    """A column of magnitudes as (N,) float64 [Vega mag]."""
    unit = _unit(column)
    if unit in _VEGA:
        return _numbers(column, name)
    if unit in _AB:
        return _numbers(column, name) - get_band(band).vega_to_ab
    raise SourcesError(
        f"The column {name!r} has the unit {str(column.unit)!r}, expected 'mag' (Vega, as in AllWISE) or "
        f"'mag(AB)'. Correct it, as in table[{name!r}].unit = 'mag', or convert the column."
    )


def _errors(column: Any, name: str) -> np.ndarray:
    """A column of errors as (N,) float64 [mag], NaN where there is none."""
    if _unit(column) not in (*_VEGA, *_AB):
        raise SourcesError(f"The column {name!r} has the unit {str(column.unit)!r}, expected 'mag'.")
    errors = _numbers(column, name)
    with np.errstate(invalid="ignore"):
        errors[~((errors > 0) & (errors < LARGEST_ERROR))] = np.nan
    return errors


def _unit(column: Any) -> str:
    """The unit in lower case, without spaces and marks."""
    unit = getattr(column, "unit", None)
    if unit is None or unit == u.dimensionless_unscaled:
        return ""
    return re.sub(r"[\s'\"_-]", "", str(unit)).lower()


def _numbers(column: Any, name: str) -> np.ndarray:
    """A column as (N,) float64, NaN where masked or not a number."""
    if not isinstance(column, (Column, u.Quantity)) or column.ndim != 1:
        raise SourcesError(f"The column {name!r} holds no numbers, one in each row: expected magnitudes.")
    values = np.asarray(getattr(column, "unmasked", column))
    if values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
    elif values.dtype.kind in "SUO":
        numbers = np.array([_number(value) for value in values.tolist()], dtype=np.float64)
    else:
        raise SourcesError(f"The column {name!r} is of type {values.dtype}, expected magnitudes.")
    numbers[np.broadcast_to(getattr(column, "mask", False), numbers.shape)] = np.nan
    return numbers


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _quality_letters(table: Table, names: dict[str, list[str]], band: str) -> np.ndarray:
    """AllWISE's photometric quality of one band, (N,) str, "" where not given."""
    column = next((names[name][0] for name in _QUALITY if name in names), None)
    if column is None:
        return np.full(len(table), "")
    values = table[column]
    texts = np.ma.filled(np.ma.asarray(values).astype(str), "")
    position = int(band[1:]) - 1
    return np.array([text.strip()[position : position + 1].upper() for text in texts.tolist()], dtype="U1")
