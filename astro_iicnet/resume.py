"""What a long run has found so far, on disk: it can be killed at any moment and go on where it was."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.priors import reweight
from astro_iicnet.results import IMAGES_COLUMN, META_KEY, PROBABILITY_COLUMNS
from astro_iicnet.sources import first_line

FINDING = np.dtype(
    [("probabilities", "<f4", (len(CLASSES),)), ("status", "u1"), ("flags", "<i2"), ("served_by", "i1")]
)
"""What is found of a source: probabilities before priors, NaN where unknown; codes of Status and Flag;
the place in the list of image sources of the one that served it, -1 where none did."""

_SAME = {
    "weights_sha256": "weights",
    "images": "images",
    "folders": "folder of images",
    "positions_sha256": "positions in the list",
    "average": "choice of average",
    "magnitudes": "choice of magnitudes",
    "magnitudes_sha256": "magnitudes in the list",
    "chunk_size": "chunk_size",
}
"""What must be the same when a run goes on, and what to call it."""

_FILE = "journal.sqlite"
_VERSION = 1


def new_findings(status: np.ndarray) -> np.ndarray:
    """Findings of sources of which nothing is known but the status.

    Parameters
    ----------
    status : numpy.ndarray
        (N,) codes of `~astro_iicnet.labels.Status`.

    Returns
    -------
    numpy.ndarray
        (N,) of dtype `FINDING`.
    """
    findings = np.zeros(len(status), FINDING)
    findings["probabilities"] = np.nan
    findings["status"] = status
    findings["served_by"] = -1
    return findings


def read_findings(table: Table, images: Sequence[str], training_fractions: np.ndarray) -> np.ndarray:
    """Findings behind a result table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A result table of N rows with provenance.
    images : sequence of str
        Names of the image sources, in the order in which they were tried.
    training_fractions : numpy.ndarray
        (3,) class fractions of the training set: the priors of the table are undone.

    Returns
    -------
    numpy.ndarray
        (N,) of dtype `FINDING`.
    """
    labels = np.asarray(table["iicnet_status"])
    status = np.zeros(len(table), np.uint8)
    for code in Status:
        status[labels == code.label] = code
    findings = new_findings(status)
    columns = [np.ma.filled(np.ma.asarray(table[name]), np.nan) for name in PROBABILITY_COLUMNS]
    priors = np.array([table.meta[META_KEY]["priors"][name] for name in CLASSES])
    findings["probabilities"] = np.stack(columns, axis=1)
    if not np.array_equal(priors, training_fractions):
        findings["probabilities"] = reweight(findings["probabilities"], training_fractions, priors)
    findings["flags"] = np.asarray(table["iicnet_flags"])
    if IMAGES_COLUMN in table.colnames:
        findings["served_by"] = place_of(np.ma.filled(np.ma.asarray(table[IMAGES_COLUMN]), ""), images)
    return findings


def place_of(names: np.ndarray, images: Sequence[str]) -> np.ndarray:
    """Place of each name in the list of image sources.

    Parameters
    ----------
    names : numpy.ndarray
        (N,) str.
    images : sequence of str
        Names of the image sources.

    Returns
    -------
    numpy.ndarray
        (N,) int8, -1 where the name is none of them.
    """
    place = np.full(len(names), -1, np.int8)
    for index, name in reversed(list(enumerate(images))):
        place[names == name] = index
    return place


def positions_sha256(coords: SkyCoord) -> str:
    """SHA-256 of a list of positions.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) ICRS positions, NaN where there is none.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    position = np.stack([coords.ra.deg, coords.dec.deg], axis=1).astype("<f8")
    position[np.isnan(position)] = np.nan  # there are many NaNs, this is one of them
    return hashlib.sha256(position.tobytes()).hexdigest()


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], output: Path) -> None:
    """Refuse to go on with other weights, images or positions than those a run began with.

    Parameters
    ----------
    before : mapping
        Provenance of what there is.
    now : mapping
        Provenance of what is asked for. What it lacks, or is None in it, may be anything.
    output : pathlib.Path
        The file of the run, for the message.

    Raises
    ------
    IICnetError
        If they differ; the message says in what.
    """
    found = []
    for key, word in _SAME.items():
        if now.get(key) is None or now[key] == before.get(key):
            continue
        names = [mapping.get("weights" if key == "weights_sha256" else key) for mapping in (before, now)]
        shown = key not in ("positions_sha256", "magnitudes_sha256") and names[0] != names[1]
        found.append(f"{word} ({names[0]!r}, now {names[1]!r})" if shown else word)
    if found:
        raise IICnetError(
            f"Cannot resume {output.name!r}: it was begun with other {', other '.join(found)}. Ask for what "
            "it was begun with, or start anew with overwrite=True (on the command line --overwrite)."
        )


