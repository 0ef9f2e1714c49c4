"""One call of an archive's fetch: what the store has, then what the archive sends."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile
from astro_iicnet.config import conf
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.header import AtlasHeader, Grid, Sky, approximate_grid
from astro_iicnet.cutouts.piece import Piece, RowBlock, row_blocks, scaled
from astro_iicnet.cutouts.quality import core_is_missing
from astro_iicnet.cutouts.threads import run_in_threads
from astro_iicnet.exceptions import NoImageError, RetrievalError
from astro_iicnet.labels import Status

if TYPE_CHECKING:
    from astro_iicnet.cutouts.archive import Archive

_SAME_GRID = 0.01  # px
_CHUNK = 1024  # cutouts on their way from an image into the result
_BATCH = 512  # cutouts to a transaction of the store


class _State(IntEnum):
    """What became of one source in one band."""

    PENDING = 0
    HERE = 1
    NO_IMAGE = 2
    FAILED = 3


class _HeaderJob(NamedTuple):
    tile: int
    band: int


@dataclass(frozen=True, eq=False)
class _RowsJob:
    """Rows of a tile in a band, for the sources ``members``."""

    tile: int
    band: int
    block: RowBlock
    members: np.ndarray


@dataclass(frozen=True, eq=False)
class _Spot:
    """Sources of a tile that one cutout serves, and what came for them, by band."""

    tile: int
    members: np.ndarray
    bands: tuple[int, ...]
    came: dict[int, Piece | NoImageError | RetrievalError] = field(default_factory=dict)


class _CutoutJob(NamedTuple):
    spot: _Spot
    band: int


class Fetch:
    """Cutouts for some sources, from the store and from one archive.

    Sources that have no usable position take no part: M of the N rows do, numbered from 0.

    Parameters
    ----------
    archive : Archive
        Where the images are.
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions.
    bands : tuple of str
        Band names.
    progress : callable, optional
        Called as in `Archive.fetch`.
    """

    def __init__(
        self,
        archive: "Archive",
        coords: SkyCoord,
        bands: tuple[str, ...],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        n = len(coords)
        self._archive, self._bands, self._progress = archive, bands, progress
        self._magzp = zero_points(bands)
        self._pixels = np.full((n, len(bands), CUTOUT_SIZE, CUTOUT_SIZE), np.nan, dtype=np.float32)
        self._offset = np.zeros((n, 2), dtype=np.float32)
        tile, _ = best_tile(coords)
        self._rows = np.flatnonzero(tile != "")
        self._tiles, self._tile_of = np.unique(tile[self._rows], return_inverse=True)
        self._sky = Sky(coords[self._rows])
        self._headers: list[dict[int, AtlasHeader]] = [{} for _ in bands]
        self._middle = np.zeros((len(self._rows), 2), dtype=int)
        self._state = np.full((len(self._rows), len(bands)), _State.PENDING, dtype=np.uint8)
        self._to_store: list[list[np.ndarray]] = [[] for _ in bands]
        self._new_headers: list[dict[str, str]] = [{} for _ in bands]
        self._done, self._failed = n - len(self._rows), 0
        self._problems: dict[str, int] = {}

    def run(self) -> Cutouts:
        """Fetch all.

        Returns
        -------
        Cutouts
            N rows.
        """
        self._take_from_store()
        self._report()
        by_rows, spots = self._divide()
        try:
            self._fetch_headers(by_rows)
            self._fetch_pixels(by_rows, spots)
        finally:
            self._store()
        self._archive.warn(self._problems, len(self._pixels))
        return self._result()

    # What is known before any request.

    def _take_from_store(self) -> None:
        store, source = self._archive.store, self._archive.name
        for band, headers in zip(self._bands, self._headers, strict=True):
            headers.update(self._archive.known_headers(self._tiles.tolist(), band))
        self._locate(np.arange(len(self._rows)))
        for number, (band, headers) in enumerate(zip(self._bands, self._headers, strict=True)):
            has_header = np.isin(self._tile_of, list(headers)) if headers else np.zeros(len(self._rows), bool)
            members = np.flatnonzero(has_header & (self._state[:, number] == _State.PENDING))
            first, which = self._distinct(members)
            places = members[first]
            tiles, (x, y) = self._tiles[self._tile_of[places]], self._middle[places].T
            found, pixels = store.get(source, tiles, band, x, y, CUTOUT_SIZE)
            index = np.cumsum(found) - 1
            members, which = members[found[which]], which[found[which]]
            self._pixels[self._rows[members], number] = pixels[index[which]]
            self._settle(members, number, _State.HERE)

    def _locate(self, members: np.ndarray) -> None:
        """Find the middle pixels of sources in tiles with a known header, and check that bands agree."""
        reference: dict[int, Grid] = {}
        for headers in self._headers:
            for tile in np.unique(self._tile_of[members]).tolist():
                if tile in headers:
                    reference.setdefault(tile, headers[tile].grid)
        if not reference:
            return
        known = np.array(sorted(reference))
        members = members[np.isin(self._tile_of[members], known)]
        which = np.searchsorted(known, self._tile_of[members])
        position = self._sky.pixels(members, [reference[tile] for tile in known.tolist()], which)
        self._middle[members] = np.floor(position + 0.5)
        self._offset[self._rows[members]] = position - self._middle[members]
        outside = np.any((self._middle[members] < 0) | (self._middle[members] >= TILE_SIZE), axis=1)
        for band, headers in enumerate(self._headers):
            self._settle(members[outside], band, _State.NO_IMAGE)
            for tile in reference.keys() & headers.keys():
                if headers[tile].grid != reference[tile]:
                    self._check_grid(members[self._tile_of[members] == tile], band, headers[tile].grid)

    def _check_grid(self, members: np.ndarray, band: int, grid: Grid) -> None:
        """Give up sources for which a band is on another pixel grid than the reference."""
        position = self._sky.pixels(members, [grid], np.zeros(len(members), dtype=int))
        drift = position - self._middle[members] - self._offset[self._rows[members]]
        members = members[np.any(np.abs(drift) > _SAME_GRID, axis=1)]
        error = RetrievalError("The bands of a tile are not on one pixel grid")
        self._settle(members, band, _State.FAILED, error)

    def _distinct(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the first of those with the same tile and middle pixel, and the number of it for each."""
        x, y = self._middle[members].T
        key = (self._tile_of[members] * 2 * TILE_SIZE + y) * 2 * TILE_SIZE + x
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        return first, which

    def _divide(self) -> tuple[list[int], list[_Spot]]:
        """Tiles to be fetched by rows, and cutouts to be fetched one by one."""
        pending = np.flatnonzero(np.any(self._state == _State.PENDING, axis=1))
        known = set().union(*self._headers)
        tiles, which = np.unique(self._tile_of[pending], return_inverse=True)
        unknown = [tile not in known for tile in tiles.tolist()]
        if any(unknown):
            grids = [approximate_grid(str(name)) for name in self._tiles[tiles]]
            asked = np.array(unknown)[which]
            position = self._sky.pixels(pending[asked], grids, which[asked])
            self._middle[pending[asked]] = np.clip(np.floor(position + 0.5), 0, TILE_SIZE - 1)
        first, spot = self._distinct(pending)
        n_spots = np.bincount(which[first], minlength=len(tiles))
        by_rows = n_spots >= self._archive.rows_from()
        order = np.argsort(spot, kind="stable")
        groups = np.split(pending[order], np.searchsorted(spot[order], np.arange(1, len(first))))
        spots = []
        for members, tile in zip(groups if len(pending) else [], which[first], strict=True):
            if not by_rows[tile]:
                bands = np.flatnonzero(np.any(self._state[members] == _State.PENDING, axis=0))
                spots.append(_Spot(int(tiles[tile]), members, tuple(bands.tolist())))
        return tiles[by_rows].tolist(), spots

    # Requests.

    def _fetch_headers(self, tiles: list[int]) -> None:
        """Headers of whole tiles, where they are not known yet."""
        jobs = []
        for band, headers in enumerate(self._headers):
            wanted = set(self._tile_of[self._state[:, band] == _State.PENDING].tolist())
            for tile in wanted.intersection(tiles):
                if tile not in headers or headers[tile].data_start is None:
                    jobs.append(_HeaderJob(tile, band))
        if not jobs:
            return
        with closing(run_in_threads(self._header, jobs, conf.max_connections)) as rounds:
            for done in rounds:
                for job, outcome in done:
                    if isinstance(outcome, AtlasHeader):
                        self._learn(job.tile, job.band, outcome)
                    else:
                        self._give_up(np.flatnonzero(self._tile_of == job.tile), job.band, outcome)
                self._report()
        self._locate(np.flatnonzero(np.isin(self._tile_of, tiles)))

    def _header(self, job: _HeaderJob) -> AtlasHeader:
        return self._archive.fetch_header(str(self._tiles[job.tile]), self._bands[job.band])

    def _learn(self, tile: int, band: int, header: AtlasHeader) -> None:
        self._headers[band][tile] = header
        name = str(self._tiles[tile])
        self._new_headers[band][name] = header.text
        self._archive.remember(name, self._bands[band], header)

    def _fetch_pixels(self, by_rows: list[int], spots: list[_Spot]) -> None:
        if not (by_rows or spots):
            return
        jobs = self._jobs(by_rows, spots)
        with closing(run_in_threads(self._work, jobs, conf.max_connections)) as rounds:
            for done in rounds:
                for job, outcome in done:
                    if isinstance(job, _CutoutJob):
                        self._take_piece(job, outcome)
                    elif isinstance(outcome, NoImageError | RetrievalError):
                        self._give_up(job.members, job.band, outcome)
                    else:
                        self._settle(job.members, job.band, _State.HERE)
                        self._to_store[job.band].append(job.members)
                if sum(len(members) for waiting in self._to_store for members in waiting) >= _BATCH:
                    self._store()
                self._report()

    def _jobs(self, by_rows: list[int], spots: list[_Spot]) -> Iterator[_RowsJob | _CutoutJob]:
        for tile in by_rows:
            here = self._tile_of == tile
            for band in range(len(self._bands)):
                members = np.flatnonzero(here & (self._state[:, band] == _State.PENDING))
                for block in row_blocks(self._middle[members, 1]):
                    yield _RowsJob(tile, band, block, members[block.members])
        for spot in spots:
            for band in spot.bands:
                yield _CutoutJob(spot, band)

    def _work(self, job: _RowsJob | _CutoutJob) -> Piece | None:
        """In a thread: rows of a tile go straight into the result, so that they are not kept."""
        if isinstance(job, _CutoutJob):
            return self._piece(job)
        header = self._headers[job.band][job.tile]
        image = self._archive.fetch_rows(str(self._tiles[job.tile]), header, job.block)
        for start in range(0, len(job.members), _CHUNK):
            members = job.members[start : start + _CHUNK]
            x, y = self._middle[members].T
            cut, _ = cut_image(image, x, y - job.block.first, CUTOUT_SIZE)
            self._pixels[self._rows[members], job.band] = scaled(cut, header.scale)
        return None

    def _piece(self, job: _CutoutJob) -> Piece:
        tile, members = str(self._tiles[job.spot.tile]), job.spot.members
        lon, lat = self._sky.seen_by(approximate_grid(tile))
        centre = float(lon[members[0]]), float(lat[members[0]])

        def middle(grid: Grid) -> np.ndarray:
            position = self._sky.pixels(members, [grid], np.zeros(len(members), dtype=int))
            return np.floor(position + 0.5).astype(int)

        return self._archive.fetch_cutout(tile, self._bands[job.band], centre, middle)

    def _take_piece(self, job: _CutoutJob, outcome: Piece | NoImageError | RetrievalError | None) -> None:
        """Keep a piece until those of the other bands are there too, then cut them all alike."""
        spot = job.spot
        if outcome is not None:
            spot.came[job.band] = outcome
        if len(spot.came) < len(spot.bands):
            return
        pieces = {}
        for band, came in spot.came.items():
            if isinstance(came, Piece):
                pieces[band] = came
                if spot.tile not in self._headers[band]:
                    self._learn(spot.tile, band, came.header.of_whole_tile())
            else:
                self._give_up(spot.members, band, came)
        if pieces:
            self._locate(spot.members)
        for band, piece in pieces.items():
            self._check_grid(spot.members, band, piece.header.grid)
            members = spot.members[self._state[spot.members, band] == _State.PENDING]
            self._pixels[self._rows[members], band] = piece.cut(self._middle[members])
            self._settle(members, band, _State.HERE)
            self._to_store[band].append(members)
        spot.came.clear()

    # What became of it.

    def _give_up(self, members: np.ndarray, band: int, error: NoImageError | RetrievalError) -> None:
        state = _State.NO_IMAGE if isinstance(error, NoImageError) else _State.FAILED
        self._settle(members, band, state, error)

    def _settle(self, members: np.ndarray, band: int, state: _State, error: Exception | None = None) -> None:
        members = members[self._state[members, band] == _State.PENDING]
        if not len(members):
            return
        self._state[members, band] = state
        if error is not None:
            self._problems[str(error)] = self._problems.get(str(error), 0) + len(members)
        complete = np.all(self._state[members] != _State.PENDING, axis=1)
        self._done += int(np.count_nonzero(complete))
        failed = np.any(self._state[members[complete]] == _State.FAILED, axis=1)
        self._failed += int(np.count_nonzero(failed))

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._failed)
        self._done = self._failed = 0

    def _store(self) -> None:
        store, source = self._archive.store, self._archive.name
        for number, band in enumerate(self._bands):
            if self._new_headers[number]:
                store.put_headers(source, band, self._new_headers[number])
                self._new_headers[number] = {}
            if not self._to_store[number]:
                continue
            members = np.concatenate(self._to_store[number])
            self._to_store[number] = []
            members = members[self._distinct(members)[0]]
            for start in range(0, len(members), _CHUNK):
                some = members[start : start + _CHUNK]
                tiles, (x, y) = self._tiles[self._tile_of[some]], self._middle[some].T
                store.put(source, tiles, band, x, y, self._pixels[self._rows[some], number])

    def _result(self) -> Cutouts:
        status = np.full(len(self._pixels), Status.BAD_COORDINATES, dtype=np.uint8)
        found = np.full(len(self._rows), Status.OK, dtype=np.uint8)
        found[np.any(self._state == _State.NO_IMAGE, axis=1)] = Status.NO_COVERAGE
        found[np.any(self._state == _State.FAILED, axis=1)] = Status.RETRIEVAL_FAILED
        status[self._rows] = found
        nothing = np.all(self._state != _State.HERE, axis=1)
        self._offset[self._rows[nothing]] = 0
        tile = np.full(len(self._pixels), "", dtype="U13")
        tile[self._rows] = np.where(nothing, "", self._tiles[self._tile_of])
        status[core_is_missing(self._pixels, self._offset) & (status == Status.OK)] = Status.BAD_PIXELS
        return Cutouts(self._pixels, self._offset, self._bands, self._magzp, status, tile)
