"""The SQLite file of the store of cutouts: its tables, and the work of one transaction."""

import contextlib
import itertools
import math
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

FORMAT = 1
"""Version of the tables."""

_APPLICATION = 0x49494331  # "IIC1": tells the file from those of others
_PAGE = 8192  # bytes; a cutout of 41 x 41 pixels fills one alone, so each that is let go frees a page
_AT_ONCE = 8192  # pages to free in one transaction: after the limit was lowered nobody waits for long
_TABLES = (
    """CREATE TABLE images (id INTEGER PRIMARY KEY, source TEXT NOT NULL, band TEXT NOT NULL,
    tile TEXT NOT NULL, checksum INTEGER, header BLOB, UNIQUE (source, band, tile))""",
    """CREATE TABLE cutouts (id INTEGER PRIMARY KEY, image INTEGER NOT NULL, size INTEGER NOT NULL,
    y INTEGER NOT NULL, x INTEGER NOT NULL, used INTEGER NOT NULL, UNIQUE (image, size, y, x))""",
    "CREATE INDEX last_use ON cutouts (used)",
    # Apart from the cutouts, so that a new time of use does not write the pixels again.
    "CREATE TABLE pixels (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, data BLOB NOT NULL)",
)

Place = tuple[int | None, int, int, int]
"""Number of the image (None where the store does not know it), size, y and x."""


class OtherFormatError(Exception):
    """The file is not a store of cutouts that this version knows."""


@dataclass(frozen=True)
class Keys:
    """What tells N cutouts of one image source and band from all others."""

    source: str
    band: str
    size: int
    tile: list[str]
    x: list[int]
    y: list[int]

    def places(self, images: Mapping[str, int]) -> list[Place]:
        """Place of each row, with the numbers of the images by tile."""
        rows = zip(self.tile, self.y, self.x, strict=True)
        return [(images.get(tile), self.size, y, x) for tile, y, x in rows]

    def checksums(self) -> list[int]:
        """Checksum of each key; that of the pixels goes on from it."""
        image = f"{self.source} {self.band} {self.size}"
        start = {tile: zlib.crc32(f"{image} {tile}".encode()) for tile in set(self.tile)}
        rows = zip(self.tile, self.x, self.y, strict=True)
        return [zlib.crc32(b"%d %d" % (x, y), start[tile]) for tile, x, y in rows]


class Hits(NamedTuple):
    """Rows found, their numbers in the store and their pixels; and the numbers of damaged ones."""

    rows: list[int]
    ids: list[int]
    data: list[bytes]
    damaged: list[int]


@contextmanager
def transaction(path: Path, *, write: bool, timeout: float) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction, which is undone unless it is committed.

    A connection that lives no longer needs no care at a fork or at the end of the program.
    """
    uri = f"{path.as_uri()}?mode={'rwc' if write else 'rw'}"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)) as connection:
        if write:
            if not pragma(connection, "page_count"):  # these would write to a file that has any
                connection.execute(f"PRAGMA page_size = {_PAGE}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA cache_size = -32768")  # kB: room for a put, which is written once
            connection.execute("PRAGMA secure_delete = OFF")  # some systems overwrite what is deleted
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield connection


def is_new(connection: sqlite3.Connection) -> bool:
    """Tell whether the file is still empty; raise OtherFormatError if it is not ours."""
    application, version = pragma(connection, "application_id"), pragma(connection, "user_version")
    if (application, version) == (_APPLICATION, FORMAT):
        return False
    if application == _APPLICATION:
        raise OtherFormatError(
            f"has format {version}, and this version of astro_iicnet knows format {FORMAT}"
        )
    if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() != (0,):
        raise OtherFormatError("is a database of something else")
    return True


def create(connection: sqlite3.Connection) -> None:
    """Make the tables."""
    for table in _TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Ask SQLite for a number."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def find(connection: sqlite3.Connection, keys: Keys) -> Hits:
    """Look up cutouts and check them."""
    hits = Hits([], [], [], [])
    images = _image_ids(connection, keys.source, keys.band, keys.tile)
    sql = """SELECT id, checksum, data FROM cutouts JOIN pixels USING (id)
    WHERE image = ? AND size = ? AND y = ? AND x = ?"""
    cursor, n_bytes = connection.cursor(), 4 * keys.size**2
    for row, (place, start) in enumerate(zip(keys.places(images), keys.checksums(), strict=True)):
        if place[0] is None or (hit := cursor.execute(sql, place).fetchone()) is None:
            continue
        number, checksum, data = hit
        if len(data) != n_bytes or zlib.crc32(data, start) != checksum:
            hits.damaged.append(number)
            continue
        hits.rows.append(row)
        hits.ids.append(number)
        hits.data.append(data)
    return hits


def insert(connection: sqlite3.Connection, keys: Keys, data: np.ndarray, limit: int) -> None:
    """Keep cutouts in place of older ones, as many as the limit [bytes] lets in."""
    images = _image_ids(connection, keys.source, keys.band, keys.tile, add=True)
    rows = {place: row for row, place in enumerate(keys.places(images))}  # of equal ones the last
    sql = "SELECT id FROM cutouts WHERE image = ? AND size = ? AND y = ? AND x = ?"
    older = [connection.execute(sql, place).fetchone() for place in rows]
    delete(connection, [hit[0] for hit in older if hit])
    pages_each, other_pages = 1 + data[0].nbytes // (_PAGE - 100), 4 + len(rows) // 64
    room = _make_room(connection, pages_each * len(rows) + other_pages, pages_each, limit)
    (last,) = connection.execute("SELECT IFNULL(MAX(id), 0) FROM cutouts").fetchone()
    n = max(0, room - other_pages) // pages_each
    chosen = list(zip(itertools.count(last + 1), itertools.islice(rows.items(), n)))
    now, start = time.time_ns(), keys.checksums()
    connection.executemany(
        "INSERT INTO cutouts (id, image, size, y, x, used) VALUES (?, ?, ?, ?, ?, ?)",
        ((number, *place, now) for number, (place, _) in chosen),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO pixels (id, checksum, data) VALUES (?, ?, ?)",
        ((number, zlib.crc32(data[row], start[row]), data[row]) for number, (_, row) in chosen),
    )


def delete(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Remove cutouts by their numbers."""
    for table in ("pixels", "cutouts"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in ids])


