"""The image source "hips"."""

import io
import warnings
from importlib import util

import numpy as np
import pytest
from archive_server import ArchiveServer, Fault, permanent_faults, random_faults
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astroquery import cache_conf
from numpy.testing import assert_allclose, assert_array_equal

from astro_iicnet.config import conf
from astro_iicnet.cutouts import hips as module
from astro_iicnet.cutouts.hips import HipsArchive
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.exceptions import ImagesError, RetrievalWarning
from astro_iicnet.labels import Status

BANDS = ("W1", "W3")
COORDS = SkyCoord([150.1201, 0.0, 359.9999, 12.3], [2.2103, -0.3, 0.2, 86.1], unit="deg")
NEW_WARNING = pytest.warns(RetrievalWarning, match="resampled")


def refused(server: ArchiveServer, mirror: bool) -> None:
    """Let one of the two services be out of order."""
    server.faults = permanent_faults(lambda request: request.startswith("/mirror") == mirror)


def test_images_are_centred_on_the_target(archive_server):
    coords = COORDS[:2]
    with NEW_WARNING:
        cutouts = HipsArchive().fetch(coords, BANDS)
    assert cutouts.status.tolist() == [Status.OK] * 2
    assert_array_equal(cutouts.offset, 0)
    assert_allclose(cutouts.magzp, [20.5, 18.0])
    assert cutouts.tile.tolist() == ["", ""]
    atlas = IrsaArchive().fetch(coords, BANDS)
    for image, truth, (x, y) in zip(cutouts.pixels[:, 0], atlas.pixels[:, 0], atlas.offset, strict=True):
        # Bilinear from the Atlas pixels, shifted so that the target is in the middle.
        i, j = int(np.floor(x)), int(np.floor(y))
        corner = [truth[10 + b : 31 + b, 10 + a : 31 + a] for b in (j, j + 1) for a in (i, i + 1)]
        fx, fy = x - i, y - j
        share = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
        expected = sum(part * weight for part, weight in zip(corner, share, strict=True))
        assert_allclose(image[10:31, 10:31], expected, atol=0.02 * np.ptp(truth))


def test_each_place_is_asked_once_and_rows_keep_their_order(archive_server):
    rows = [2, 0, 1, 0, 3, 2]
    with NEW_WARNING:
        single = HipsArchive().fetch(COORDS, BANDS)
    archive_server.reset()
    with NEW_WARNING:
        cutouts = HipsArchive().fetch(COORDS[rows].galactic, BANDS)
    assert archive_server.n_requests == 4 * len(BANDS)
    assert archive_server.peak_connections <= conf.max_connections
    assert_allclose(cutouts.pixels, single.pixels[rows], rtol=1e-3)


def test_it_warns_of_resampling_once(archive_server):
    source = HipsArchive()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source.fetch(COORDS[:3], ("W1",))
        source.fetch(COORDS[:1], ("W1",))
    assert len(caught) == 1
    assert "bilinear" in str(caught[0].message)
    assert source.survey == "allwise-hips"


def test_positions_that_are_not_usable(archive_server):
    coords = SkyCoord([150.1201, np.nan], [2.2103, 1.0], unit="deg")
    calls = []
    with NEW_WARNING:
        cutouts = HipsArchive().fetch(coords, ("W1",), progress=lambda *numbers: calls.append(numbers))
    assert cutouts.status.tolist() == [Status.OK, Status.BAD_COORDINATES]
    assert np.sum(calls, axis=0).tolist() == [2, 0]
    assert len(HipsArchive().fetch(coords[:0], BANDS)) == 0


@pytest.mark.parametrize("mirror", [False, True])
def test_one_service_is_enough(archive_server, mirror):
    refused(archive_server, mirror)
    with NEW_WARNING, conf.set_temp("retries", 1), conf.set_temp("max_connections", 1):
        cutouts = HipsArchive().fetch(COORDS, ("W1",))
    assert cutouts.status.tolist() == [Status.OK] * 4
    # The service that failed once is not asked again as long as the other one answers.
    assert archive_server.n_requests == (4 if mirror else 4 + 2)


