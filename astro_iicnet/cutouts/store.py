"""Cutouts kept on disk: one file, shared by all threads and processes."""

import contextlib
import os
import sqlite3
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from astro_iicnet.config import cache_folder, conf
from astro_iicnet.cutouts import _database as database
from astro_iicnet.cutouts._database import Hits, Keys, OtherFormatError
from astro_iicnet.exceptions import StoreWarning

FILE_NAME = "cutouts.sqlite"
"""Name of the file in the folder of the store."""

_PATIENCE = 30.0  # s to wait for another process that writes
_SHORT_PATIENCE = 1.0  # s, for what may as well be left undone
_MAX_USED = 200_000  # cutouts whose time of use waits in memory for the next write

_T = TypeVar("_T")
_Used = dict[Path, list[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class StoreInfo:
    """What the store of cutouts holds.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    n_cutouts : int
        Cutouts of one band in it.
    n_bytes : int
        Size of the file [bytes].
    limit : int
        Size that it may reach [bytes].
    by_source : dict of str to int
        Cutouts of each image source.
    """

    path: Path
    n_cutouts: int
    n_bytes: int
    limit: int
    by_source: dict[str, int]


class CutoutStore:
    """Cutouts on disk, in one SQLite file that many threads and processes may share.

    Nothing is opened before it is needed. Where the store cannot be used (a folder that is read-only,
    a full disk, a file of something else), one warning says so and the work goes on without it: a store
    that cannot be written still gives what it holds, one that cannot be read acts as empty.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Folder of the file. By default ``conf.cache_dir``, or the cache folder of astropy where that is
        empty, as they are when the store is used.

    Warns
    -----
    StoreWarning
        Once, by any of the methods, with the reason and the remedy.

    Notes
    -----
    The file grows up to ``conf.cache_size``; then the cutouts that were not used for longest make
    room. With ``conf.cache_size = 0`` nothing is kept, and nothing found. Pixels and headers have a
    checksum that covers what they belong to: a damaged one counts as not found.

    Changes are transactions with a rollback journal, which is safe on network disks, as a
    write-ahead log is not: whatever ends a process, the file is sound at its next use.

    Times of use reach the file with the next `put`, or when the store is no longer used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.RLock()  # threads queue here, which is fairer than SQLite's waiting
        self._lost: set[tuple[Path, str]] = set()
        self._used: _Used = {}
        weakref.finalize(self, _save_used, self._used)

    def __reduce__(self) -> tuple[type["CutoutStore"], tuple[Path | None]]:
        return CutoutStore, (self._folder,)

    def get(
        self, source: str, tile: np.ndarray, band: str, x: np.ndarray, y: np.ndarray, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Look up cutouts.

        Parameters
        ----------
        source : str
            Name of the image source, as in "irsa".
        tile : numpy.ndarray
            (N,) str: the Atlas tiles.
        band : str
            Band name, as in "W1".
        x, y : numpy.ndarray
            (N,) int: the middle pixels, counted from 0 in the tile.
        size : int
            Pixels on a side.

        Returns
        -------
        found : numpy.ndarray
            (N,) bool.
        pixels : numpy.ndarray
            (n_found, size, size) float32 [DN], in the order of the rows found.
        """
        keys = Keys(source, band, size, tile.tolist(), x.tolist(), y.tolist())
        hits = Hits([], [], [], [])
        if self._may("read"):
            hits = self._read(lambda connection: database.find(connection, keys), hits)
        found = np.zeros(len(keys.tile), dtype=bool)
        found[hits.rows] = True
        if hits.damaged and self._may("write"):
            self._write(lambda connection: database.delete(connection, hits.damaged), None, quiet=True)
        if hits.ids:
            self._note_used(np.array(hits.ids))
        data = np.frombuffer(bytearray().join(hits.data), dtype="<f4")
        return found, data.reshape(-1, size, size).astype(np.float32, copy=False)

    def put(
        self,
        source: str,
        tile: np.ndarray,
        band: str,
        x: np.ndarray,
        y: np.ndarray,
        pixels: np.ndarray,
    ) -> None:
        """Keep cutouts, all in one transaction; older ones of the same place are replaced.

        Parameters
        ----------
        source : str
            Name of the image source, as in "irsa".
        tile : numpy.ndarray
            (N,) str: the Atlas tiles.
        band : str
            Band name, as in "W1".
        x, y : numpy.ndarray
            (N,) int: the middle pixels, counted from 0 in the tile.
        pixels : numpy.ndarray
            (N, S, S) float32 [DN], kept to the bit.
        """
        if not len(pixels) or not self._may("write"):
            return
        keys = Keys(source, band, pixels.shape[-1], tile.tolist(), x.tolist(), y.tolist())
        data = np.ascontiguousarray(pixels, dtype="<f4")
        self._write(lambda connection: database.insert(connection, keys, data, _limit()), None)

    def get_headers(self, source: str, band: str, tiles: Iterable[str]) -> dict[str, str]:
        """Look up headers of images.

        Parameters
        ----------
        source : str
            Name of the image source, as in "irsa".
        band : str
            Band name, as in "W1".
        tiles : iterable of str
            The Atlas tiles.

        Returns
        -------
        dict of str to str
            The text of the header of each tile that has one in the store.
        """
        if not self._may("read"):
            return {}
        return self._read(lambda connection: database.find_headers(connection, source, band, tiles), {})

    def put_headers(self, source: str, band: str, headers: Mapping[str, str]) -> None:
        """Keep headers of images, all in one transaction.

        Parameters
        ----------
        source : str
            Name of the image source, as in "irsa".
        band : str
            Band name, as in "W1".
        headers : mapping of str to str
            The text of the header of each tile.
        """
        if not headers or not self._may("write"):
            return
        self._write(
            lambda connection: database.insert_headers(connection, source, band, headers, _limit()), None
        )

    def info(self) -> StoreInfo:
        """Tell what the store holds.

        Returns
        -------
        StoreInfo
            Path, counts and sizes; counts of nothing where there is no store or it cannot be read.
        """
        empty = StoreInfo(self._path(), 0, 0, _limit(), {})

        def work(connection: sqlite3.Connection) -> StoreInfo:
            by_source = database.count(connection)
            n_bytes = database.pragma(connection, "page_count") * database.pragma(connection, "page_size")
            return StoreInfo(empty.path, sum(by_source.values()), n_bytes, empty.limit, by_source)

        return self._read(work, empty)

    def clear(self) -> int:
        """Remove all cutouts and headers, and give the disk space back.

        After it the store is tried again, whatever trouble it had before.

        Returns
        -------
        int
            Number of cutouts removed.
        """
        with self._lock:
            self._lost.clear()
        if not os.path.exists(self._path()):
            return 0
        return self._write(database.delete_all, 0, vacuum=True)

    def _path(self) -> Path:
        """The file, as the settings are now."""
        folder = Path(self._folder).expanduser().absolute() if self._folder else cache_folder()
        return folder / FILE_NAME

    def _may(self, use: str) -> bool:
        return conf.cache_size > 0 and (self._path(), use) not in self._lost

    def _read(self, work: Callable[[sqlite3.Connection], _T], default: _T) -> _T:
        """Read in one transaction, or give the default where that cannot be."""
        path = self._path()
        if not os.path.exists(path):
            return default
        try:
            with database.transaction(path, write=False, timeout=_PATIENCE) as connection:
                return default if database.is_new(connection) else work(connection)
        except (sqlite3.Error, OSError, OtherFormatError) as error:
            self._give_up(path, error, reading=True)
            return default

    def _write(
        self,
        work: Callable[[sqlite3.Connection], _T],
        default: _T,
        *,
        quiet: bool = False,
        vacuum: bool = False,
    ) -> _T:
        """Write in one transaction, or give the default where that cannot be."""
        path = self._path()
        timeout = _SHORT_PATIENCE if quiet else _PATIENCE
        with self._lock:
            if (path, "write") in self._lost:  # another thread found out meanwhile
                return default
            used = self._used.pop(path, [])
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with database.transaction(path, write=True, timeout=timeout) as connection:
                    if database.is_new(connection):
                        database.create(connection)
                    database.write_used(connection, used)
                    result = work(connection)
                    connection.execute("COMMIT")
                    database.give_back(connection, _limit(), everything=vacuum)
                return result
            except (sqlite3.Error, OSError, OtherFormatError) as error:
                if not quiet:
                    self._give_up(path, error, reading=False)
                return default

    def _note_used(self, ids: np.ndarray) -> None:
        if not self._may("write"):
            return
        with self._lock:
            used = self._used.setdefault(self._path(), [])
            used.append((time.time_ns(), ids))
            if sum(len(ids) for _, ids in used) > _MAX_USED:
                self._write(lambda connection: None, None, quiet=True)

    def _give_up(self, path: Path, error: Exception, *, reading: bool) -> None:
        """Warn, and use the store no more for what failed."""
        trouble, lost = _explain(error, reading)
        with self._lock:
            new = {(path, use) for use in lost} - self._lost
            self._lost |= new
        if new:
            warnings.warn(f"The store of cutouts {str(path)!r} {trouble}", StoreWarning, stacklevel=4)


def _save_used(used: _Used) -> None:
    """Write the times of use that are left when a store is no longer used."""
    for path in [path for path in used if os.path.exists(path)]:
        with (
            contextlib.suppress(sqlite3.Error, OtherFormatError),
            database.transaction(path, write=True, timeout=_SHORT_PATIENCE) as connection,
        ):
            if not database.is_new(connection):
                database.write_used(connection, used.pop(path))
                connection.execute("COMMIT")


def _limit() -> int:
    """Size that the file may reach [bytes]."""
    return int(conf.cache_size * 1e9)


def _explain(error: Exception, reading: bool) -> tuple[str, set[str]]:
    """Say what is wrong, what follows and what mends it; and for which uses the store is lost."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details of extended codes
    unusable = isinstance(error, OtherFormatError) or code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    if isinstance(error, OtherFormatError):
        trouble, remedy = str(error), "Move it away"
    elif code == sqlite3.SQLITE_NOTADB:
        trouble, remedy = "is a file of something else", "Move it away"
    elif code == sqlite3.SQLITE_CORRUPT:
        trouble, remedy = f"is damaged ({error})", "Delete the file while nothing uses it"
    elif code == sqlite3.SQLITE_BUSY:
        trouble, remedy = f"was locked by another process for {_PATIENCE:g} s", "End that process"
    elif code == sqlite3.SQLITE_FULL:
        trouble, remedy = "is on a disk that is full", "Free some space"
    elif code == sqlite3.SQLITE_IOERR:
        trouble, remedy = f"met a fault of the disk ({error})", "See whether it is full or a quota is used up"
    else:
        action = "read" if reading else "written"
        trouble, remedy = f"cannot be {action} ({error})", f"Allow its folder to be {action}"
    if reading or unusable:
        lost, follows = {"read", "write"}, "it is not used"
    else:
        lost, follows = {"write"}, "what it holds is used, nothing new is kept"
    return f"{trouble}: {follows}. {remedy}, or set astro_iicnet.conf.cache_dir to another folder.", lost
