"""Pixels from the local stand-in of the archives against its own truth, and through different ways."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_server import (
    TRANSIENT,
    ArchiveServer,
    Fault,
    either,
    first_faults,
    permanent_faults,
    random_faults,
)
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile
from astro_iicnet.config import conf
from astro_iicnet.cutouts.archive import Archive
from astro_iicnet.cutouts.aws import AwsArchive
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.cutouts.local import LocalFolder
from astro_iicnet.cutouts.store import CutoutStore
from astro_iicnet.cutouts.transport import transport
from astro_iicnet.exceptions import ImagesError, RetrievalWarning
from astro_iicnet.labels import Status

BANDS = ("W1", "W2", "W3")
# In the middle of tiles; where two overlap; at RA 0; near the poles and at them; where even the best tile
# ends within the cutout.
PLACES = {
    "middle": [(150.12, 2.21), (12.3, -45.6), (201.7, 33.3)],
    "overlap": [(121.0, 0.757), (121.76, 1.5)],
    "meridian": [(0.0, 10.0), (359.99999, -20.0), (0.00001, 60.0), (359.5, 0.0)],
    "polar": [(17.0, 89.2), (250.0, -86.3), (0.0, 90.0), (123.0, -90.0)],
    "clipped": [(269.8272979, -87.0595542), (29.6376231, 87.0603989), (149.8773429, 87.0604988)],
}
SKY = SkyCoord(*np.concatenate(list(PLACES.values())).T, unit="deg")
FEW = SkyCoord([150.12, 150.3, 12.3], [2.21, 2.1, -45.6], unit="deg")  # two in 1497p015, one in 0127m455


@pytest.fixture(autouse=True)
def _quick(archive_server: ArchiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once what is repeated."""
    monkeypatch.setattr("astro_iicnet.cutouts.transport.BACKOFF", 0.001)
    archive_server.retry_after = 0
    archive_server.slow_seconds = 0.2


def irsa() -> Archive:
    return IrsaArchive()


def aws() -> Archive:
    return AwsArchive()


@pytest.fixture(params=["irsa", "irsa rows", "aws"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Archive]]:
    """The ways to the pixels."""
    with conf.set_temp("tile_threshold", 1 if request.param == "irsa rows" else 50):
        yield aws if request.param == "aws" else irsa


def labels(cutouts: Cutouts) -> list[str]:
    return [Status(code).label for code in cutouts.status]


def equal(one: Cutouts, other: Cutouts) -> bool:
    names = ("pixels", "offset", "status", "tile")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name in ("pixels", "offset"))
        for name in names
    )


def check_truth(cutouts: Cutouts, coords: SkyCoord, server: ArchiveServer) -> None:
    """Each row against the pixels of the server around the place that astropy finds in its header."""
    tiles, _ = best_tile(coords)
    for row in np.flatnonzero(cutouts.status == Status.OK):
        tile = str(cutouts.tile[row])
        assert tile == tiles[row]
        for number, band in enumerate(cutouts.bands):
            position = skycoord_to_pixel(coords[row], WCS(server.header(tile, band)), mode="wcs")
            middle = np.rint(position).astype(int)
            assert cutouts.offset[row] == pytest.approx(position - middle, abs=1e-6)
            (x0, y0), (x1, y1) = np.maximum(middle - 20, 0), np.minimum(middle + 21, TILE_SIZE)
            expected = np.full((41, 41), np.nan, np.float32)
            left, bottom = x0 - middle[0] + 20, y0 - middle[1] + 20
            part = server.pixels(tile, band, y0, y1, x0, x1)
            expected[bottom : bottom + y1 - y0, left : left + x1 - x0] = part
            assert np.array_equal(cutouts.pixels[row, number], expected, equal_nan=True)


def test_truth_everywhere(archive_server, make):
    cutouts = make().fetch(SKY, BANDS)
    assert labels(cutouts) == ["ok"] * len(SKY)
    check_truth(cutouts, SKY, archive_server)
    clipped = np.isnan(cutouts.pixels).any(axis=(1, 2, 3))
    assert clipped.tolist() == [False] * (len(SKY) - 3) + [True] * 3