class Journal:
    """The findings of an unfinished run, in a folder beside its output; locked while it is open.

    It is a context, to be left without an error when the output is in its place: then the folder and
    all in it is removed. After an error it stays, unless it holds no findings. The folder is called
    as the output with ".partial" at the end.

    Parameters
    ----------
    output : pathlib.Path
        The file that the run shall write.
    resume, overwrite : bool, default False
        Whether findings of an earlier run may be there, to be used or to be thrown away.

    Raises
    ------
    IICnetError
        If another run writes the same output, if an earlier one has left findings and neither
        ``resume`` nor ``overwrite`` is said, or if the folder cannot be made or used.

    Notes
    -----
    An SQLite database with a rollback journal, one transaction for each chunk. The lock is that of
    the database, and the system gives it back when the process is killed.
    """

    def __init__(self, output: Path, *, resume: bool = False, overwrite: bool = False) -> None:
        self.folder = output.with_name(f"{output.name}.partial")
        self._output = output
        self._path = self.folder / _FILE
        self._overwrite = overwrite
        self._connection = self._open()
        self._holds_findings = not self._is_empty()
        if self._holds_findings and not (resume or overwrite):
            self._connection.close()
            raise IICnetError(
                f"Cannot write {str(output)!r}: an unfinished run is in {self.folder.name!r} beside it. Go "
                "on with resume=True (on the command line --resume), or start anew with overwrite=True "
                "(--overwrite)."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or not self._holds_findings:
            self._remove()
        else:
            self._connection.close()
            error.add_note(
                f"Finished rows are kept in {self.folder.name!r}: go on with resume=True (on the command "
                "line --resume)."
            )

    @property
    def is_new(self) -> bool:
        """Whether a run is to begin in it, rather than to go on."""
        with self._plain_errors():
            return self._overwrite or not self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()

    def begin(self, run: Mapping[str, Any], findings: np.ndarray | None = None) -> dict[str, Any]:
        """Begin a run, or go on with the one that the journal holds.

        Parameters
        ----------
        run : mapping
            Provenance of the run, see `check_same`.
        findings : numpy.ndarray, optional
            (N,) of dtype `FINDING`: what is known already when a run begins. Default: nothing.

        Returns
        -------
        dict
            The provenance with which the run was begun.

        Raises
        ------
        IICnetError
            If the journal holds another run than this, or cannot be used.
        """
        with self._plain_errors():
            if self.is_new:
                with self._connection:
                    self._make_tables(run)
                    if findings is not None:
                        self.add(np.arange(len(findings)), findings)
                self._overwrite = False
            (text,) = self._connection.execute("SELECT provenance FROM run").fetchone()
        before = json.loads(text)
        check_same(before, run, self._output)
        return before

    def add(self, rows: np.ndarray, findings: np.ndarray) -> None:
        """Put the findings of a chunk on disk; they take the place of earlier ones of the same rows.

        Parameters
        ----------
        rows : numpy.ndarray
            (M,) int: which sources these are.
        findings : numpy.ndarray
            (M,) of dtype `FINDING`.

        Raises
        ------
        IICnetError
            If they cannot be written, as on a full disk; nothing that was there is lost.
        """
        values = (rows.astype("<i8").tobytes(), findings.astype(FINDING).tobytes())
        with self._plain_errors():
            self._connection.execute("INSERT INTO chunk (source_row, finding) VALUES (?, ?)", values)
        self._holds_findings = True

    def read(self, findings: np.ndarray) -> np.ndarray:
        """Put what the journal holds into the findings of all sources.

        Parameters
        ----------
        findings : numpy.ndarray
            (N,) of dtype `FINDING`; it is modified.

        Returns
        -------
        numpy.ndarray
            (N,) bool: which sources the journal knows.

        Raises
        ------
        IICnetError
            If the journal cannot be read.
        """
        known = np.zeros(len(findings), bool)
        with self._plain_errors():
            chunks = self._connection.execute("SELECT source_row, finding FROM chunk ORDER BY number")
            for row_bytes, finding_bytes in chunks:
                rows = np.frombuffer(row_bytes, "<i8")
                findings[rows] = np.frombuffer(finding_bytes, FINDING)
                known[rows] = True
        return known

    def _remove(self) -> None:
        files = [self.folder / name for name in (self._output.name, _FILE, f"{_FILE}-journal")]
        if os.name != "nt":  # where open files can be removed: no other run finds what is about to go
            _remove(files)
        self._connection.close()
        if os.name == "nt":
            _remove(files)
        with suppress(OSError):
            self.folder.rmdir()

    def _open(self) -> sqlite3.Connection:
        """Open and lock the database, in place of one that is none where it may be overwritten."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise IICnetError(f"Cannot write in {str(self.folder)!r}: {first_line(error)}") from None
        try:
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise IICnetError(
                    f"Another run is writing {str(self._output)!r}: wait for its end, or give another name."
                ) from None
            if self._overwrite and error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                self._path.unlink()
                return self._open()
            raise self._unusable(error) from None
        if not self._path.exists():  # another run has just come to its end
            connection.close()
            return self._open()
        if version > _VERSION and not self._overwrite:
            connection.close()
            raise self._unusable("it was written by a later version of astro_iicnet")
        return connection

    def _make_tables(self, run: Mapping[str, Any]) -> None:
        """Throw away what is there and note the run, in a transaction that the caller ends."""
        self._connection.execute("BEGIN")
        self._connection.execute("DROP TABLE IF EXISTS run")
        self._connection.execute("DROP TABLE IF EXISTS chunk")
        self._connection.execute("CREATE TABLE run (provenance TEXT)")
        self._connection.execute(
            "CREATE TABLE chunk (number INTEGER PRIMARY KEY, source_row BLOB, finding BLOB)"
        )
        self._connection.execute("INSERT INTO run VALUES (?)", (json.dumps(dict(run)),))
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        self._holds_findings = False

    def _is_empty(self) -> bool:
        with self._plain_errors():
            tables = self._connection.execute("SELECT name FROM sqlite_master").fetchall()
            return ("chunk",) not in tables or not self._connection.execute("SELECT 1 FROM chunk").fetchone()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, reason: object) -> IICnetError:
        return IICnetError(
            f"Cannot use {str(self._path)!r}, which keeps the finished rows: {reason}. Mend that and go on "
            "with resume=True (on the command line --resume), or start anew with overwrite=True "
            "(--overwrite)."
        )


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()