def delete_all(connection: sqlite3.Connection) -> int:
    """Remove everything; return how many cutouts there were."""
    (n,) = connection.execute("SELECT COUNT(*) FROM cutouts").fetchone()
    for table in ("pixels", "cutouts", "images"):
        connection.execute(f"DELETE FROM {table}")
    return n


def count(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of cutouts of each image source."""
    sql = "SELECT source, COUNT(*) FROM cutouts JOIN images ON images.id = image GROUP BY source"
    return dict(connection.execute(sql).fetchall())


def find_headers(
    connection: sqlite3.Connection, source: str, band: str, tiles: Iterable[str]
) -> dict[str, str]:
    """Look up headers and check them."""
    sql = "SELECT checksum, header FROM images WHERE source = ? AND band = ? AND tile = ?"
    found = {}
    for tile in set(tiles):
        checksum, data = connection.execute(sql, (source, band, tile)).fetchone() or (None, None)
        if data is not None and _header_checksum(source, band, tile, data) == checksum:
            found[tile] = zlib.decompress(data).decode()
    return found


def insert_headers(
    connection: sqlite3.Connection, source: str, band: str, headers: Mapping[str, str], limit: int
) -> None:
    """Keep headers, unless the limit [bytes] is too low for them."""
    packed = {tile: zlib.compress(text.encode()) for tile, text in headers.items()}
    needed = 4 + 2 * sum(map(len, packed.values())) // _PAGE
    if _make_room(connection, needed, 1, limit) < needed:
        return
    _image_ids(connection, source, band, headers, add=True)
    connection.executemany(
        "UPDATE images SET header = ?, checksum = ? WHERE source = ? AND band = ? AND tile = ?",
        (
            (data, _header_checksum(source, band, tile, data), source, band, tile)
            for tile, data in packed.items()
        ),
    )


def write_used(connection: sqlite3.Connection, used: Iterable[tuple[int, np.ndarray]]) -> None:
    """Write when cutouts were used; those kept together have numbers in a row and are one statement."""
    for when, ids in used:
        ids = np.unique(ids)
        gaps = np.flatnonzero(np.diff(ids) > 1)
        first, last = ids[np.r_[0, gaps + 1]].tolist(), ids[np.r_[gaps, -1]].tolist()
        runs = ((when, a, b) for a, b in zip(first, last, strict=True))
        connection.executemany("UPDATE cutouts SET used = ? WHERE id BETWEEN ? AND ?", runs)


def give_back(connection: sqlite3.Connection, limit: int, *, everything: bool = False) -> None:
    """Shorten the file: to the limit [bytes], where that was lowered, or by all that is free in it."""
    excess = pragma(connection, "page_count") - limit // pragma(connection, "page_size")
    with contextlib.suppress(sqlite3.OperationalError):  # others are at it: then after the next put
        if everything:
            connection.execute("VACUUM")
        elif excess > 0:
            # Unlike execute, executescript goes on to the last page.
            connection.executescript(f"PRAGMA incremental_vacuum({min(excess, _AT_ONCE)})")


def _make_room(connection: sqlite3.Connection, needed: int, pages_each: int, limit: int) -> int:
    """Let go what was not used for longest, if pages are needed; return how many may be filled."""
    oldest = "(SELECT id FROM cutouts ORDER BY used, id LIMIT ?)"
    left = max(needed, _AT_ONCE)
    while True:
        in_use = pragma(connection, "page_count") - pragma(connection, "freelist_count")
        room = limit // pragma(connection, "page_size") - in_use
        n = min(math.ceil((needed - room) / pages_each), left)
        if n <= 0:
            return room
        connection.execute(f"DELETE FROM pixels WHERE id IN {oldest}", (n,))
        if not connection.execute(f"DELETE FROM cutouts WHERE id IN {oldest}", (n,)).rowcount:
            connection.execute("UPDATE images SET header = NULL, checksum = NULL")  # nothing else is left
            return room
        left -= n


def _image_ids(
    connection: sqlite3.Connection, source: str, band: str, tiles: Iterable[str], *, add: bool = False
) -> dict[str, int]:
    """Number of each image, by tile; those that the store does not know are left out, or added."""
    keys = [(source, band, tile) for tile in set(tiles)]
    if add:
        connection.executemany("INSERT OR IGNORE INTO images (source, band, tile) VALUES (?, ?, ?)", keys)
    sql = "SELECT tile, id FROM images WHERE source = ? AND band = ? AND tile = ?"
    hits = [connection.execute(sql, key).fetchone() for key in keys]
    return dict(hit for hit in hits if hit)


def _header_checksum(source: str, band: str, tile: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{source} {band} {tile}".encode()))
