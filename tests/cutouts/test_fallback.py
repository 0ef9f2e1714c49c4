"""Several image sources, one after the other."""

import numpy as np
import pytest
from archive_server import Fault, either, permanent_faults
from astropy.coordinates import SkyCoord
from numpy.testing import assert_array_equal

from astro_iicnet.config import conf
from astro_iicnet.cutouts import Cutouts, open_images
from astro_iicnet.cutouts.fallback import Fallback
from astro_iicnet.exceptions import ImagesError, RetrievalWarning
from astro_iicnet.labels import Status

OK, LOST, NONE = Status.OK, Status.RETRIEVAL_FAILED, Status.NO_COVERAGE
BAD, NOWHERE = Status.BAD_PIXELS, Status.BAD_COORDINATES


class Fixed:
    """A source that says the same of a position, known by its RA, each time; pixels hold the RA."""

    survey = "allwise-atlas"

    def __init__(self, name: str, *statuses: Status, value: float = 1.0, magzp: float = 20.5) -> None:
        self.name, self.statuses, self.value, self.magzp = name, np.array(statuses), value, magzp
        self.asked: list[list[int]] = []

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        ra = coords.ra.deg.astype(int)
        self.asked.append(ra.tolist())
        status = self.statuses[ra].astype(np.uint8)
        arrived = (status == OK) | (status == BAD)
        value = np.where(arrived, self.value * (ra + 1), np.nan).astype(np.float32)
        pixels = np.broadcast_to(value[:, None, None, None], (len(ra), len(bands), 3, 3))
        offset = np.full((len(ra), 2), self.value / 10, np.float32)
        tile = np.where(arrived, f"tile of {self.name}", "")
        return Cutouts(pixels, offset, bands, np.full(len(bands), self.magzp), status, tile)


class Reporting(Fixed):
    """One that tells its progress."""

    def fetch(self, coords, bands, progress=None):
        cutouts = super().fetch(coords, bands)
        for status in cutouts.status:
            progress(1, int(status == LOST))
        return cutouts


def positions(n: int) -> SkyCoord:
    return SkyCoord(np.arange(n), np.zeros(n), unit="deg")


def test_what_one_source_does_not_have_is_asked_of_the_next():
    first = Fixed("first", OK, LOST, NONE, BAD, NOWHERE, LOST, NONE)
    second = Fixed("second", OK, OK, LOST, NONE, OK, LOST, NONE, value=2)
    third = Fixed("third", OK, OK, OK, BAD, OK, OK, LOST, value=3)
    cutouts = Fallback([first, second, third]).fetch(positions(7), ("W1", "W2"))
    assert second.asked == [[1, 2, 3, 5, 6]]
    assert third.asked == [[2, 3, 5, 6]]
    assert cutouts.status.tolist() == [OK, OK, OK, BAD, NOWHERE, OK, LOST]
    assert cutouts.served_by.tolist() == ["first", "second", "third", "first", "", "third", ""]
    assert cutouts.tile[[0, 1, 4, 6]].tolist() == ["tile of first", "tile of second", "", ""]
    assert_array_equal(cutouts.pixels[:, 1, 1, 1], [1, 4, 9, 4, np.nan, 18, np.nan])
    assert_array_equal(cutouts.offset[[0, 1, 2], 0], np.float32([0.1, 0.2, 0.3]))


def test_what_any_source_may_still_have_is_no_lack_of_coverage():
    """Retrieval failed at one archive, none has it at another: in either order it is worth trying again."""
    first = Fixed("first", LOST, NONE, NONE, NONE, BAD)
    second = Fixed("second", NONE, LOST, NONE, LOST, LOST)
    third = Fixed("third", NONE, NONE, NONE, OK, NONE)
    cutouts = Fallback([first, second, third]).fetch(positions(5), ("W1",))
    assert cutouts.status.tolist() == [LOST, LOST, NONE, OK, BAD]
    assert third.asked == [[0, 1, 2, 3, 4]]


def test_the_next_source_is_not_asked_for_nothing():
    second = Fixed("second", OK)
    cutouts = Fallback([Fixed("first", OK, NOWHERE), second]).fetch(positions(2), ("W1",))
    assert second.asked == []
    assert cutouts.served_by.tolist() == ["first", ""]
    assert len(Fallback([Fixed("first", OK), second]).fetch(positions(1)[:0], ("W1",))) == 0


