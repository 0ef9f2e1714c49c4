"""The local archives answer as the real ones do."""

import gzip
import io
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import archive_server as archive_server_package
import numpy as np
import pytest
import requests
from archive_server import ArchiveServer, Fault, first_faults, permanent_faults, random_faults
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astroquery.hips2fits import hips2fitsClass
from astroquery.ipac.irsa import IrsaClass
from scipy.ndimage import map_coordinates

from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile, tile_grid
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


def test_whole_tile_has_its_true_size_and_pixels(archive_server):
    answer = get(ibe_url(archive_server, band=3))
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["Content-Length"]) == TILE_BYTES
    assert get(aws_url(archive_server, band=3), "66000000-").content == answer.content[66000000:]
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


def ask(server: ArchiveServer, byte_range: str | None = None) -> requests.Response:
    if byte_range:
        return get(ibe_url(server), byte_range)
    return get(ibe_url(server), center="307.5,-13.4", size="45pix", gzip="false")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.UNAVAILABLE, 503),
        (Fault.UNAVAILABLE_RETRY_AFTER, 503),
        (Fault.RATE_LIMITED, 429),
        (Fault.SERVER_ERROR, 500),
        (Fault.FORBIDDEN, 403),
        (Fault.NOT_FOUND, 404),
        (Fault.HTML, 200),
    ],
)
def test_faulty_statuses(archive_server, fault, status):
    archive_server.faults = first_faults(fault)
    answer = ask(archive_server)
    assert answer.status_code == status
    assert answer.text.startswith("<!DOCTYPE html>")
    assert answer.headers.get("Retry-After") == ("1" if fault is Fault.UNAVAILABLE_RETRY_AFTER else None)
    assert ask(archive_server).status_code == 200
    assert [request.fault for request in archive_server.requests] == [fault, None]


def test_reset_and_truncated_bodies(archive_server):
    archive_server.faults = first_faults(Fault.RESET, Fault.TRUNCATED, Fault.TRUNCATED_LENGTH)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        ask(archive_server)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="7200 more expected"):
        ask(archive_server)
    short, whole = ask(archive_server), ask(archive_server)
    assert int(short.headers["Content-Length"]) == len(short.content) == 7200
    assert whole.content[:7200] == short.content
    seen = [(request.status, request.n_bytes) for request in archive_server.requests]
    assert seen == [(0, 0), (200, 7200), (200, 7200), (200, 14400)]
    assert archive_server.n_bytes == 28800


@pytest.mark.parametrize(
    ("fault", "tile", "band"),
    [
        (Fault.OTHER_TILE, "3087m137_ac51", 1),
        (Fault.OTHER_BAND, TILE, 4),
        (Fault.NAN_WCS, TILE, 1),
        (Fault.SLOW, TILE, 1),
    ],
)
def test_wrong_images(archive_server, fault, tile, band):
    archive_server.slow_seconds = 0.1
    archive_server.faults = first_faults(fault)
    bodies = [ask(archive_server).content for _ in range(2)]
    bad, good = (fits.Header.fromstring(body[:5760]) for body in bodies)
    assert (good["COADDID"], good["BAND"]) == (TILE, 1)
    assert (bad["COADDID"], bad["BAND"]) == (tile, band)
    assert (bad["NAXIS1"], bad["NAXIS2"]) == (good["NAXIS1"], good["NAXIS2"])
    assert [b"CRVAL1  =                  NaN /" in body for body in bodies] == [fault is Fault.NAN_WCS, False]


def test_wrong_image_shows_in_a_range_of_pixels(archive_server):
    archive_server.faults = first_faults(Fault.OTHER_TILE)
    bad, good = ask(archive_server, "5760-22139"), ask(archive_server, "5760-22139")
    assert bad.headers["Content-Range"] == f"bytes 0-16379/{TILE_BYTES}"
    assert good.headers["Content-Range"] == f"bytes 5760-22139/{TILE_BYTES}"
    assert len(bad.content) == len(good.content)


