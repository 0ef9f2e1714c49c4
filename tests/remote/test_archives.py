"""The real archives: run with ``pytest --remote-data tests/remote``, about 50 small requests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose, assert_array_equal

from astro_iicnet.config import conf
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.hips import HipsArchive
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.cutouts.local import LocalFolder
from astro_iicnet.cutouts.verify import verify_urls
from astro_iicnet.exceptions import RetrievalWarning
from astro_iicnet.labels import Status

pytestmark = pytest.mark.remote_data

BANDS = ("W1", "W2", "W3", "W4")

# A galaxy in tile 1210p015, and a position 2 arcmin from it, off all middle pixels.
COORDS = SkyCoord([121.60136, 121.57213], [1.03578, 1.05121], unit="deg")
TILE = "1210p015_ac51"


@pytest.fixture(autouse=True)
def new_store(tmp_path: Path) -> Iterator[None]:
    with conf.set_temp("cache_dir", str(tmp_path)):
        yield


def test_irsa_cuts():
    with conf.set_temp("tile_threshold", 1000):
        cutouts = IrsaArchive().fetch(COORDS, BANDS)
    assert cutouts.status.tolist() == [Status.OK] * 2
    assert cutouts.tile.tolist() == [TILE] * 2
    peak = np.unravel_index(np.argmax(cutouts.pixels[0, 0]), (41, 41))
    assert np.hypot(*(np.array(peak) - 20)) < 4


def test_irsa_sends_rows():
    with conf.set_temp("tile_threshold", 1):
        by_rows = IrsaArchive().fetch(COORDS, ("W1", "W4"))
    with conf.set_temp("tile_threshold", 1000), conf.set_temp("cache_size", 0):
        cut = IrsaArchive().fetch(COORDS, ("W1", "W4"))
    assert by_rows.status.tolist() == [Status.OK] * 2
    assert_array_equal(by_rows.pixels, cut.pixels)
    assert_allclose(by_rows.offset, cut.offset, atol=0.002)


def test_aws_has_the_same_pixels():
    aws = open_images("aws").fetch(COORDS, BANDS)
    assert aws.status.tolist() == [Status.OK] * 2
    irsa = open_images("irsa").fetch(COORDS, BANDS)
    assert_array_equal(aws.pixels, irsa.pixels)
    assert_allclose(aws.offset, irsa.offset, atol=0.002)
    assert_array_equal(aws.tile, irsa.tile)


def test_the_pixels_are_those_published_before(shared_data):
    known = LocalFolder(shared_data / "fields").fetch(COORDS, BANDS)
    cutouts = IrsaArchive().fetch(COORDS, BANDS)
    assert_array_equal(cutouts.pixels, known.pixels)
    assert_allclose(cutouts.offset, known.offset, atol=0.01)


def test_an_unknown_tile_is_no_image():
    class Nowhere(IrsaArchive):
        def image_url(self, coadd_id, band, kind="int"):
            return super().image_url("1211p015_ac51", band, kind)

    with pytest.warns(RetrievalWarning, match="no such image"):
        cutouts = Nowhere().fetch(COORDS[:1], ("W1",))
    assert cutouts.status.tolist() == [Status.NO_COVERAGE]


def test_the_index_lists_our_addresses():
    everywhere = SkyCoord([121.60136, 0.003, 4.6, 200.0], [1.03578, -0.7, 48.5, -88.9], unit="deg")
    verify_urls(everywhere, BANDS, IrsaArchive())


@pytest.mark.parametrize("server", conf.hips_servers)
def test_hips_shows_the_same_sky(server):
    with conf.set_temp("hips_servers", [server]), pytest.warns(RetrievalWarning, match="resampled"):
        hips = HipsArchive().fetch(COORDS, BANDS)
    assert hips.status.tolist() == [Status.OK] * 2
    irsa = IrsaArchive().fetch(COORDS, BANDS)
    for resampled, image in zip(hips.pixels[0], irsa.pixels[0], strict=True):
        assert np.corrcoef(resampled.ravel(), image.ravel())[0, 1] > 0.9
