"""Sources in: whatever a user calls "my list" becomes positions, and a status for every row."""

import difflib
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import (
    ICRS,
    BaseCoordinateFrame,
    Galactic,
    SkyCoord,
    SphericalRepresentation,
    UnitSphericalRepresentation,
)
from astropy.io.registry import IORegistryError
from astropy.io.votable.exceptions import VOWarning
from astropy.table import Column, Row, Table

from astro_iicnet.exceptions import SourcesError, unknown_name
from astro_iicnet.labels import Status

# Lower case, without spaces and brackets; the first pair that a table has is used.
_EQUATORIAL = (
    ("ra dec", "ra de", "ra decl", "_raj2000 _dej2000", "_raj2000 _decj2000", "raj2000 dej2000")
    + ("raj2000 decj2000", "ra_j2000 dec_j2000", "ra_j2000 de_j2000", "ra2000 dec2000", "ra2000 de2000")
    + ("ra_icrs de_icrs", "ra_icrs dec_icrs", "_ra_icrs _de_icrs", "_ra_icrs _dec_icrs", "_ra _de")
    + ("_ra _dec", "ra_deg dec_deg", "ra_deg de_deg", "radeg decdeg", "radeg dedeg")
    + ("rightascension declination", "right_ascension declination", "alpha_j2000 delta_j2000")
    + ("alphawin_j2000 deltawin_j2000", "alpha delta", "s_ra s_dec", "ramean decmean")
    + ("target_ra target_dec", "plug_ra plug_dec")
)
_GALACTIC = ("glon glat", "_glon _glat", "gal_lon gal_lat", "l b")
_COLUMN_NAMES = tuple(
    (*pair.split(), frame) for pairs, frame in ((_EQUATORIAL, ICRS), (_GALACTIC, Galactic)) for pair in pairs
)

# What VizieR and spreadsheets write where astropy has no such unit.
_LOOSE_UNITS = {
    **dict.fromkeys(("degrees", "degs", "d:m:s", "dd:mm:ss", "dms"), u.deg),
    **dict.fromkeys(("h", "hr", "hours", "hrs", "h:m:s", "hh:mm:ss", "hms", "hourangle"), u.hourangle),
}

# Where astropy does not recognise the format (it wants extensions in lower case).
_TEXT_FORMATS = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".tsv": "ascii.tab",
    ".tab": "ascii.tab",
    ".tbl": "ascii.ipac",
}
_NOT_PLAIN_TEXT = (".fits", ".fit", ".parquet", ".vot", ".votable", ".xml", ".hdf5", ".h5")

_SEXAGESIMAL = re.compile(
    r"^[ \t]*([+-]?)[ \t]*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)[ \t]*([hd:]?)[ \t]*"
    r"(?:(?<=[hd: \t])(\d+\.?\d*)[ \t]*(?:m?|(?:[m:][ \t]*|(?<=[ \t]))(\d+\.?\d*)[ \t]*s?))?[ \t]*$"
    r"|^.*$",
    re.MULTILINE,
)
_SIGNS = str.maketrans("−–°º′’'″”\"", "--ddmmmsss")
_TEXT_BLOCK = 65536


@dataclass(frozen=True, eq=False)
class Sources:
    """A list of sources: the table as it came, a position and a status for each row.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The input, N rows in their order, with all its columns.
    coords : `~astropy.coordinates.SkyCoord`
        (N,) ICRS positions, NaN where the row has no usable one.
    status : numpy.ndarray
        (N,) uint8 codes of `~astro_iicnet.labels.Status`: ``OK`` or ``BAD_COORDINATES``.
    """

    table: Table
    coords: SkyCoord
    status: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, rows: slice | np.ndarray) -> "Sources":
        """The same for some rows (slice, mask or index array)."""
        return Sources(self.table[rows], self.coords[rows], self.status[rows])

    def __repr__(self) -> str:
        bad = int(np.count_nonzero(self.status != Status.OK))
        return f"<Sources: {len(self)} rows, {bad} without usable coordinates>"


