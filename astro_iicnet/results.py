"""The result columns beside the user's own, and their counts."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from astro_iicnet.exceptions import IICnetError, SourcesError
from astro_iicnet.labels import CLASSES, Flag, Status
from astro_iicnet.prediction_sets import SEPARATOR
from astro_iicnet.sources import Sources

PROBABILITY_COLUMNS = tuple(f"iicnet_p_{name}" for name in CLASSES)
"""Columns of the class probabilities, in the order of `~astro_iicnet.labels.CLASSES`."""

RESULT_COLUMNS = ("iicnet_class", *PROBABILITY_COLUMNS, "iicnet_status", "iicnet_flags")
"""Columns that every result table has after those of the input."""

SET_COLUMN = "iicnet_set"
"""Column after them of the prediction sets, where a coverage was asked for."""

IMAGES_COLUMN = "iicnet_images"
"""Column at the end that names the image source of each row, where several sources were tried."""

LOW_CONFIDENCE = 0.6
"""A class less probable than this has the flag ``LOW_CONFIDENCE``."""

META_KEY = "astro_iicnet"
"""Where the provenance is in the ``meta`` of a result table."""

_DTYPES = {
    "iicnet_class": np.dtype(f"U{max(map(len, CLASSES))}"),
    **dict.fromkeys(PROBABILITY_COLUMNS, np.dtype(np.float32)),
    "iicnet_status": np.dtype(f"U{max(len(status.label) for status in Status)}"),
    "iicnet_flags": np.dtype(np.int16),
    SET_COLUMN: np.dtype(f"U{len(SEPARATOR.join(CLASSES))}"),
}
_DESCRIPTIONS = {
    "iicnet_class": "Most probable class",
    **{f"iicnet_p_{name}": f"Probability of class {name}" for name in CLASSES},
    "iicnet_status": "Why the row has, or has not, a class",
    "iicnet_flags": "Bit mask: " + ", ".join(f"{flag.value} {str(flag.name).lower()}" for flag in Flag),
    SET_COLUMN: "Classes that hold the true one with the probability that was asked for",
}


def check_names(table: Table) -> None:
    """Refuse a table that has a column of the name of a result column.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The input table.

    Raises
    ------
    SourcesError
        If one of its columns is called as one of `RESULT_COLUMNS`, `SET_COLUMN` or `IMAGES_COLUMN`, in
        any case: many file formats cannot tell the two apart.
    """
    names = (*RESULT_COLUMNS, SET_COLUMN, IMAGES_COLUMN)
    taken = [name for name in table.colnames if name.lower() in names]
    if taken:
        raise SourcesError(
            f"The input already has {', '.join(map(repr, taken))}, the name of a result column. "
            f"Rename it, as in table.rename_column({taken[0]!r}, 'old_{taken[0]}'), or drop it, as in "
            f"table.remove_columns({taken!r})."
        )


def make_results(
    sources: Sources,
    probabilities: np.ndarray,
    status: np.ndarray,
    flags: np.ndarray,
    provenance: Mapping[str, Any],
    served_by: np.ndarray | None = None,
    sets: np.ndarray | None = None,
) -> Table:
    """Put the result columns beside those of the input.

    Parameters
    ----------
    sources : Sources
        N sources.
    probabilities : numpy.ndarray
        (N, 3) class probabilities, columns as in `~astro_iicnet.labels.CLASSES`; NaN where unknown.
    status : numpy.ndarray
        (N,) codes of `~astro_iicnet.labels.Status`.
    flags : numpy.ndarray
        (N,) bits of `~astro_iicnet.labels.Flag`; ``LOW_CONFIDENCE`` is set here.
    provenance : mapping
        What was used to get the results: anything that JSON can hold. Goes to
        ``meta["astro_iicnet"]``.
    served_by : numpy.ndarray, optional
        (N,) str: name of the image source that served the row, empty where none did. Default: there was
        one source only, and no column says so.
    sets : numpy.ndarray, optional
        (N,) str: the prediction sets, see `~astro_iicnet.prediction_sets.prediction_sets`. Default: no
        column of them.

    Returns
    -------
    `~astropy.table.Table`
        A copy of ``sources.table``, of the same class of table, rows and columns in the same order,
        followed by `RESULT_COLUMNS`, by `SET_COLUMN` if ``sets`` and by `IMAGES_COLUMN` if
        ``served_by`` is given. Class, probabilities and set are masked in every row whose status is
        not ``ok``. A row said to be ok without finite probabilities becomes ``bad_pixels``.

    Raises
    ------
    SourcesError
        If an input column has the name of a result column.
    IICnetError
        If the arrays do not hold one row for each source.
    """
    n = len(sources)
    probabilities = np.asarray(probabilities, dtype=np.float32)
    status, flags = np.array(status, dtype=np.uint8), np.array(flags, dtype=np.int16)
    shapes = {"probabilities": (n, len(CLASSES)), "status": (n,), "flags": (n,)}
    for (name, shape), array in zip(shapes.items(), (probabilities, status, flags), strict=True):
        if array.shape != shape:
            raise IICnetError(f"{name} has shape {array.shape}, expected {shape} for {n} sources.")
    check_names(sources.table)
    finite = np.isfinite(probabilities).all(axis=1)
    status[(status == Status.OK) & ~finite] = Status.BAD_PIXELS
    known = status == Status.OK
    probabilities = np.where(known[:, None], probabilities, np.float32(0))
    low = known & (probabilities.max(axis=1) < LOW_CONFIDENCE)
    flags = np.where(low, flags | Flag.LOW_CONFIDENCE, flags & ~np.int16(Flag.LOW_CONFIDENCE))
    labels = np.array([code.label for code in Status])
    columns = {
        "iicnet_class": np.where(known, np.array(CLASSES)[probabilities.argmax(axis=1)], ""),
        **dict(zip(PROBABILITY_COLUMNS, probabilities.T, strict=True)),
        "iicnet_status": labels[status],
        "iicnet_flags": flags,
    }
    table = sources.table.copy()
    if sets is not None:
        columns[SET_COLUMN] = np.where(known, sets, "")
    set_columns(table, columns, ~known)
    if served_by is not None:
        table[IMAGES_COLUMN] = Column(served_by, description="Image source that served the row")
    table.meta[META_KEY] = json.loads(json.dumps(dict(provenance)))
    return table


def class_counts(table: Table) -> dict[str, int]:
    """Number of rows of each class.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table.

    Returns
    -------
    dict
        Class name -> number of rows, all classes, in the order of `~astro_iicnet.labels.CLASSES`.
    """
    names = np.ma.filled(np.ma.asarray(table["iicnet_class"]), "")
    return {name: int(np.count_nonzero(names == name)) for name in CLASSES}


def status_counts(table: Table) -> dict[str, int]:
    """Number of rows of each status.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table.

    Returns
    -------
    dict
        Status -> number of rows, ``ok`` and the others that occur, in the order of
        `~astro_iicnet.labels.Status`.
    """
    names = np.asarray(table["iicnet_status"])
    counts = {code.label: int(np.count_nonzero(names == code.label)) for code in Status}
    return {name: count for name, count in counts.items() if count or name == Status.OK.label}


def summarise(table: Table) -> str:
    """Counts by class and status, as lines of text.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table.

    Returns
    -------
    str
        A few lines, without a newline at the end.
    """
    lines = [f"{len(table)} sources"]
    for title, counts in (("class", class_counts(table)), ("status", status_counts(table))):
        lines += [title, *(f"  {name:<18} {count:>9}" for name, count in counts.items())]
    return "\n".join(lines)


def set_columns(table: Table, columns: Mapping[str, np.ndarray], unknown: np.ndarray) -> None:
    """Set the result columns in their types and with their descriptions.

    Parameters
    ----------
    table : `~astropy.table.Table`
        N rows; it is modified.
    columns : mapping of str to numpy.ndarray
        (N,) values of each of `RESULT_COLUMNS`, and of `SET_COLUMN` if there are sets.
    unknown : numpy.ndarray
        (N,) bool: where class, probabilities and set are masked. Status and flags are known in every row.
    """
    for name in columns:
        values = np.asarray(columns[name]).astype(_DTYPES[name])
        if name in ("iicnet_status", "iicnet_flags"):
            column = Column(values, name=name, description=_DESCRIPTIONS[name])
        else:
            column = MaskedColumn(values, name=name, mask=unknown, description=_DESCRIPTIONS[name])
        table[name] = column
