import gzip
from urllib.parse import parse_qsl

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astro_iicnet.config import conf
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.aws import AwsArchive
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.cutouts.transport import transport
from astro_iicnet.exceptions import ImagesError
from astro_iicnet.labels import Status

TILE = "1210p015_ac51"


def in_one_tile(n: int) -> SkyCoord:
    return SkyCoord(121.0 + 0.01 * np.arange(n), np.full(n, 1.5), unit="deg")


def test_address():
    archive = IrsaArchive()
    assert archive.image_url(TILE, "W3") == (
        "https://irsa.ipac.caltech.edu/ibe/data/wise/allwise/p3am_cdd/12/1210/1210p015_ac51/"
        "1210p015_ac51-w3-int-3.fits"
    )
    assert archive.image_url(TILE, "W1", "unc").endswith("/1210p015_ac51-w1-unc-3.fits.gz")
    assert archive.image_url(TILE, "W1", "cov").endswith("/1210p015_ac51-w1-cov-3.fits.gz")
    with conf.set_temp("irsa_server", "http://127.0.0.1:1/"):
        assert archive.image_url(TILE, "W1").startswith("http://127.0.0.1:1/ibe/data/")
    with pytest.raises(ImagesError, match="'w1'"):
        archive.image_url(TILE, "w1")
    with pytest.raises(ImagesError, match="'int'"):
        archive.image_url(TILE, "W1", "ints")


def test_is_a_source():
    archive = open_images("irsa")
    assert isinstance(archive, IrsaArchive)
    assert (archive.name, archive.survey) == ("irsa", "allwise-atlas")


def test_one_small_request_for_each_band(archive_server):
    cutouts = IrsaArchive().fetch(in_one_tile(1), ("W1", "W2", "W3"))
    assert cutouts.status.tolist() == [Status.OK]
    assert len(archive_server.requests) == 3
    for request in archive_server.requests:
        asked = dict(parse_qsl(request.query))
        assert [float(angle) for angle in asked.pop("center").split(",")] == pytest.approx(
            [121, 1.5], abs=1e-5
        )
        assert asked == {"size": "45pix", "gzip": "false"}
        assert request.n_bytes < 15_000


def test_gzipped_all_the_same(archive_server, monkeypatch):
    class Gzipped:
        def get(self, url, check, **options):
            return transport().get(url, lambda body: check(gzip.compress(body)), **options)

    expected = IrsaArchive().fetch(in_one_tile(2), ("W1",))
    monkeypatch.setattr("astro_iicnet.cutouts.irsa.transport", Gzipped)
    with conf.set_temp("cache_size", 0):
        cutouts = IrsaArchive().fetch(in_one_tile(2), ("W1",))
    assert np.array_equal(cutouts.pixels, expected.pixels)


@pytest.mark.parametrize(("n", "by_rows"), [(4, False), (5, True)])
def test_threshold(archive_server, n, by_rows):
    with conf.set_temp("tile_threshold", 5):
        IrsaArchive().fetch(in_one_tile(n), ("W1",))
    assert all(bool(request.byte_range) == by_rows for request in archive_server.requests)
    assert archive_server.n_requests == (2 if by_rows else n)


def test_rows_after_cutouts_in_the_same_tile(archive_server):
    """Where pixels begin in the file of a tile is not what the header of a cutout of it says."""
    archive = IrsaArchive()
    archive.fetch(in_one_tile(1), ("W1", "W2"))
    with conf.set_temp("tile_threshold", 5):
        by_rows = archive.fetch(in_one_tile(9), ("W1", "W2"))
        again = archive.fetch(in_one_tile(9), ("W1", "W2"))
    assert by_rows.status.tolist() == [Status.OK] * 9
    assert np.array_equal(by_rows.pixels, AwsArchive().fetch(in_one_tile(9), ("W1", "W2")).pixels)
    assert np.array_equal(by_rows.pixels, again.pixels)


def test_verify(archive_server, monkeypatch):
    calls = []

    def verify(coords, bands, archive):
        calls.append((len(coords), bands, archive))
        if len(calls) == 1:
            raise ImagesError("Expected this, found that.")

    monkeypatch.setattr("astro_iicnet.cutouts.verify.verify_urls", verify)
    archive = IrsaArchive(verify=True)
    with pytest.raises(ImagesError, match="found that"):
        archive.fetch(in_one_tile(20), ("W1",))
    assert archive_server.n_requests == 0
    for _ in range(3):
        archive.fetch(in_one_tile(20), ("W1",))
    assert calls == [(3, ("W1",), archive)] * 2
    IrsaArchive().fetch(in_one_tile(2), ("W1",))
    assert len(calls) == 2