def test_pixels_are_brought_to_one_zero_point():
    brighter = Fixed("second", OK, OK, magzp=18.0)
    cutouts = Fallback([Fixed("first", OK, LOST), brighter]).fetch(positions(2), ("W1",))
    assert cutouts.magzp.tolist() == [20.5]
    assert cutouts.pixels[1, 0, 0, 0] == pytest.approx(2 * 10)


def test_names_and_surveys():
    one, two = Fixed("one", OK), Fixed("two", OK)
    source = Fallback([one, two])
    assert (source.name, source.survey, source.sources) == ("one, two", "allwise-atlas", (one, two))
    two.survey = "allwise-hips"
    assert Fallback([one, two]).survey == "allwise-atlas, allwise-hips"
    again = Fallback([Fixed("local", OK, LOST, LOST), two, Fixed("local", LOST, OK, LOST)])
    assert (again.names, again.name) == (("local", "two", "local 2"), "local, two, local 2")
    two.statuses = np.array([LOST, LOST, OK])
    assert again.fetch(positions(3), ("W1",)).served_by.tolist() == ["local", "local 2", "two"]
    inner = Fallback([Fixed("zero", LOST), Fixed("two", OK)])
    assert Fallback([inner, one]).fetch(positions(1), ("W1",)).served_by.tolist() == ["two"]


@pytest.mark.parametrize("kinds", [(Fixed, Fixed), (Reporting, Fixed), (Fixed, Reporting), (Reporting,) * 2])
def test_progress_counts_each_row_once(kinds):
    first = kinds[0]("first", OK, LOST, NONE, NOWHERE, LOST, BAD)
    second = kinds[1]("second", OK, OK, LOST, OK, LOST, NONE)
    calls: list[tuple[int, int]] = []
    Fallback([first, second]).fetch(positions(6), ("W1",), progress=lambda *numbers: calls.append(numbers))
    assert min(done for done, _ in calls) >= 0
    n_done, n_failed = np.sum(calls, axis=0)
    assert n_done == 6
    assert n_failed == 2


def test_cutouts_of_another_size_are_refused():
    class Large(Fixed):
        def fetch(self, coords, bands):
            cutouts = super().fetch(coords, bands)
            pixels = np.zeros((len(coords), len(bands), 5, 5), np.float32)
            return Cutouts(pixels, cutouts.offset, bands, cutouts.magzp, cutouts.status, cutouts.tile)

    with pytest.raises(ImagesError, match="5 px from 'large', expected 3"):
        Fallback([Fixed("small", LOST), Large("large", OK)]).fetch(positions(1), ("W1",))
    with pytest.raises(ImagesError, match="empty list"):
        Fallback([])


def test_archives(archive_server):
    """One band of two tiles is not to be had at IRSA, and one of these not at AWS either."""
    coords = SkyCoord([150.0, 153.0, 156.0, np.nan], [2.0, 2.0, 2.0, 0.0], unit="deg")
    truth = open_images("irsa").fetch(coords, ("W1", "W2"))
    assert truth.served_by.tolist() == [""] * 4
    two, three = truth.tile[1:3]
    archive_server.faults = either(
        permanent_faults(lambda r: "/ibe/" in r and (f"{two}-w2" in r or f"{three}-w2" in r)),
        permanent_faults(lambda r: f"{three}-w2" in r, Fault.NOT_FOUND),
    )
    source = open_images(["irsa", "aws"])
    assert isinstance(source, Fallback)
    with conf.set_temp("retries", 1), conf.set_temp("cache_size", 0), pytest.warns(RetrievalWarning):
        cutouts = source.fetch(coords, ("W1", "W2"))
    assert cutouts.status.tolist() == [OK, OK, LOST, NOWHERE]
    assert cutouts.served_by.tolist() == ["irsa", "aws", "", ""]
    assert_array_equal(cutouts.pixels[:2], truth.pixels[:2])
    assert_array_equal(cutouts.offset[:2], truth.offset[:2])
    assert cutouts.tile[:2].tolist() == truth.tile[:2].tolist()
