"""The local archives answer as the real ones do."""

import gzip
import io

import numpy as np
import pytest
import requests
from archive_server import ArchiveServer
from astropy.io import fits
from astropy.wcs import WCS

from astro_iicnet.allwise.tiles import TILE_SIZE, tile_grid
from astro_iicnet.config import conf
from astro_iicnet.cutouts.local import LocalFolder

TILE = "3072m137_ac51"
CENTRE = (307.5, -13.4)
TILE_BYTES = 67_083_840


def ibe_url(server: ArchiveServer, coadd_id: str = TILE, band: int = 1) -> str:
    folder = f"{coadd_id[:2]}/{coadd_id[:4]}/{coadd_id}"
    return f"{server.url}/ibe/data/wise/allwise/p3am_cdd/{folder}/{coadd_id}-w{band}-int-3.fits"


def aws_url(server: ArchiveServer, coadd_id: str = TILE, band: int = 1) -> str:
    return ibe_url(server, coadd_id, band).replace("/ibe/data/wise/allwise/", "/wise/allwise/images/")


def get(url: str, byte_range: str | None = None, **params: str) -> requests.Response:
    headers = {"Range": f"bytes={byte_range}"} if byte_range else {}
    return requests.get(url, params=params, headers=headers, timeout=30)


def read(body: bytes) -> tuple[np.ndarray, fits.Header]:
    with fits.open(io.BytesIO(body)) as hdus:
        hdus.verify("exception")
        return hdus[0].data.copy(), hdus[0].header


def cutout(server: ArchiveServer, center: str, size: str = "45pix") -> tuple[np.ndarray, fits.Header]:
    answer = get(ibe_url(server), center=center, size=size, gzip="false")
    assert answer.status_code == 200
    return read(answer.content)


def test_settings_lead_to_the_server(archive_server, tmp_path):
    assert conf.irsa_server == conf.aws_server == archive_server.url
    assert all(url.startswith(archive_server.url) for url in conf.hips_servers)
    assert conf.cache_dir == str(tmp_path)


@pytest.mark.parametrize("url", [ibe_url, aws_url])
def test_whole_tile_has_its_true_size_and_pixels(archive_server, url):
    answer = get(url(archive_server, band=3))
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["Content-Length"]) == TILE_BYTES
    pixels, header = read(answer.content)
    assert pixels.shape == (TILE_SIZE, TILE_SIZE)
    assert (header["BAND"], header["COADDID"], header["MAGZP"], header["BUNIT"]) == (3, TILE, 18.0, "DN")
    np.testing.assert_array_equal(pixels[100:300], archive_server.pixels(TILE, "W3", 100, 300, 0, TILE_SIZE))
    assert np.isfinite(pixels).all()


def test_header_is_like_that_of_a_real_image(archive_server, shared_data):
    real = fits.getheader(shared_data / "finder_chart_fits/index-460/w3.fits")
    served = archive_server.header("3072m137_ac51", "W3")
    changing = {"MEDINT", "MEDCOV", "MAXCOV", "ROBSIG", "ORIGIN", "NAXIS1", "NAXIS2", "CRPIX1", "CRPIX2"}
    for key in set(served) - changing - {"COMMENT", "HISTORY"}:
        assert served[key] == real[key], key
    assert changing < set(real)
    assert "RADESYS" not in served


@pytest.mark.parametrize("byte_range", ["0-5759", "5760-22139", "40000000-41000000", "67083839-67083839"])
def test_range_is_the_same_part_of_the_file(archive_server, tmp_path, byte_range):
    first, last = map(int, byte_range.split("-"))
    path = archive_server.write_tile(tmp_path, TILE, "W1")
    assert path.stat().st_size == TILE_BYTES
    for url in (ibe_url(archive_server), aws_url(archive_server)):
        answer = get(url, byte_range)
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {byte_range}/{TILE_BYTES}"
        with open(path, "rb") as file:
            file.seek(first)
            assert answer.content == file.read(last - first + 1)


@pytest.mark.parametrize(("byte_range", "start"), [("67083000-", 67083000), ("-840", 67083000)])
def test_open_ranges(archive_server, byte_range, start):
    answer = get(aws_url(archive_server), byte_range)
    assert answer.headers["Content-Range"] == f"bytes {start}-67083839/{TILE_BYTES}"
    assert len(answer.content) == 840


def test_range_beyond_the_end(archive_server):
    answer = get(aws_url(archive_server), "67083840-67083841")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{TILE_BYTES}"


@pytest.mark.parametrize("band", range(1, 5))
def test_cutout_agrees_with_the_whole_tile(archive_server, band):
    answer = get(ibe_url(archive_server, band=band), center="307.5,-13.4", size="45pix", gzip="false")
    pixels, header = read(answer.content)
    whole = WCS(archive_server.header(TILE, f"W{band}"))
    assert pixels.shape == (46, 46)  # both ends included
    x0, y0 = 2048 - int(header["CRPIX1"]), 2048 - int(header["CRPIX2"])
    truth = archive_server.pixels(TILE, f"W{band}", y0, y0 + 46, x0, x0 + 46)
    np.testing.assert_array_equal(pixels, truth)
    places = np.array([[0.0, 0.0], [45.0, 3.0], [20.5, 40.25]])
    np.testing.assert_allclose(
        WCS(header).wcs_pix2world(places, 0), whole.wcs_pix2world(places + [x0, y0], 0), rtol=0, atol=1e-10
    )
    assert np.abs(WCS(header).wcs_world2pix([CENTRE], 0) - 22.5).max() <= 0.5


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("128pix", (129, 129)),
        ("20,10px", (11, 21)),
        ("55arcsec", (41, 41)),
        ("0.9166667arcmin", (41, 41)),
        ("0.0152778", (41, 41)),
        ("0.0152778deg", (41, 41)),
    ],
)
def test_cutout_sizes(archive_server, size, shape):
    pixels, _ = cutout(archive_server, "2000,2000pix", size)
    assert pixels.shape == shape