def test_all_ways_agree_to_the_bit(archive_server, tmp_path):
    through_aws = AwsArchive().fetch(SKY, BANDS)
    by_cutouts = IrsaArchive().fetch(SKY, BANDS)
    with conf.set_temp("tile_threshold", 1), conf.set_temp("cache_size", 0):
        by_rows = IrsaArchive().fetch(SKY, BANDS)
    assert equal(through_aws, by_cutouts)
    assert equal(through_aws, by_rows)


def test_same_as_the_local_folder(archive_server, tmp_path):
    """On files of the same pixels, large enough that no other tile holds a position deeper inside."""
    cutouts = IrsaArchive().fetch(SKY, BANDS)
    for row, tile in enumerate(cutouts.tile.tolist()):
        position = skycoord_to_pixel(SKY[row], WCS(archive_server.header(tile, "W1")), mode="wcs")
        (x0, y0), (x1, y1) = (np.clip(np.rint(position).astype(int) + d, 0, TILE_SIZE) for d in (-30, 30))
        for band in BANDS:
            archive_server.write_tile(_new_folder(tmp_path, row), tile, band, (y0, y1, x0, x1))
    local = LocalFolder(tmp_path).fetch(SKY, BANDS)
    assert local.tile.tolist() == cutouts.tile.tolist()
    assert np.array_equal(local.pixels, cutouts.pixels, equal_nan=True)
    assert local.offset == pytest.approx(cutouts.offset, abs=1e-6)


def _new_folder(parent: Path, row: int) -> Path:
    folder = parent / f"files{row}"
    folder.mkdir(exist_ok=True)
    return folder


def test_injected_source_is_where_the_offset_says(archive_server, make):
    """The centroid of a bright source added to the sky, in pixels of 1.375 arcsec."""
    coords = SkyCoord([150.4321, 17.0], [2.3456, 89.2], unit="deg", frame="fk5")
    with conf.set_temp("cache_size", 0):
        before = make().fetch(coords.icrs, ("W1",))
        for position in coords:
            archive_server.add_source(position.ra.deg, position.dec.deg, 1e6)
        cutouts = make().fetch(coords.icrs, ("W1",))
    light = (cutouts.pixels - before.pixels)[:, 0]
    axis = np.arange(41) - 20
    moments = np.stack([(light * axis).sum(axis=(1, 2)), (light * axis[:, None]).sum(axis=(1, 2))], axis=1)
    assert moments / light.sum(axis=(1, 2))[:, None] == pytest.approx(cutouts.offset, abs=0.001)


def test_duplicates_are_fetched_once(archive_server):
    coords = SkyCoord([150.12] * 50 + [12.3] * 3, [2.21] * 50 + [-45.6] * 3, unit="deg")
    cutouts = IrsaArchive().fetch(coords, BANDS)
    assert archive_server.n_requests == 2 * len(BANDS)
    check_truth(cutouts, coords, archive_server)
    assert labels(cutouts) == ["ok"] * 53


def test_positions_in_one_pixel_share_it(archive_server, make):
    coords = SkyCoord([150.12, 150.12001], [2.21, 2.21001], unit="deg")
    cutouts = make().fetch(coords, BANDS)
    check_truth(cutouts, coords, archive_server)
    assert archive_server.n_requests <= 2 * len(BANDS)
    assert not np.array_equal(cutouts.offset[0], cutouts.offset[1])


def test_second_fetch_takes_nothing_from_the_server(archive_server, make):
    archive = make()
    first = archive.fetch(SKY, BANDS)
    archive_server.reset()
    again = archive.fetch(SKY[::-1], BANDS)
    assert equal(again[::-1], first)
    assert equal(make().fetch(SKY, BANDS), first)
    with conf.set_temp("offline", True):
        assert equal(make().fetch(SKY, BANDS), first)
    assert archive_server.n_requests == 0


