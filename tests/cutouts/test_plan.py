"""What a retrieval will cost."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose

from astro_iicnet.config import conf
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.plan import Plan, plan_retrieval
from astro_iicnet.cutouts.retrieve import retrieve
from astro_iicnet.exceptions import ImagesError
from astro_iicnet.labels import Status

BANDS = ("W1", "W2", "W3")


def sky(rng: np.random.Generator, n: int) -> SkyCoord:
    return SkyCoord(rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n))), unit="deg")


def patch(rng: np.random.Generator, n: int, side: float = 2.0, dec: float = 20.0) -> SkyCoord:
    """Positions in a square of ``side`` degrees."""
    ra = 150 + rng.uniform(-0.5, 0.5, n) * side / np.cos(np.radians(dec))
    return SkyCoord(ra, dec + rng.uniform(-0.5, 0.5, n) * side, unit="deg")


@pytest.mark.parametrize(
    ("images", "threshold", "chunk_size", "spread"),
    [
        ("irsa", 1000, 2048, False),
        ("irsa", 30, 2048, False),
        ("irsa", 30, 100, False),
        ("aws", 30, 2048, False),
        ("aws", 30, 100, True),
        ("hips", 30, 2048, True),
    ],
)
@pytest.mark.filterwarnings("ignore:images='hips':astro_iicnet.exceptions.RetrievalWarning")
def test_it_is_what_the_archive_is_asked_for(archive_server, rng, images, threshold, chunk_size, spread):
    coords = sky(rng, 40) if spread else patch(rng, 300)
    again = np.append(np.arange(len(coords)), [0, 1, 2, 3])
    ra, dec = coords.ra.deg[again], coords.dec.deg[again]
    coords = SkyCoord(np.append(ra, np.nan), np.append(dec, 0.0), unit="deg")
    bands = BANDS[:2]
    with conf.set_temp("tile_threshold", threshold):
        plan = plan_retrieval(coords, bands, images, chunk_size=chunk_size)
        assert archive_server.n_requests == 0
        for _, cutouts in retrieve(open_images(images), coords, bands, chunk_size=chunk_size, progress=False):
            assert np.isin(cutouts.status, (Status.OK, Status.BAD_COORDINATES)).all()
    assert plan.n_sources == len(coords) - 1
    assert_allclose(plan.n_requests, archive_server.n_requests, rtol=0.02)
    assert_allclose(plan.n_bytes, archive_server.n_bytes, rtol=0.05)
    assert plan.advice == ()


def test_whole_tiles_come_in_large_blocks(archive_server, rng):
    coords = SkyCoord(rng.uniform(149.7, 150.3, 400), rng.uniform(-0.7, 0.7, 400), unit="deg")
    plan = plan_retrieval(coords, ("W1",), "aws")
    open_images("aws").fetch(coords, ("W1",))
    assert (plan.n_tiles, plan.n_requests) == (1, archive_server.n_requests)
    assert_allclose(plan.n_bytes, archive_server.n_bytes, rtol=0.01)


def test_sources_that_need_no_archive(tmp_path, rng):
    plan = plan_retrieval(sky(rng, 10), BANDS, "simulated")
    assert (plan.n_requests, plan.n_bytes, plan.seconds, plan.advice) == (0, 0, 0, ())
    assert "no requests" in str(plan)


def test_a_list_is_planned_for_its_first_source(rng):
    coords = sky(rng, 20)
    both, first = plan_retrieval(coords, BANDS, ["irsa", "aws"]), plan_retrieval(coords, BANDS, "irsa")
    assert both.images == "irsa, aws"
    assert (both.n_requests, both.n_bytes) == (first.n_requests, first.n_bytes) == (60, 60 * 14_400)


@pytest.mark.parametrize("images", ["irsa", "aws", "hips"])
def test_no_usable_position(images):
    plan = plan_retrieval(SkyCoord([np.nan], [0.0], unit="deg"), BANDS, images)
    assert plan == Plan(images, 0, 0, 0, 0, 0.0)


def test_more_connections_take_less_time(rng):
    coords = sky(rng, 1000)
    with conf.set_temp("max_connections", 1):
        slow = plan_retrieval(coords, BANDS, "irsa")
    assert plan_retrieval(coords, BANDS, "irsa").seconds < slow.seconds / 4


def test_in_words(rng):
    text = str(plan_retrieval(sky(rng, 1000), BANDS, "irsa"))
    assert "1,000 sources in" in text
    assert "3,000 requests, 43.2 MB, about 4 min with 8 connections" in text


def test_advice_where_few_sources_share_a_tile(rng):
    plan = plan_retrieval(sky(rng, 20_000), BANDS, "aws")
    assert any("images='irsa' would take" in text for text in plan.advice)
    assert any("us-west-2" in text for text in plan.advice)
    assert "Advice: " in str(plan)


def test_advice_where_many_sources_share_a_tile(rng):
    coords = patch(rng, 40_000, side=3.0)
    with conf.set_temp("tile_threshold", 5000):
        plan = plan_retrieval(coords, BANDS, "irsa")
    assert any("conf.tile_threshold = " in text and "(now 5000)" in text for text in plan.advice)
    assert any("images='aws' would take" in text for text in plan.advice)
    assert plan_retrieval(coords, BANDS, "irsa").seconds < plan.seconds / 5


def test_no_advice_for_a_short_list(rng):
    assert plan_retrieval(sky(rng, 300), BANDS, "irsa").advice == ()


def test_arguments(rng):
    with pytest.raises(ImagesError, match="Did you mean 'irsa'"):
        plan_retrieval(sky(rng, 3), BANDS, "irza")
    with pytest.raises(ImagesError, match="Unknown band 'w1'"):
        plan_retrieval(sky(rng, 3), ("w1",), "irsa")


def test_it_loads_no_torch():
    code = "import sys, astro_iicnet.cutouts.plan; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
