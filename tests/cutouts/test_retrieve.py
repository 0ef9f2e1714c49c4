"""The runner: every position once, in chunks that follow from the list, and an end when nobody waits."""

import threading
from contextlib import closing

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astro_iicnet.allwise.tiles import best_tile
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.cutouts.retrieve import retrieve, sky_order
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.labels import Status

BANDS = ("W1", "W2")


class Declinations:
    """Pixels that hold the position; south of -60 deg there is no coverage."""

    name = "declinations"
    survey = "allwise-atlas"

    def __init__(self):
        self.asked = []

    def fetch(self, coords, bands):
        self.asked.append(len(coords))
        n = len(coords)
        pixels = np.zeros((n, len(bands), CUTOUT_SIZE, CUTOUT_SIZE), np.float32)
        pixels[:, 0, 0, 0], pixels[:, 1, 0, 0] = coords.ra.deg, coords.dec.deg
        status = np.where(coords.dec.deg < -60, Status.NO_COVERAGE, Status.OK).astype(np.uint8)
        return Cutouts(pixels, np.zeros((n, 2), np.float32), bands, np.zeros(2), status, np.full(n, "t"))


@pytest.fixture
def coords(rng):
    n = 500
    return SkyCoord(rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n))), unit="deg")


@pytest.mark.parametrize("chunk_size", [1, 7, 500, 501])
def test_every_position_comes_once_with_its_own_pixels(coords, chunk_size):
    source = Declinations()
    pieces = list(retrieve(source, coords, BANDS, chunk_size=chunk_size, progress=False))
    rows = np.concatenate([rows for rows, _ in pieces])
    assert sorted(rows) == list(range(len(coords)))
    assert source.asked == [len(rows) for rows, _ in pieces]
    assert all(n == chunk_size for n in source.asked[:-1])
    assert max(source.asked) <= chunk_size
    pixels = np.concatenate([cutouts.pixels[:, :, 0, 0] for _, cutouts in pieces])
    expected = np.stack([coords.ra.deg, coords.dec.deg], axis=1)[rows]
    np.testing.assert_array_equal(pixels, expected.astype(np.float32))


def test_order_follows_tile_then_declination_then_the_list(coords):
    coords = SkyCoord(np.tile(coords.ra, 2), np.tile(coords.dec, 2))
    order = sky_order(coords)
    tile = best_tile(coords)[0][order]
    # All of a tile come together.
    assert np.count_nonzero(tile[1:] != tile[:-1]) + 1 == len(np.unique(tile))
    same = tile[1:] == tile[:-1]
    assert (np.diff(coords.dec.deg[order])[same] >= 0).all()
    twins = np.argsort(order)
    np.testing.assert_array_equal(twins[500:], twins[:500] + 1)


def test_the_rest_of_a_list_has_the_same_chunks(coords):
    order = sky_order(coords)
    done = np.concatenate([order[:70], order[140:210]])
    rest = np.setdiff1d(np.arange(len(coords)), done)
    np.testing.assert_array_equal(rest[sky_order(coords[rest])], np.concatenate([order[70:140], order[210:]]))


def test_no_positions(coords):
    assert list(retrieve(Declinations(), coords[:0], BANDS, progress=False)) == []


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5, None, "many"])
def test_chunk_size_must_be_a_number(coords, chunk_size):
    with pytest.raises(IICnetError, match="chunk_size is .* at least 1"):
        next(retrieve(Declinations(), coords, BANDS, chunk_size=chunk_size))


def test_the_next_chunk_comes_while_the_caller_works(coords):
    begun = threading.Event()

    class Noted(Declinations):
        def fetch(self, coords, bands):
            if self.asked:
                begun.set()
            return super().fetch(coords, bands)

    source = Noted()
    with closing(retrieve(source, coords, BANDS, chunk_size=100, progress=False)) as pieces:
        next(pieces)
        assert begun.wait(30)
        # But no more than one ahead: what waits costs memory.
        assert len(source.asked) <= 2


def test_errors_of_the_source_arrive(coords):
    class Broken(Declinations):
        def fetch(self, coords, bands):
            if self.asked:
                raise ImagesError("no more")
            return super().fetch(coords, bands)

    pieces = retrieve(Broken(), coords, BANDS, chunk_size=100, progress=False)
    assert len(next(pieces)[0]) == 100
    with pytest.raises(ImagesError, match="no more"):
        next(pieces)


def test_a_source_that_loses_rows(coords):
    class Loser(Declinations):
        def fetch(self, coords, bands):
            return super().fetch(coords, bands)[1:]

    with pytest.raises(ImagesError, match="99 cutouts for 100"):
        next(retrieve(Loser(), coords, BANDS, chunk_size=100, progress=False))


class Reporting(Declinations):
    """Tells row by row how far it is, and how it ended."""

    def __init__(self, at_row=lambda: None):
        super().__init__()
        self.at_row = at_row
        self.error = None
        self.ended = threading.Event()

    def fetch(self, coords, bands, progress=None):
        try:
            for dec in coords.dec.deg:
                self.at_row()
                progress(1, int(dec < -60))
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()
        return super().fetch(coords, bands)


@pytest.mark.parametrize("kind", [Declinations, Reporting])
def test_progress(coords, capsys, kind):
    list(retrieve(kind(), coords, BANDS, chunk_size=100))
    last = capsys.readouterr().err.strip().split("\r")[-1]
    assert "500/500" in last
    assert f"{np.count_nonzero(coords.dec.deg < -60)} not ok" in last


def test_no_progress(coords, capsys):
    list(retrieve(Reporting(), coords, BANDS, progress=False))
    assert capsys.readouterr().err == ""


def test_a_fetch_ends_when_nobody_waits(coords):
    closed = threading.Event()

    def at_row():
        if source.asked:
            closed.wait(30)

    source = Reporting(at_row)
    with closing(retrieve(source, coords, BANDS, chunk_size=20, progress=False)) as pieces:
        next(pieces)
        source.ended.clear()
    closed.set()
    assert source.ended.wait(30)
    assert not isinstance(source.error, Exception)
    assert source.asked == [20]