def test_faults_are_overcome(archive_server):
    archive_server.faults = random_faults(0.3, seed=5, max_per_url=3)
    archive_server.retry_after, archive_server.slow_seconds = 0, 0.1
    coords = SkyCoord(np.linspace(10, 10.5, 12), np.linspace(-3, 3, 12), unit="deg")
    with NEW_WARNING:
        cutouts = HipsArchive().fetch(coords, BANDS)
    archive_server.faults = None
    with NEW_WARNING:
        truth = HipsArchive().fetch(coords, BANDS)
    assert archive_server.n_requests > 48
    assert cutouts.status.tolist() == [Status.OK] * 12
    assert_array_equal(cutouts.pixels, truth.pixels)


def test_rows_fail_where_no_service_answers(archive_server):
    archive_server.faults = permanent_faults(lambda request: '"CRVAL2":+-0.3,' in request)
    calls = []
    with pytest.warns(RetrievalWarning) as caught, conf.set_temp("retries", 1):
        cutouts = HipsArchive().fetch(COORDS, BANDS, progress=lambda *numbers: calls.append(numbers))
    failed = Status.RETRIEVAL_FAILED
    assert cutouts.status.tolist() == [Status.OK, failed, Status.OK, Status.OK]
    assert np.isnan(cutouts.pixels[1]).all()
    assert np.sum(calls, axis=0).tolist() == [4, 1]
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert any("retrieval_failed" in message and "HTTP 500" in message for message in messages)


def test_no_image(archive_server):
    archive_server.faults = permanent_faults(lambda request: True, Fault.NOT_FOUND)
    with pytest.warns(RetrievalWarning, match="no_coverage.*404"):
        cutouts = HipsArchive().fetch(COORDS[:1], ("W1",))
    assert cutouts.status.tolist() == [Status.NO_COVERAGE]


def test_offline(archive_server):
    with conf.set_temp("offline", True), pytest.warns(RetrievalWarning, match="offline"):
        cutouts = HipsArchive().fetch(COORDS, BANDS)
    assert cutouts.status.tolist() == [Status.RETRIEVAL_FAILED] * 4
    assert archive_server.n_requests == 0


def image_of(ra: float = 10.0, dec: float = 5.0, **cards: object) -> bytes:
    """What a service sends for a place."""
    header = module._target_wcs(ra, dec).to_header()
    hdu = fits.PrimaryHDU(np.ones((41, 41), np.float32), header)
    hdu.header.update(cards)
    file = io.BytesIO()
    hdu.writeto(file, output_verify="ignore")
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>Please wait</html>", "web page"),
        (b"", "not a FITS file"),
        (image_of()[:2000], "ends within its header"),
        (image_of()[:6000], "ends after 6000 bytes"),
        (image_of(ra=10.001), "another place"),
        (image_of(CDELT1=-0.0005), "another place"),
        (image_of().replace(b"10.0 / [deg]", b"NaN  / [deg]"), "WCS|place"),
        (image_of().replace(b"                   41", b"                   40"), "image of"),
        (image_of().replace(b"                   41", b"            (1, x) 41"), "size of an image"),
        (image_of().replace(b"                  -32", b"                  (-3"), "size of an image"),
        (image_of().replace(b"BITPIX  ", b"BITTEN  "), "size of an image"),
    ],
)
def test_what_is_not_the_image_asked_for(body, why):
    with pytest.raises(module.BrokenBodyError, match=why):
        module._read_image(body, module._target_wcs(10.0, 5.0))


def test_the_image_asked_for():
    assert_array_equal(module._read_image(image_of(), module._target_wcs(10.0, 5.0)), np.ones((41, 41)))


def test_settings_of_astroquery_stay_as_they_are(archive_server):
    before = cache_conf.cache_active, cache_conf.cache_timeout
    with NEW_WARNING:
        HipsArchive().fetch(COORDS, BANDS)
    assert (cache_conf.cache_active, cache_conf.cache_timeout) == before


def test_arguments():
    with pytest.raises(ImagesError, match="Unknown band 'w1'"):
        HipsArchive().fetch(COORDS, ("w1",))
    with conf.set_temp("hips_servers", []), pytest.raises(ImagesError, match="hips_servers is empty"):
        HipsArchive().fetch(COORDS, BANDS)


def test_what_astroquery_needs_is_missing(monkeypatch):
    find = util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "PIL" else find(name))
    with pytest.raises(ImagesError, match=r"needs Pillow.*pip install 'astro_iicnet\[analysis\]'"):
        HipsArchive()