def test_cutout_is_compressed_unless_told_otherwise(archive_server):
    url = ibe_url(archive_server)
    compressed = get(url, center="307.5,-13.4", size="45pix").content
    plain = get(url, center="307.5,-13.4", size="45pix", gzip="false").content
    assert gzip.decompress(compressed) == plain


def test_cutout_is_clipped_at_the_edge(archive_server):
    whole = WCS(archive_server.header(TILE, "W1"))
    ra, dec = whole.wcs_pix2world([[3.3, 4090.3]], 0)[0]
    pixels, header = cutout(archive_server, f"{ra:.8f},{dec:.8f}")
    assert (header["CRPIX1"], header["CRPIX2"]) == (2048, 2048 - 4068)
    assert pixels.shape == (4095 - 4068, 27)
    np.testing.assert_array_equal(pixels, archive_server.pixels(TILE, "W1", 4068, 4095, 0, 27))
    middle = (np.array(pixels.shape[::-1]) - 1) / 2
    assert np.abs(WCS(header).wcs_world2pix([[ra, dec]], 0)[0] - middle).min() > 5


@pytest.mark.parametrize(
    "query",
    [
        {"center": "10,10", "size": "45pix"},
        {"center": "127.2,13.63", "size": "45pix"},
        {"center": "-100,5pix", "size": "45pix"},
        {"center": "307.5,-13.4", "size": "45furlongs"},
        {"center": "307.5,-13.4", "size": "-4pix"},
        {"center": "307.5,-13.4"},
    ],
)
def test_bad_cutouts_are_refused(archive_server, query):
    assert get(ibe_url(archive_server), **query).status_code == 400


def test_unknown_images(archive_server):
    for url in (
        ibe_url(archive_server, "3073m137_ac51"),
        ibe_url(archive_server, band=5),
        ibe_url(archive_server).replace("/30/", "/31/"),
        archive_server.url + "/ibe/elsewhere",
    ):
        assert get(url).status_code == 404
    answer = get(aws_url(archive_server, "3073m137_ac51"))
    assert answer.status_code == 404
    assert "<Code>NoSuchKey</Code>" in answer.text


def test_every_published_centre_is_the_crval(archive_server, shared_data):
    with fits.open(shared_data / "allwise_tile_centres.fits.gz") as hdus:
        published = {f"{row[0]}_ac51": row for row in hdus[1].data}
    for coadd_id in tile_grid()["coadd_id"][::1500]:
        header = archive_server.header(coadd_id, "W1")
        row = published[coadd_id]
        np.testing.assert_allclose([header["CRVAL1"], header["CRVAL2"]], [row["ra"], row["dec"]], atol=2e-6)


def test_tiles_differ_and_bands_share_their_sky(archive_server):
    other = "1210p015_ac51"
    here, there = (archive_server.pixels(tile, "W1", 0, 60, 0, 60) for tile in (TILE, other))
    assert np.abs(here - there).max() > 1
    w2 = archive_server.pixels(TILE, "W2", 0, 700, 0, 700)
    w1 = archive_server.pixels(TILE, "W1", 0, 700, 0, 700)
    assert np.corrcoef(w1.ravel(), w2.ravel())[0, 1] > 0.5


def test_added_source_lies_where_the_header_says(archive_server):
    before = archive_server.pixels(TILE, "W2", 1000, 3000, 1000, 3000)
    archive_server.add_source(*CENTRE, flux=1000.0)
    light = archive_server.pixels(TILE, "W2", 1000, 3000, 1000, 3000) - before
    y, x = np.indices(light.shape) + 1000
    found = [(light * x).sum() / light.sum(), (light * y).sum() / light.sum()]
    truth = WCS(archive_server.header(TILE, "W2")).wcs_world2pix([CENTRE], 0)[0]
    np.testing.assert_allclose(found, truth, atol=0.002)
    assert light.sum() == pytest.approx(1000, rel=1e-4)
    x0, y0 = np.rint(truth).astype(int)
    pixels, _ = cutout(archive_server, "{},{}".format(*CENTRE))
    assert archive_server.pixels(TILE, "W1", y0, y0 + 1, x0, x0 + 1)[0, 0] in pixels


def test_local_folder_reads_written_tiles(archive_server, tmp_path):
    part = archive_server.write_tile(tmp_path, TILE, "W1", (1000, 1200, 2000, 2300))
    pixels, header = read(part.read_bytes())
    assert pixels.shape == (200, 300)
    assert (header["CRPIX1"], header["CRPIX2"]) == (48, 1048)
    np.testing.assert_array_equal(pixels, archive_server.pixels(TILE, "W1", 1000, 1200, 2000, 2300))
    assert "1 images of 1 tiles" in repr(LocalFolder(tmp_path))


def test_head_tells_the_size(archive_server):
    answer = requests.head(ibe_url(archive_server), timeout=30)
    assert answer.headers["Content-Length"] == str(TILE_BYTES)
    assert answer.headers["Accept-Ranges"] == "bytes"