def test_random_faults_come_as_often_as_told_and_the_same_each_time():
    plan = random_faults(0.1, seed=3, max_per_url=2)
    first = [plan(f"url {i}", 0) for i in range(20_000)]
    share = np.mean([fault is not None for fault in first])
    assert share == pytest.approx(0.1, abs=0.01)
    assert {fault for fault in first if fault} == set(Fault) - {Fault.FORBIDDEN, Fault.NOT_FOUND}
    assert first == [plan(f"url {i}", 0) for i in range(20_000)]
    assert not any(plan(f"url {i}", attempt) for i in range(2000) for attempt in (2, 3))


def test_plan_sees_url_range_and_attempt(archive_server):
    seen = []
    archive_server.faults = lambda request, attempt: seen.append((request, attempt))
    ask(archive_server)
    ask(archive_server)
    ask(archive_server, "0-5759")
    path = ibe_url(archive_server).removeprefix(archive_server.url)
    request = f"{path}?center=307.5,-13.4&size=45pix&gzip=false"
    assert seen == [(request, 0), (request, 1), (f"{path} bytes=0-5759", 0)]
    archive_server.faults = permanent_faults(lambda request: TILE in request)
    assert [ask(archive_server).status_code for _ in range(3)] == [500, 500, 500]


def test_requests_are_counted(archive_server):
    archive_server.latency = 0.2
    url = ibe_url(archive_server)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda i: get(url, center=f"{2000 + i},2000pix", size="45pix", gzip="false"), range(5)))
    assert archive_server.n_requests == 5
    assert archive_server.n_bytes == 5 * 14400
    assert archive_server.peak_connections == 5
    statistics = requests.get(archive_server.url + "/statistics?reset", timeout=30).json()
    assert statistics["n_requests"] == statistics["statuses"]["200"] == 5
    assert archive_server.n_requests == archive_server.peak_connections == 0


def test_one_request_after_another_never_counts_as_two(archive_server):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: ask(archive_server), range(100)))
    assert archive_server.peak_connections <= 2


def test_connections_stay_open(archive_server):
    with requests.Session() as session:
        for _ in range(3):
            session.get(ibe_url(archive_server), headers={"Range": "bytes=0-79"}, timeout=30)
    assert archive_server.n_connections == 1
    archive_server.reset()
    assert archive_server.n_connections == 0


def test_closing_waits_for_nobody():
    with ThreadPoolExecutor(1) as pool, requests.Session() as idle:
        with ArchiveServer(first_faults(None, Fault.SLOW), slow_seconds=1e4) as server:
            idle.get(ibe_url(server), headers={"Range": "bytes=0-79"}, timeout=30)
            slow = pool.submit(ask, server, "0-79")
            while server.n_connections < 2:
                time.sleep(0.01)
        assert slow.exception(timeout=60) or len(slow.result().content) == 80
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30)


def test_environment_leads_another_process_here(archive_server, tmp_path):
    program = (
        "from astro_iicnet.config import conf; print(conf.irsa_server, *conf.hips_servers, conf.retries)"
    )
    environment = archive_server.environment(tmp_path, retries=7)
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.stdout.split() == [archive_server.url, *conf.hips_servers, "7"]


def irsa(server: ArchiveServer) -> IrsaClass:
    service = IrsaClass()
    service.sia_url = f"{server.url}/SIA"
    return service


def test_sia_answers_are_understood_by_astroquery(archive_server):
    position = SkyCoord(*CENTRE, unit="deg")
    table = irsa(archive_server).query_sia(pos=(position, 1 * u.arcsec), collection="wise_allwise")
    science = table[table["dataproduct_subtype"] == "science"]
    assert len(table) == 12
    assert sorted(science["energy_bandpassname"]) == ["W1", "W2", "W3", "W4"]
    assert set(table["obs_id"]) == {TILE} == set(best_tile(position)[0])
    assert list(science["access_url"]) == [ibe_url(archive_server, band=band) for band in range(1, 5)]
    np.testing.assert_allclose(science["s_ra"], archive_server.header(TILE, "W1")["CRVAL1"])
    for url in science["access_url"]:
        assert get(url, "0-79").status_code == 206


