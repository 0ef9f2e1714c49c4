import time

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile, best_tile_number, tile_grid

# Published names and centres: both polar rows, the equator, the ends of rows, names that end on a
# rounding edge. The first was read from the header of an image.
PUBLISHED = """
1210p015 121.008858   1.514444
0000m016   0.0       -1.514444
0000m076   0.0       -7.572222
3584p136 358.449489  13.63
3584p196 358.400705  19.687778
0044p484   4.5       48.462222
0044m485   4.5      -48.462222
0067p484   6.749999  48.462222
0089p484   8.999999  48.462222
0022p484   2.25      48.462222
3072m137 307.242419 -13.63
0600m894  60.092186 -89.352222
3004m894 300.460928 -89.352222
3004p893 300.460928  89.352222
0299p878  29.991072  87.837778
3299p878 329.901791  87.837778
0000p000   0.0        0.0
0015p000   1.512611   0.0
3584p000 358.488749   0.0
0000p893   0.0       89.352222
"""


def separation(table: Table, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    centres = SkyCoord(table["ra"], table["dec"], unit="deg")
    return centres.separation(SkyCoord(ra, dec, unit="deg")).deg


def random_sky(rng: np.random.Generator, n: int, lowest: float = -1, highest: float = 1) -> SkyCoord:
    dec = np.degrees(np.arcsin(rng.uniform(lowest, highest, n)))
    return SkyCoord(rng.uniform(0, 360, n), dec, unit="deg")


def best_by_wcs(position: SkyCoord, grid: Table) -> tuple[str, float, float]:
    """Best tile of all within 3 deg by astropy's WCS, its margin, and the margin of the second best."""
    near = grid[position.separation(SkyCoord(grid["ra"], grid["dec"])).deg < 3]
    margins = []
    for tile in near:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = "RA---SIN", "DEC--SIN"
        wcs.wcs.crval = tile["ra"], tile["dec"]
        wcs.wcs.crpix = 2048, 2048
        wcs.wcs.cdelt = -1.375 / 3600, 1.375 / 3600
        x, y = wcs.wcs_world2pix(position.ra.deg, position.dec.deg, 1)
        margins.append(min(x - 0.5, 4095.5 - x, y - 0.5, 4095.5 - y))
    order = np.argsort(margins)
    return near["coadd_id"][order[-1]], margins[order[-1]], margins[order[-2]]


def test_grid_has_all_tiles_once():
    grid = tile_grid()
    assert len(grid) == len(set(grid["coadd_id"])) == 18_240
    assert np.unique(grid["dec"].round(6)).size == 119
    assert abs(grid["dec"]).max() == pytest.approx(89.35222, abs=1e-5)


def test_grid_agrees_with_published_sample():
    sample = Table.read(PUBLISHED.strip().splitlines(), format="ascii.no_header", names=["id", "ra", "dec"])
    grid = tile_grid()
    grid.add_index("coadd_id")
    found = grid.loc[[f"{name}_ac51" for name in sample["id"]]]
    assert separation(found, sample["ra"], sample["dec"]).max() < 2e-6


def test_grid_agrees_with_all_published_tiles(shared_data):
    published = Table.read(shared_data / "allwise_tile_centres.fits.gz")
    published["coadd_id"] = np.char.add(published["coadd_id"].astype(str), "_ac51")
    published.sort("coadd_id")
    grid = tile_grid()
    grid.sort("coadd_id")
    assert np.array_equal(grid["coadd_id"], published["coadd_id"])
    assert separation(grid, published["ra"], published["dec"]).max() < 1.5e-6


def test_grid_can_be_changed_without_harm():
    tile_grid()["coadd_id"][:] = "spoilt"
    assert "spoilt" not in tile_grid()["coadd_id"]


@pytest.mark.parametrize(
    ("lowest", "highest"), [(-1, 1), (0.999, 1), (-1, -0.999), (0.99999, 1), (-0.03, 0.03)]
)
def test_best_tile_against_all_others_by_wcs(rng, lowest, highest):
    coords = random_sky(rng, 15, lowest, highest)
    grid = tile_grid()
    for position, coadd_id, margin in zip(coords, *best_tile(coords), strict=True):
        truth, best, second = best_by_wcs(position, grid)
        assert margin == pytest.approx(best, abs=1e-3)
        assert coadd_id == truth or best - second < 1e-3


def test_best_tile_beats_nearest_centre(rng):
    coords = random_sky(rng, 5_000)
    grid = tile_grid()
    nearest, *_ = coords.match_to_catalog_sky(SkyCoord(grid["ra"], grid["dec"]))
    coadd_id, margin = best_tile(coords)
    assert np.mean(coadd_id == grid["coadd_id"][nearest]) > 0.8
    assert np.mean(coadd_id == grid["coadd_id"][nearest]) < 0.999
    assert margin.min() > 20  # a whole cutout fits


def test_centres_serve_themselves():
    grid = tile_grid()
    coadd_id, margin = best_tile(SkyCoord(grid["ra"], grid["dec"]))
    assert np.array_equal(coadd_id, grid["coadd_id"])
    assert margin == pytest.approx(TILE_SIZE / 2, abs=0.1)


@pytest.mark.parametrize(
    ("ra", "row"), [(0.0, "0000"), (359.9999999, "0000"), (360.0, "0000"), (-0.2, "0000")]
)
def test_ra_wraps(ra, row):
    coadd_id, _ = best_tile(SkyCoord([ra], [1.5], unit="deg"))
    assert coadd_id[0] == f"{row}p015_ac51"


@pytest.mark.parametrize(("dec", "row"), [(90, "p893"), (-90, "m894")])
def test_poles_are_covered(dec, row):
    coadd_id, margin = best_tile(SkyCoord(np.arange(0, 360, 7.0), np.full(52, dec), unit="deg"))
    assert all(row in name for name in coadd_id)
    assert margin == pytest.approx(TILE_SIZE / 2 - (90 - 89.352222) * 3600 / 1.375, abs=1)


def test_other_frames_scalars_and_missing_positions():
    coords = SkyCoord([121.6, np.nan, 121.6], [1.04, 5.0, np.nan], unit="deg")
    coadd_id, margin = best_tile(coords)
    assert coadd_id.tolist() == ["1210p015_ac51", "", ""]
    assert np.isfinite(margin).tolist() == [True, False, False]
    assert best_tile(coords[0].galactic)[0].tolist() == ["1210p015_ac51"]
    assert len(best_tile(coords[:0])[0]) == 0


def test_best_tile_is_the_tile_of_real_stars(shared_data):
    stars = np.load(shared_data / "real_stars.npz")
    coadd_id, margin = best_tile(SkyCoord(stars["ra"], stars["dec"], unit="deg"))
    # In overlaps the archive may serve another tile.
    assert np.mean(coadd_id == stars["coadd_id"]) > 0.9
    assert margin.min() > 20


def test_best_tile_is_quick(rng):
    coords = random_sky(rng, 100_000)
    best_tile(coords[:10])
    start = time.process_time()
    best_tile(coords)
    assert time.process_time() - start < 0.5  # 0.05 s on one core


def test_centre_of_real_image(shared_data):
    header = fits.getheader(shared_data / "fields" / "field_a-w1-int-3.fits")
    grid = tile_grid()
    centre = grid[grid["coadd_id"] == header["COADDID"]]
    assert separation(centre, header["CRVAL1"], header["CRVAL2"]).max() < 1e-6


def test_numbers_are_rows_of_the_grid(rng):
    coords = random_sky(rng, 2000)
    coords = SkyCoord(np.append(coords.ra.deg, np.nan), np.append(coords.dec.deg, 0.0), unit="deg")
    number, margin = best_tile_number(coords)
    coadd_id, same_margin = best_tile(coords)
    assert number[-1] == -1
    assert coadd_id[-1] == ""
    np.testing.assert_array_equal(tile_grid()["coadd_id"][number[:-1]], coadd_id[:-1])
    np.testing.assert_array_equal(margin, same_margin)
