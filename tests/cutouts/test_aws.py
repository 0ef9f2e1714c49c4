import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.aws import AwsArchive
from astro_iicnet.labels import Status

WHOLE = 67_083_840


def test_address():
    assert AwsArchive().image_url("1210p015_ac51", "W3") == (
        "https://nasa-irsa-wise.s3.us-west-2.amazonaws.com/wise/allwise/images/p3am_cdd/"
        "12/1210/1210p015_ac51/1210p015_ac51-w3-int-3.fits"
    )


def test_is_a_source():
    archive = open_images("aws")
    assert isinstance(archive, AwsArchive)
    assert (archive.name, archive.survey) == ("aws", "allwise-atlas")


def test_header_and_rows(archive_server):
    AwsArchive().fetch(SkyCoord([121.0], [1.5], unit="deg"), ("W1",))
    header, rows = archive_server.requests
    assert header.byte_range == "bytes=0-5759"
    assert rows.n_bytes == 41 * 4095 * 4


def test_the_header_is_asked_for_once(archive_server):
    archive = AwsArchive()
    archive.fetch(SkyCoord([121.0], [1.5], unit="deg"), ("W1",))
    archive.fetch(SkyCoord([121.1], [1.7], unit="deg"), ("W1",))
    AwsArchive().fetch(SkyCoord([121.1], [1.3], unit="deg"), ("W1",))
    assert [request.byte_range == "bytes=0-5759" for request in archive_server.requests] == [1, 0, 0, 0]


def test_a_header_longer_than_most(archive_server, monkeypatch):
    monkeypatch.setattr("astro_iicnet.cutouts.archive._HEADER_BYTES", (2880, 28800))
    cutouts = AwsArchive().fetch(SkyCoord([121.0], [1.5], unit="deg"), ("W1",))
    assert cutouts.status.tolist() == [Status.OK]
    assert [request.n_bytes for request in archive_server.requests] == [2880, 28800, 41 * 4095 * 4]


def test_many_sources_take_the_tile_in_blocks(archive_server, rng):
    ra, dec = rng.uniform(120.4, 121.6, 600), rng.uniform(0.8, 2.2, 600)
    cutouts = AwsArchive().fetch(SkyCoord(ra, dec, unit="deg"), ("W1",))
    assert np.all(cutouts.status == Status.OK)
    assert set(cutouts.tile) == {"1210p015_ac51"}
    assert archive_server.n_requests <= 7
    assert archive_server.n_bytes < 1.05 * WHOLE
    assert max(request.n_bytes for request in archive_server.requests) < WHOLE / 3.9