def test_only_what_is_missing_is_fetched(archive_server):
    first = IrsaArchive().fetch(FEW[:2], ("W1", "W3"))
    archive_server.reset()
    cutouts = IrsaArchive().fetch(FEW, BANDS)
    assert archive_server.n_requests == 2 + len(BANDS)
    check_truth(cutouts, FEW, archive_server)
    assert np.array_equal(cutouts.pixels[:2, ::2], first.pixels)


def test_offline_with_an_empty_store(archive_server, make):
    with conf.set_temp("offline", True):
        with pytest.warns(RetrievalWarning, match="offline") as caught:
            cutouts = make().fetch(FEW, BANDS)
    assert len(caught) == 1
    assert labels(cutouts) == ["retrieval_failed"] * 3
    assert archive_server.n_requests == 0


def test_without_a_store(archive_server, make):
    with conf.set_temp("cache_size", 0):
        archive = make()
        first = archive.fetch(FEW, BANDS)
        archive_server.reset()
        assert equal(archive.fetch(FEW, BANDS), first)
    assert archive_server.n_requests > 0


@pytest.mark.parametrize("fault", TRANSIENT)
def test_faults_that_pass(archive_server, make, fault):
    archive_server.faults = first_faults(fault, fault)
    cutouts = make().fetch(FEW, BANDS)
    assert labels(cutouts) == ["ok"] * 3
    check_truth(cutouts, FEW, archive_server)
    assert sum(request.fault is fault for request in archive_server.requests) >= 9


def test_all_faults_together(archive_server, make, rng):
    archive_server.faults = random_faults(0.3, seed=4, max_per_url=conf.retries)
    coords = SkyCoord(rng.uniform(0, 360, 30), rng.uniform(-60, 60, 30), unit="deg")
    cutouts = make().fetch(coords, BANDS)
    assert labels(cutouts) == ["ok"] * 30
    check_truth(cutouts, coords, archive_server)
    assert archive_server.peak_connections <= conf.max_connections
    assert equal(make().fetch(coords, BANDS), cutouts)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.FORBIDDEN, Fault.HTML, Fault.OTHER_TILE])
def test_faults_that_stay(archive_server, make, fault):
    """One band of the first two sources never comes; when the server is well again, only that is asked."""
    archive_server.faults = permanent_faults(lambda request: "1497p015_ac51-w2" in request, fault)
    archive = make()
    with conf.set_temp("retries", 1):
        with pytest.warns(RetrievalWarning, match="did not come") as caught:
            cutouts = archive.fetch(FEW, BANDS)
        assert len(caught) == 1
        assert equal(archive.fetch(FEW, BANDS), cutouts)  # warned about once
    assert labels(cutouts) == ["retrieval_failed"] * 2 + ["ok"]
    assert np.isnan(cutouts.pixels[:2, 1]).all()
    check_truth(cutouts, FEW, archive_server)
    archive_server.faults = None
    archive_server.reset()
    cutouts = archive.fetch(FEW, BANDS)
    assert labels(cutouts) == ["ok"] * 3
    check_truth(cutouts, FEW, archive_server)
    assert not any("m455" in request.path for request in archive_server.requests)


def test_no_such_image(archive_server, make):
    """Where one band may come the next time and another never will, the row is worth another try."""
    missing = permanent_faults(lambda request: "1497p015_ac51-w3" in request, Fault.NOT_FOUND)
    broken = permanent_faults(lambda request: "1497p015_ac51-w1" in request, Fault.FORBIDDEN)
    archive_server.faults = missing
    with pytest.warns(RetrievalWarning, match="404"):
        cutouts = make().fetch(FEW, BANDS)
    assert labels(cutouts) == ["no_coverage"] * 2 + ["ok"]
    CutoutStore().clear()
    archive_server.faults = either(missing, broken)
    with pytest.warns(RetrievalWarning):
        cutouts = make().fetch(FEW, ("W3", "W1"))
    assert labels(cutouts) == ["retrieval_failed"] * 2 + ["ok"]