def test_sia_lists_all_tiles_that_hold_a_position(archive_server):
    grid = tile_grid()
    ra, dec = grid["ra"][9000], grid["dec"][9000] + 0.757  # in the overlap of two rows of tiles
    pos = (SkyCoord(ra, dec, unit="deg"), 1 * u.arcsec)
    listed = set(irsa(archive_server).query_sia(pos=pos, collection="wise_allwise")["obs_id"])
    rows = np.abs(grid["dec"] - dec) < 2
    near = grid[rows & (np.abs((grid["ra"] - ra + 180) % 360 - 180) < 3)]["coadd_id"]
    held = set()
    for coadd_id in near:
        wcs = WCS(archive_server.header(coadd_id, "W1"))
        if np.all(np.abs(wcs.wcs_world2pix([[ra, dec]], 0) - 2047) < 2047.5):
            held.add(str(coadd_id))
    assert listed == held
    assert len(listed) > 1


def test_sia_of_another_collection_is_empty(archive_server):
    pos = (SkyCoord(*CENTRE, unit="deg"), 1 * u.arcsec)
    table = irsa(archive_server).query_sia(pos=pos, collection="allwise")
    assert len(table) == 0
    assert "access_url" in table.colnames


@pytest.fixture
def hips(archive_server):
    service = hips2fitsClass()
    service.server = conf.hips_servers[1]
    return service


def test_hips2fits_resamples_the_same_sky(archive_server, hips):
    wcs = WCS(archive_server.header(TILE, "W3"))
    frame = SkyCoord(*wcs.wcs_pix2world([[2500.0, 1500.0]], 0)[0], unit="deg", frame="fk5").icrs
    grid = WCS(naxis=2)
    grid.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    grid.wcs.crval = [frame.ra.deg, frame.dec.deg]
    grid.wcs.crpix = [21, 21]
    grid.wcs.cdelt = [-1.375 / 3600, 1.375 / 3600]
    grid.pixel_shape = 41, 41
    with hips.query_with_wcs("CDS/P/allWISE/W3", grid) as hdus:
        image, header = hdus[0].data, hdus[0].header
    assert "MAGZP" not in header
    assert image.shape == (41, 41)
    np.testing.assert_allclose(WCS(header).wcs_world2pix([[frame.ra.deg, frame.dec.deg]], 0), [[20, 20]])
    part = archive_server.pixels(TILE, "W3", 1450, 1550, 2450, 2550)
    rows, columns = np.indices(image.shape)
    x, y = wcs.world_to_pixel(grid.pixel_to_world(columns, rows))
    expected = map_coordinates(part, [y - 1450, x - 2450], order=1)
    np.testing.assert_allclose(image, expected, rtol=1e-5)
    assert image[20, 20] == pytest.approx(part[50, 50], rel=1e-5)


def test_hips2fits_by_words(archive_server, hips):
    with hips.query(
        "CDS/P/allWISE/W1",
        width=30,
        height=20,
        projection="TAN",
        ra=CENTRE[0] * u.deg,
        dec=CENTRE[1] * u.deg,
        fov=1 * u.arcmin,
    ) as hdus:
        assert hdus[0].data.shape == (20, 30)
        assert hdus[0].header["CDELT2"] == pytest.approx(1 / 60 / 30)
        assert WCS(hdus[0].header).wcs_world2pix([CENTRE], 0)[0] == pytest.approx([14.5, 9.5])


def test_hips2fits_refuses_an_unknown_survey(hips):
    with pytest.raises(AttributeError, match="Unknown HiPS"):
        hips.query("CDS/P/nothing", 9, 9, "TAN", 1 * u.deg, 1 * u.deg, 1 * u.arcmin)


def test_served_from_the_command_line():
    command = [sys.executable, "-m", "archive_server", "--faults", "1", "--slow-seconds", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(archive_server_package.__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            url = process.stdout.readline().split()[-1]
            assert requests.get(f"{url}/statistics", timeout=30).json()["n_requests"] == 0
        finally:
            process.terminate()
