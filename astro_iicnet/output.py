"""Files that hold result tables: written whole or not at all, and read back as they were."""

import io
import json
import os
import secrets
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io.registry import IORegistryError, identify_format
from astropy.table import Column, MaskedColumn, Table
from astropy.table.serialize import represent_mixins_as_columns
from astropy.time import Time
from astropy.units import Quantity, UnrecognizedUnit

from astro_iicnet.exceptions import IICnetError, SourcesError
from astro_iicnet.labels import Status
from astro_iicnet.results import IMAGES_COLUMN, META_KEY, RESULT_COLUMNS, SET_COLUMN, set_columns
from astro_iicnet.sources import first_line, read_table

_N_TRIED = 100  # rows written for trial
_FITS_KEY = "IICNET"
_VOTABLE_MARK = f"{META_KEY}: "
_FORMATS = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".parquet": "parquet",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
    ".tsv": "ascii.tab",
    ".tab": "ascii.tab",
}
_KEEPS_MIXINS = ("ascii.ecsv", "parquet", "hdf5")


def check_output(path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Make sure, before long work, that a result table can be written to a path.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its extension names the format, one that `astropy.table.Table.write` knows.
    overwrite : bool, default True
        Whether the file may exist already.

    Returns
    -------
    pathlib.Path
        The absolute path, links followed.

    Raises
    ------
    IICnetError
        If the format is unknown, the folder does not exist or cannot be written, or the file exists
        and ``overwrite`` is False.
    """
    target = Path(path).expanduser().resolve()
    folder = target.parent
    if target.exists() and not target.is_file():
        raise IICnetError(f"Cannot write {str(path)!r}: it exists and is not an ordinary file.")
    if target.exists() and not overwrite:
        raise IICnetError(
            f"Cannot write {str(path)!r}: it exists. Give another name, or overwrite it "
            "(overwrite=True, on the command line --overwrite)."
        )
    if not folder.is_dir():
        raise IICnetError(f"Cannot write {str(path)!r}: the folder {str(folder)!r} does not exist.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise IICnetError(f"Cannot write {str(path)!r}: no permission to write in {str(folder)!r}.")
    _format_of(target)
    return target


def check_storable(table: Table, path: str | os.PathLike[str] | None) -> None:
    """Make sure, before long work, that a format holds the columns of a table.

    The first rows of all columns, and the whole of those that hold Python objects, are written for
    trial to the folder for temporary files.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The user's list.
    path : str, path-like or None
        The file that the results shall go to; None for text as `results_text` gives it.

    Raises
    ------
    IICnetError
        If the format cannot hold them.
    """
    objects = [name for name in table.colnames if _holds_objects(table[name])]
    samples = [table[:_N_TRIED], table[objects]] if objects else [table[:_N_TRIED]]
    if path is None:
        for sample in samples:
            results_text(sample)
        return
    with TemporaryDirectory(prefix="astro_iicnet-") as folder:
        for sample in samples:
            _write_part(sample, Path(path), Path(folder, Path(path).name))


def write_results(
    table: Table, path: str | os.PathLike[str], *, overwrite: bool = True, scratch: Path | None = None
) -> None:
    """Write a result table to a file, whole or not at all.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table, or any other; it is not modified.
    path : str or path-like
        The file. Its extension names the format: ``.ecsv``, ``.csv``, ``.fits``, ``.vot``,
        ``.parquet`` or another that `astropy.table.Table.write` knows.
    overwrite : bool, default True
        Whether the file may exist already.
    scratch : pathlib.Path, optional
        Folder on the same disk in which the file is written, under its own name, before it is moved into
        place. Default: the folder of the file, under a random name.

    Raises
    ------
    IICnetError
        As `check_output`, or if writing fails; an old file is then left as it was.

    Notes
    -----
    ECSV and Parquet keep everything. FITS keeps the provenance as JSON in the header keyword
    ``IICNET``, VOTable in the description of the table; `read_results` finds it there. The other
    formats leave it out. FITS also leaves out nested ``meta`` of the user, and keeps units that it does
    not know, as ``mag(AB)``, in words. Where a format has no such columns, a SkyCoord column ``coord``
    becomes ``coord.ra`` and ``coord.dec``, a Time column numbers or ISO text, and a column of mixed
    Python objects text.
    """
    target = check_output(path, overwrite=overwrite)
    # The last ending alone, or two as in .fits.gz: writers look at them.
    suffix = "".join(target.suffixes[-2:]) if target.suffix.lower() == ".gz" else target.suffix
    part = target.with_name(f".{secrets.token_hex(8)}{suffix}") if scratch is None else scratch / target.name
    _write_part(table, target, part)
    try:
        os.replace(part, target)
    except OSError as error:
        raise IICnetError(f"Cannot write {str(path)!r}: {first_line(error)}") from None
    finally:
        part.unlink(missing_ok=True)


def read_results(path: str | os.PathLike[str]) -> Table:
    """Read a result table that `write_results` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    `~astropy.table.Table`
        The table, with text as str, the result columns as `make_results` gives them, and the provenance
        in ``meta["astro_iicnet"]`` where the format kept it.

    Raises
    ------
    SourcesError
        If the file cannot be read, or has no result columns.
    """
    table = read_table(path)
    missing = [name for name in RESULT_COLUMNS if name not in table.colnames]
    if missing:
        raise SourcesError(
            f"{str(path)!r} is not a table of results: it has no {', '.join(map(repr, missing))}."
        )
    for name in table.colnames:
        column = table[name]
        if isinstance(column.info.unit, UnrecognizedUnit):
            # FITS and VOTable know fewer units than astropy, which now tries itself.
            column.unit = str(column.unit)
        if isinstance(column, Column) and column.dtype.kind == "S":
            text = np.char.decode(np.asarray(column), "utf-8", "replace")
            table[name] = _like(column, text)
    unknown = np.asarray(table["iicnet_status"]) != Status.OK.label
    columns = {name: np.ma.getdata(np.ma.asarray(table[name])) for name in RESULT_COLUMNS}
    if SET_COLUMN in table.colnames:
        # Some formats take an empty word for a missing one.
        columns[SET_COLUMN] = np.ma.filled(np.ma.asarray(table[SET_COLUMN]), "")
    set_columns(table, columns, unknown)
    if IMAGES_COLUMN in table.colnames:
        table[IMAGES_COLUMN] = Column(np.ma.filled(np.ma.asarray(table[IMAGES_COLUMN]), ""))
    _restore_provenance(table)
    return table


def results_text(table: Table) -> str:
    """Give a result table as comma-separated ECSV.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table; it is not modified.

    Returns
    -------
    str
        The whole text.

    Raises
    ------
    IICnetError
        If ECSV cannot hold the table.
    """
    stream = io.StringIO()
    try:
        _storable(table, "ascii.ecsv").write(stream, format="ascii.ecsv", delimiter=",")
    except Exception as error:  # the user's columns and meta may hold anything
        raise IICnetError(f"Cannot write the table as ECSV: {first_line(error)}") from None
    return stream.getvalue()


def _write_part(table: Table, target: Path, part: Path) -> None:
    """Write to a file in the format of another one, down to the disk; on failure it goes again."""
    form = _format_of(target)
    options = {"path": "results", "serialize_meta": True} if form == "hdf5" else {}
    try:
        with warnings.catch_warnings():
            # About units that a format does not know, and names and meta of the user's own columns that it
            # cannot hold.
            warnings.simplefilter("ignore")
            _storable(table, form).write(part, format=form, overwrite=True, **options)
        with open(part, "rb+") as stream:
            os.fsync(stream.fileno())
    except BaseException as error:  # writers of all formats raise errors of all kinds
        part.unlink(missing_ok=True)
        if isinstance(error, Exception):
            raise IICnetError(f"Cannot write {str(target)!r}: {first_line(error)}") from None
        raise


def _format_of(target: Path) -> str:
    """The format that the extension names."""
    form = _FORMATS.get(target.suffix.lower())
    if form is None:
        try:
            form = (identify_format("write", Table, str(target), None, [str(target)], {}) or [None])[0]
        except IORegistryError:
            form = None
    if form is None:
        raise IICnetError(
            f"Cannot write {str(target)!r}: no table format for the extension {target.suffix!r}. "
            f"Use one of {', '.join(_FORMATS)}."
        )
    return form


def _storable(table: Table, form: str) -> Table:
    """The table as a format can hold it; the input keeps its columns."""
    table = table.copy(copy_data=False)
    _store_provenance(table, form)
    if form not in _KEEPS_MIXINS:
        for name in table.colnames:
            if isinstance(table[name], Time):
                table[name] = _time_column(table[name])
    if form not in (*_KEEPS_MIXINS, "fits"):
        table = represent_mixins_as_columns(table, exclude_classes=(Quantity,))
        table.meta.pop("__serialized_columns__", None)
    for name in table.colnames if form != "ascii.ecsv" else ():
        column = table[name]
        if _holds_objects(column) and all(np.ndim(x) == 0 for x in column):
            nothing = np.array([item is None for item in column.tolist()], dtype=bool)
            column = _like(column, np.where(nothing, "", np.asarray(column)).astype(str), nothing)
            table[name] = column
        if form == "fits" and isinstance(column, Column):
            table[name] = _fits_column(column)
    return table


def _fits_column(column: Column) -> Column:
    """A column as FITS holds it: text as bytes, no integers of one signed byte, no unknown truth."""
    if not _has_fits_unit(column):
        column = column.copy(copy_data=False)
        # The writer drops or refuses what astropy alone knows, but passes on mere words.
        column.unit = UnrecognizedUnit(str(column.unit))
    if column.dtype.kind == "U":
        # The FITS writer itself takes ASCII only.
        return _like(column, np.char.encode(np.asarray(column), "utf-8"))
    # The writer makes True and False of int8, and False of what is masked.
    is_masked_truth = column.dtype.kind == "b" and np.any(getattr(column, "mask", False))
    if column.dtype == np.int8 or is_masked_truth:
        return _like(column, np.asarray(column).astype(np.int16))
    return column


def _has_fits_unit(column: Column) -> bool:
    """Whether the FITS writer has words for the unit, if there is one."""
    try:
        if column.unit is not None:
            column.unit.to_string("fits")
    except ValueError:
        return False
    return True


def _holds_objects(column: Any) -> bool:
    return isinstance(column, Column) and column.dtype.kind == "O"


def _store_provenance(table: Table, form: str) -> None:
    if META_KEY not in table.meta:
        return
    if form == "fits":
        table.meta[_FITS_KEY] = json.dumps(table.meta.pop(META_KEY))
    elif form == "votable":
        # Descriptions are wrapped to lines, at spaces and inside long words.
        text = json.dumps(table.meta.pop(META_KEY), separators=(",", ":")).replace(" ", r"\u0020")
        table.meta["description"] = f"{table.meta.get('description', '')}\n{_VOTABLE_MARK}{text}".strip()


def _restore_provenance(table: Table) -> None:
    if _FITS_KEY in table.meta:
        table.meta[META_KEY] = json.loads(table.meta.pop(_FITS_KEY))
    before, mark, text = str(table.meta.get("description", "")).rpartition(_VOTABLE_MARK)
    if mark:
        table.meta[META_KEY] = json.loads("".join(text.split()))
        table.meta["description"] = before.strip()


def _like(column: Column, values: np.ndarray, masked: np.ndarray | bool = False) -> Column:
    """Other values in a column that keeps its mask, unit and description."""
    mask = np.ma.getmaskarray(np.ma.asarray(column)) | masked
    kind = MaskedColumn(values, mask=mask) if mask.any() else Column(values)
    kind.unit, kind.description = column.unit, column.description
    return kind


def _time_column(time: Time) -> Column:
    """Times as numbers where they are numbers (as in mjd), else as ISO text."""
    values = time.value if np.asarray(time.value).dtype.kind in "fiu" else time.isot
    return MaskedColumn(getattr(values, "unmasked", values), mask=getattr(values, "mask", False))