@pytest.mark.parametrize(
    "fault", [Fault.HTML, Fault.OTHER_TILE, Fault.OTHER_BAND, Fault.NAN_WCS, Fault.TRUNCATED]
)
def test_nothing_wrong_gets_in(archive_server, make, fault):
    archive_server.faults = permanent_faults(lambda request: True, fault)
    with conf.set_temp("retries", 0), pytest.warns(RetrievalWarning):
        cutouts = make().fetch(FEW, BANDS)
    assert labels(cutouts) == ["retrieval_failed"] * 3
    assert np.isnan(cutouts.pixels).all()
    assert cutouts.tile.tolist() == [""] * 3
    assert CutoutStore().info().n_cutouts == 0


def test_a_band_that_fails_spoils_no_row_that_has_it(archive_server, make):
    """The first source has its W1 in the store."""
    make().fetch(FEW[:1], ("W1",))
    archive_server.faults = permanent_faults(lambda request: "1497p015_ac51-w1" in request, Fault.FORBIDDEN)
    with pytest.warns(RetrievalWarning):
        cutouts = make().fetch(FEW, BANDS)
    assert labels(cutouts) == ["ok", "retrieval_failed", "ok"]
    check_truth(cutouts, FEW, archive_server)


def test_rows_of_the_wrong_image(archive_server):
    """Good headers, then pixels that are not those asked for."""
    rows = permanent_faults(lambda request: "bytes=0-" not in request, Fault.OTHER_TILE)
    archive_server.faults = rows
    with conf.set_temp("retries", 0), pytest.warns(RetrievalWarning):
        cutouts = AwsArchive().fetch(FEW, BANDS)
    assert labels(cutouts) == ["retrieval_failed"] * 3
    assert np.isnan(cutouts.pixels).all()
    assert CutoutStore().info().n_cutouts == 0


def test_positions_that_are_none(archive_server, make):
    coords = SkyCoord([np.nan, 150.12, 150.12, 150.12], [2.21, 2.21, np.nan, 2.21], unit="deg")
    cutouts = make().fetch(coords, BANDS)
    assert labels(cutouts) == ["bad_coordinates", "ok", "bad_coordinates", "ok"]
    assert cutouts.tile[::2].tolist() == ["", ""]
    assert np.isnan(cutouts.pixels[::2]).all()
    check_truth(cutouts, coords, archive_server)


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(archive_server, make, n):
    cutouts = make().fetch(FEW[:n], BANDS)
    assert cutouts.pixels.shape == (n, 3, 41, 41)
    assert labels(cutouts) == ["ok"] * n
    assert len(make().fetch(SkyCoord([np.nan] * n, [0.0] * n, unit="deg"), BANDS)) == n


def test_bands(archive_server, make):
    cutouts = make().fetch(FEW, ("W4", "W1"))
    assert cutouts.bands == ("W4", "W1")
    assert cutouts.magzp.tolist() == [13.0, 20.5]
    check_truth(cutouts, FEW, archive_server)
    with pytest.raises(ImagesError, match="W5"):
        make().fetch(FEW, ("W5",))


def test_frames(archive_server, make):
    reference = make().fetch(FEW, BANDS)
    other = make().fetch(FEW.galactic, BANDS)
    assert np.array_equal(other.pixels, reference.pixels)
    assert other.offset == pytest.approx(reference.offset, abs=1e-6)


def test_progress(archive_server, make):
    missing = permanent_faults(lambda request: "1497p015_ac51-w3" in request, Fault.FORBIDDEN)
    archive_server.faults = missing
    calls = []
    coords = SkyCoord([*FEW.ra.deg, np.nan], [*FEW.dec.deg, 0.0], unit="deg")
    with pytest.warns(RetrievalWarning):
        make().fetch(coords, BANDS, progress=lambda *numbers: calls.append(numbers))
    assert np.sum(calls, axis=0).tolist() == [4, 2]