def read_sources(data: Any, *, ra: str | None = None, dec: str | None = None) -> Sources:
    """Understand a list of sources.

    Parameters
    ----------
    data : `~astropy.coordinates.SkyCoord`, `~astropy.table.Table`, path, pandas.DataFrame or mapping
        Positions, or a table that holds them, or the path of a file that
        `astropy.table.Table.read` knows (CSV, ECSV, FITS, VOTable, Parquet, ...).
        A SkyCoord is a single position or one-dimensional, in any frame.
        In a table, a SkyCoord column is taken first, then equatorial columns, then galactic ones,
        by their usual names in any case (``ra``/``dec``, ``RAJ2000``/``DEJ2000``, ``l``/``b``, ...).
        Columns without a unit are in degrees. Text may be decimal (in the unit of the column) or
        sexagesimal; right ascension is then in hours unless its unit is degrees or it says ``d``.
        A named pandas index becomes a column.
    ra, dec : str, optional
        Names of the ICRS coordinate columns. By default they are found by their usual names.

    Returns
    -------
    Sources
        One row per input row, in the same order; the input is not modified. A row whose position
        is masked, not a finite number, not readable or out of range (declination within +-90 deg,
        right ascension within -180 to 360 deg) has the status ``BAD_COORDINATES``.

    Raises
    ------
    SourcesError
        If no coordinates can be recognised, or a file cannot be read.

    Notes
    -----
    Proper motions are not applied: positions are used at the epoch they are given for, while
    AllWISE was observed in 2010. Columns for equinox J2000 are taken as ICRS, which agrees to
    about 0.02 arcsec; a SkyCoord in FK4 or FK5 is transformed.

    Examples
    --------
    >>> from astro_iicnet.sources import read_sources
    >>> read_sources({"RA": ["10:20:30", "null"], "DEC": [12.5, 13.5]})
    <Sources: 2 rows, 1 without usable coordinates>
    """
    if isinstance(data, Sources):
        return data
    if isinstance(data, BaseCoordinateFrame):
        data = SkyCoord(data)
    if isinstance(data, SkyCoord):
        if ra is not None or dec is not None:
            raise SourcesError(f"Got ra={ra!r}, dec={dec!r} with a SkyCoord: they name columns of a table.")
        coords = _to_icrs(np.atleast_1d(data), "the SkyCoord")
        table = Table({"ra": coords.ra.deg * u.deg, "dec": coords.dec.deg * u.deg})
    else:
        table = _as_table(data)
        try:
            coords = _find_coordinates(table, ra, dec)
        except SourcesError as error:
            if isinstance(data, (str, os.PathLike)):
                raise SourcesError(f"{str(data)!r}: {error}") from None
            raise
    bad = ~(np.isfinite(coords.ra.deg) & np.isfinite(coords.dec.deg))
    status = np.where(bad, Status.BAD_COORDINATES, Status.OK).astype(np.uint8)
    return Sources(table, coords, status)


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table file of any format that astropy knows.

    Parameters
    ----------
    path : str or path-like
        The file. Its format is recognised by astropy, else by the extension, else as plain text.

    Returns
    -------
    `~astropy.table.Table`
        The table.

    Raises
    ------
    SourcesError
        If there is no such file or it cannot be read as a table.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "it is a folder" if file.is_dir() else "there is no such file"
        raise SourcesError(f"Cannot read {str(path)!r}: {what}. Expected the path of a table file.")
    try:
        with warnings.catch_warnings():
            # About columns that are only passed on.
            warnings.simplefilter("ignore", u.UnitsWarning)
            warnings.simplefilter("ignore", VOWarning)
            return _read_any_format(file)
    except Exception as error:  # readers of all formats raise errors of all kinds
        raise SourcesError(f"Cannot read {str(path)!r} as a table: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for use inside another message.

    Parameters
    ----------
    error : BaseException
        Any error.

    Returns
    -------
    str
        At most 300 characters; the kind of the error if it has no message.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _read_any_format(file: Path) -> Table:
    try:
        return Table.read(file)
    except IORegistryError:
        bare = file.with_suffix("") if file.suffix.lower() in (".gz", ".bz2", ".xz") else file
        if bare.suffix.lower() in _NOT_PLAIN_TEXT:
            raise ValueError(f"its content is not that of a {bare.suffix} file with a table.") from None
        return Table.read(file, format=_TEXT_FORMATS.get(bare.suffix.lower(), "ascii"))


def _as_table(data: Any) -> Table:
    if isinstance(data, Table):
        return data.copy()
    if isinstance(data, Row):
        return data.table[[data.index]]
    if isinstance(data, (str, os.PathLike)):
        return read_table(data)
    kind = type(data).__name__
    try:
        if hasattr(data, "columns") and hasattr(data, "reset_index"):
            return _from_pandas(data)
        if isinstance(data, Mapping) or (isinstance(data, np.ndarray) and data.dtype.names):
            return Table(data)
    except (TypeError, ValueError) as error:
        raise SourcesError(f"Cannot make a table of the {kind}: {first_line(error)}") from None
    raise SourcesError(
        f"Cannot read sources from a {kind}: expected a SkyCoord, a Table, a pandas DataFrame, "
        "a dict of columns or the path of a table file. For plain numbers give "
        "SkyCoord(ra, dec, unit='deg'), so that it is clear which is which."
    )


def _from_pandas(frame: Any) -> Table:
    named = [name for name in frame.index.names if name is not None]
    if named:
        frame = frame.reset_index(level=named)
    frame = frame.rename(columns=str)
    repeated = frame.columns[frame.columns.duplicated()].unique().tolist()
    if repeated:
        raise ValueError(f"more than one column is called {', '.join(map(repr, repeated))}.")
    return Table.from_pandas(frame).copy()


def _find_coordinates(table: Table, ra: str | None, dec: str | None) -> SkyCoord:
    """ICRS positions of the rows of a table, NaN where not usable."""
    if ra is not None or dec is not None:
        return _named_coordinates(table, ra, dec)
    sky = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
    if len(sky) > 1:
        raise SourcesError(
            f"The table has {len(sky)} SkyCoord columns: {', '.join(map(repr, sky))}. Give the one to use "
            f"by itself, as in table[{sky[0]!r}], or name columns of numbers, as in ra='ra', dec='dec'."
        )
    if sky:
        return _to_icrs(table[sky[0]], f"the column {sky[0]!r}")
    names: dict[str, list[str]] = {}
    for name in table.colnames:
        # Spreadsheets begin a CSV file with a byte order mark.
        names.setdefault(re.sub(r"[\s()\[\]\ufeff]", "", name).lower(), []).append(name)
    for longitude, latitude, frame in _COLUMN_NAMES:
        if longitude in names and latitude in names:
            lon, lat = _only(names[longitude]), _only(names[latitude])
            return _from_columns(table, lon, lat, frame)
    raise SourcesError(_not_found(table.colnames))


def _named_coordinates(table: Table, ra: str | None, dec: str | None) -> SkyCoord:
    if ra is None or dec is None:
        raise SourcesError(f"Name both coordinate columns or neither: got ra={ra!r}, dec={dec!r}.")
    for name in (ra, dec):
        if name not in table.colnames:
            raise SourcesError(unknown_name("column", name, table.colnames))
        if isinstance(table[name], SkyCoord):
            raise SourcesError(f"The column {name!r} holds SkyCoords: give table[{name!r}] as the sources.")
    return _from_columns(table, ra, dec, ICRS)


def _only(names: list[str]) -> str:
    if len(names) > 1:
        raise SourcesError(
            f"The columns {' and '.join(map(repr, names))} could both be meant. "
            "Say which to use, as in ra='ra', dec='dec'."
        )
    return names[0]


def _not_found(colnames: list[str]) -> str:
    found = ", ".join(map(repr, colnames)) or "none"
    message = (
        f"No coordinates found. The columns are: {found}. Name those to use, as in ra='my_ra', dec='my_dec' "
        "(--ra and --dec on the command line), or rename them to ra and dec (ICRS) or l and b (galactic), "
        "or add a SkyCoord column."
    )
    lowered = {name.lower(): name for name in colnames}
    usual = {name for pair in _COLUMN_NAMES for name in pair[:2] if len(name) > 1}
    close = [real for low, real in lowered.items() if difflib.get_close_matches(low, usual, n=1, cutoff=0.75)]
    if close:
        message += f" Perhaps these: {', '.join(map(repr, close))}."
    if colnames and all(re.fullmatch(r"[-+.\d:e ]+(_\d+)?|col\d+", name.strip()) for name in colnames):
        message += " The names are numbers: does the file lack a line of column names?"
    return message


def _from_columns(table: Table, lon: str, lat: str, frame: type[BaseCoordinateFrame]) -> SkyCoord:
    longitude = _degrees(table[lon], lon, right_ascension=frame is ICRS)
    latitude = _degrees(table[lat], lat, right_ascension=False)
    with np.errstate(invalid="ignore"):
        good = (longitude >= -180) & (longitude <= 360) & (np.abs(latitude) <= 90)
    longitude[~good] = latitude[~good] = np.nan
    return SkyCoord(longitude * u.deg, latitude * u.deg, frame=frame).icrs


def _to_icrs(coords: SkyCoord, what: str) -> SkyCoord:
    """Positions without motions, masks or distances; NaN where not usable."""
    if coords.ndim != 1:
        raise SourcesError(
            f"Expected one position per row, but {what} has shape {coords.shape}. Give coords.ravel()."
        )
    try:
        data = coords.data.without_differentials()
        # A distance says nothing on where to look, and one that is NaN would spoil the direction.
        if issubclass(coords.frame.default_representation, SphericalRepresentation):
            data = data.represent_as(UnitSphericalRepresentation)
        frame = coords.frame.realize_frame(data)
        icrs = frame.transform_to(ICRS())
    except (TypeError, ValueError, AttributeError) as error:
        raise SourcesError(f"Cannot transform {what} to ICRS: {first_line(error)}") from None
    lon, lat = (_fill_masked(angle) for angle in (icrs.ra, icrs.dec))
    bad = ~np.isfinite(lon + lat)
    lon[bad] = lat[bad] = np.nan
    return SkyCoord(lon * u.deg, lat * u.deg)


def _fill_masked(angle: u.Quantity) -> np.ndarray:
    values = np.array(getattr(angle, "unmasked", angle).to_value(u.deg), dtype=float)
    values[np.broadcast_to(getattr(angle, "mask", False), values.shape)] = np.nan
    return values


def _degrees(column: Any, name: str, *, right_ascension: bool) -> np.ndarray:
    """A column as (N,) float64 [deg], NaN where it is masked or not a number."""
    if not isinstance(column, (Column, u.Quantity)):
        raise SourcesError(f"The column {name!r} holds {type(column).__name__}, expected numbers or text.")
    if column.ndim != 1:
        raise SourcesError(
            f"The column {name!r} holds arrays of shape {column.shape[1:]}, expected one number in each row."
        )
    unit = _angle_unit(column.unit, name, right_ascension)
    values = np.asarray(getattr(column, "unmasked", column))
    if values.dtype.kind in "fiu":
        degrees = values.astype(float) * (unit or u.deg).to(u.deg)
    elif values.dtype.kind in "SUO":
        degrees = _parse_text(values, unit, right_ascension)
    else:
        raise SourcesError(f"The column {name!r} is of type {values.dtype}, expected numbers or text.")
    degrees[np.broadcast_to(getattr(column, "mask", False), degrees.shape)] = np.nan
    return degrees


def _angle_unit(unit: u.UnitBase | None, name: str, right_ascension: bool) -> u.UnitBase | None:
    """The unit of a coordinate column, None where it has none."""
    if unit is None or unit == u.dimensionless_unscaled:
        return None
    loose = _LOOSE_UNITS.get(str(unit).strip("\"' ").lower())
    if loose is not None and (right_ascension or loose == u.deg):
        return loose
    if isinstance(unit, u.UnrecognizedUnit) or not unit.is_equivalent(u.deg):
        raise SourcesError(
            f"The column {name!r} has the unit {str(unit)!r}, expected an angle (deg, hourangle or rad). "
            f"Correct it, as in table[{name!r}].unit = 'deg', or name other columns with ra= and dec=."
        )
    return unit


def _parse_text(values: np.ndarray, unit: u.UnitBase | None, right_ascension: bool) -> np.ndarray:
    """Angles written as decimal or sexagesimal text -> (N,) float64 [deg], NaN where not readable."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    decimal = (unit or u.deg).to(u.deg)
    hours = right_ascension if unit is None else unit == u.hourangle
    degrees = np.empty(len(values))
    for start in range(0, len(values), _TEXT_BLOCK):
        block = slice(start, start + _TEXT_BLOCK)
        try:
            degrees[block] = values[block].astype(float) * decimal
        except (TypeError, ValueError):
            degrees[block] = _parse_block(values[block].astype(str), decimal, 15.0 if hours else 1.0)
    return degrees


def _parse_block(texts: np.ndarray, decimal: float, sexagesimal: float) -> np.ndarray:
    text = "\n".join(" ".join(item.splitlines()) if "\n" in item else item for item in texts.tolist())
    rows = _SEXAGESIMAL.findall(text.lower().replace("deg", "d").translate(_SIGNS))
    sign, whole, mark, minutes, seconds = (np.array(group) for group in zip(*rows, strict=True))
    a, b, c = (np.where(part == "", "0", part).astype(float) for part in (whole, minutes, seconds))
    parted = minutes != ""
    good = (whole != "") & (parted | (mark != ":")) & (~parted | (a == np.floor(a))) & (b < 60) & (c <= 60)
    scale = np.select([mark == "h", mark == "d", parted], [15.0, 1.0, sexagesimal], decimal)
    degrees = np.where(sign == "-", -1.0, 1.0) * (a + b / 60 + c / 3600) * scale
    return np.where(good, degrees, np.nan)