def test_given_up_half_way(archive_server, make):
    """What has come by then is kept."""

    class EnoughError(Exception):
        pass

    def stop(n_done, n_failed):
        if n_done:
            raise EnoughError

    with conf.set_temp("max_connections", 1):
        with pytest.raises(EnoughError):
            make().fetch(SKY, BANDS, stop)
        assert CutoutStore().info().n_cutouts >= 3
        cutouts = make().fetch(SKY, BANDS)
    check_truth(cutouts, SKY, archive_server)


def test_header(archive_server, make):
    archive = make()
    archive.fetch(FEW, BANDS)
    for header in (archive.header("1497p015_ac51", "W2"), make().header("1497p015_ac51", "W2")):
        expected = archive_server.header("1497p015_ac51", "W2")
        assert {card: header[card] for card in header if card not in ("COMMENT", "HISTORY")} == {
            card: expected[card] for card in expected if card not in ("COMMENT", "HISTORY")
        }
    with pytest.raises(ImagesError, match="0000p000_ac51"):
        archive.header("0000p000_ac51", "W2")


class Altered:
    """The transport, with bodies changed on the way."""

    def __init__(self, change: Callable[[str, bytes], bytes]) -> None:
        self._change = change

    def get(self, url, check, **options):
        return transport().get(url, lambda body: check(self._change(url, body)), **options)


@pytest.fixture
def alter(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, bytes], bytes]], None]:
    def with_change(change):
        for module in ("archive", "irsa"):
            monkeypatch.setattr(f"astro_iicnet.cutouts.{module}.transport", lambda: Altered(change))

    return with_change


def in_header(body: bytes, key: str, value: str) -> bytes:
    start = body.find(f"{key:8}=".encode())
    if start < 0:
        return body
    return body[:start] + f"{key:8}= {value:>20}".ljust(80).encode() + body[start + 80 :]


def test_other_zero_point(archive_server, make, alter):
    reference = make().fetch(FEW, BANDS)
    CutoutStore().clear()
    alter(lambda url, body: in_header(body, "MAGZP", "22.0") if "-w2-" in url else body)
    archive = make()
    cutouts = archive.fetch(FEW, BANDS)
    assert np.array_equal(cutouts.pixels[:, ::2], reference.pixels[:, ::2])
    assert cutouts.pixels[:, 1] == pytest.approx(reference.pixels[:, 1] / 10, rel=1e-6)
    assert equal(make().fetch(FEW, BANDS), cutouts)
    assert archive.header("1497p015_ac51", "W2")["MAGZP"] == 19.5


@pytest.mark.parametrize(("shift", "expected"), [(2e-6, "ok"), (4e-6, "retrieval_failed")])
def test_bands_must_share_a_grid(archive_server, make, alter, shift, expected):
    """One hundredth of a pixel is 3.8e-6 deg."""

    def change(url, body):
        declination = archive_server.header("1497p015_ac51", "W2")["CRVAL2"] + shift
        is_it = "1497p015_ac51-w2-" in url
        return in_header(body, "CRVAL2", f"{declination:.8f}") if is_it else body

    alter(change)
    archive = make()
    if expected == "ok":
        cutouts = archive.fetch(FEW, BANDS)
    else:
        with pytest.warns(RetrievalWarning, match="pixel grid"):
            cutouts = archive.fetch(FEW, BANDS)
    assert labels(cutouts) == [expected] * 2 + ["ok"]


def test_missing_pixels(archive_server, alter):
    """NaN in the core of one source: as in the Atlas where there is no coverage."""

    def change(url, body):
        if "0127m455" not in url or "-w1-" not in url or not body.startswith(b"SIMPLE"):
            return body
        return body[:5760] + np.full((len(body) - 5760) // 4, np.nan, ">f4").tobytes()

    alter(change)
    cutouts = IrsaArchive().fetch(FEW, BANDS)
    assert labels(cutouts) == ["ok", "ok", "bad_pixels"]
