import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet.allwise.tiles import best_tile, tile_grid
from astro_iicnet.cutouts.header import Grid, Sky, approximate_grid, header_length, read_header
from astro_iicnet.cutouts.transport import BrokenBodyError

TILE = "1210p015_ac51"


def header_of(**changes) -> fits.Header:
    header = fits.Header(
        {
            "SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 45, "NAXIS2": 44,
            "CRVAL1": 121.008858, "CRVAL2": 1.514444, "EQUINOX": 2000.0,
            "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 799.0, "CRPIX2": -1165.0,
            "CDELT1": -0.0003819444391411, "CDELT2": 0.0003819444391411, "CROTA2": 0.0,
            "BAND": 1, "COADDID": TILE, "MAGZP": 20.5, "CHECKSUM": "abc",
        }
    )  # fmt: skip
    for key, value in changes.items():
        if value is None:
            del header[key]
        else:
            header[key] = value
    return header


def read(band="W1", **changes):
    return read_header(header_of(**changes).tostring(), TILE, band)


def test_part_of_a_tile():
    header = read()
    assert (header.shape, header.corner) == ((44, 45), (1249, 3213))
    assert (header.band, header.magzp, header.scale) == ("W1", 20.5, 1)
    assert not header.is_whole
    assert header.data_start == 2880
    assert header.grid == Grid(121.008858, 1.514444, 2048, 2048, -0.0003819444391411, 0.0003819444391411)


def test_header_of_the_whole_tile():
    whole = read().of_whole_tile()
    assert whole.is_whole
    assert whole.data_start is None
    again = read_header(whole.text, TILE, "W1")
    assert again.of_whole_tile() is again
    assert again.grid == read().grid
    cards = again.to_fits()
    assert (cards["NAXIS1"], cards["NAXIS2"], cards["CRPIX1"], cards["CRPIX2"]) == (4095, 4095, 2048, 2048)
    assert (cards["CRVAL1"], cards["MAGZP"], cards["COADDID"]) == (121.008858, 20.5, TILE)
    assert "CHECKSUM" not in cards


def test_other_zero_point():
    header = read(MAGZP=20.5 + 2.5)
    assert header.scale == pytest.approx(0.1)
    assert header.to_fits()["MAGZP"] == 20.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"COADDID": "1210p000_ac51"}, "tile 1210p000_ac51 in W1 instead of 1210p015_ac51"),
        ({"COADDID": None}, "without COADDID"),
        ({"BAND": 2}, "in W2 instead of 1210p015_ac51 in W1"),
        ({"BAND": "none"}, "number for BAND"),
        ({"BITPIX": 16}, "32 bit"),
        ({"NAXIS1": 4096}, "4096 x 44 px"),
        ({"NAXIS2": 0}, "45 x 0 px"),
        ({"MAGZP": None}, "number for MAGZP"),
        ({"CTYPE1": "RA---TAN"}, "WCS"),
        ({"CROTA2": 0.1}, "WCS"),
        ({"CD1_1": -0.00038}, "WCS"),
        ({"PV2_1": 0.1}, "WCS"),
        ({"CUNIT1": "arcsec"}, "WCS"),
        ({"BSCALE": 2.0}, "WCS"),
        ({"CDELT1": 0.0003819444391411}, "pixels of"),
        ({"CDELT2": 0.000764}, "pixels of 2.75 arcsec"),
        ({"CRPIX1": 799.5}, "CRPIX"),
        ({"RADESYS": "NOWHERE"}, "system"),
        ({"RADESYS": "FK4"}, "system"),
        ({"EQUINOX": 1950.0}, "system"),
        ({"EQUINOX": 1e300}, "system"),
        ({"CRVAL1": 301.008858}, "CRVAL"),
        ({"CRVAL1": 121.0094}, "CRVAL"),
        ({"CRVAL2": 1e300}, "CRVAL"),
        ({"MAGZP": 0.0}, "MAGZP"),
        ({"MAGZP": -1e300}, "MAGZP"),
    ],
)
def test_not_what_was_asked_for(changes, message):
    with pytest.raises(BrokenBodyError, match=message):
        read(**changes)


@pytest.mark.parametrize("key", ["CRVAL1", "CRVAL2", "CRPIX1", "CDELT2", "MAGZP", "NAXIS1"])
@pytest.mark.parametrize("value", ["NaN", "Inf", "", "1.2.3"])
def test_numbers_that_are_none(key, value):
    text = header_of().tostring()
    start = text.index(f"{key:8}=")
    card = f"{key:8}= {value:>20}".ljust(80)
    with pytest.raises(BrokenBodyError, match=key):
        read_header(text[:start] + card + text[start + 80 :], TILE, "W1")


def test_harmless_cards():
    plain = read()
    same = read(WCSAXES=2, LONPOLE=180.0, PC1_1=1.0, PC1_2=0.0, CUNIT1="deg", CUNIT2="deg", BZERO=0.0)
    assert same.grid == plain.grid


def test_header_length():
    body = header_of().tostring().encode()
    assert header_length(body + b"\x00" * 100) == 2880
    assert header_length(body[:2000]) is None
    for page, message in [(b"\n<html></html>", "web page"), (b"", "FITS"), (b"\x1f\x8b", "FITS")]:
        with pytest.raises(BrokenBodyError, match=message):
            header_length(page)
    with pytest.raises(BrokenBodyError, match="text"):
        header_length(body[:200] + b"\xff" + body[201:])


@pytest.mark.parametrize("radesys", ["", "FK5", "ICRS"])
def test_projection_is_that_of_astropy(radesys, rng):
    """Positions all over the sky, the poles and the meridian of RA 0 included, each in its own tile."""
    ra = np.concatenate([rng.uniform(0, 360, 60), [0, 359.99999, 0.00001, 17, 200, 359.9]])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 60))), [0, 30, -60, 90, -90, 89.99]])
    coords = SkyCoord(ra, dec, unit="deg")
    tiles, _ = best_tile(coords)
    cards = {"RADESYS": radesys} if radesys else {}
    grids, expected = [], []
    for tile, position in zip(tiles, coords, strict=True):
        centre = approximate_grid(tile)
        header = header_of(COADDID=str(tile), CRVAL1=centre.crval1, CRVAL2=centre.crval2, **cards)
        grids.append(read_header(header.tostring(), tile, "W1").grid)
        expected.append(skycoord_to_pixel(position, WCS(header), mode="wcs"))
    pixels = Sky(coords).pixels(np.arange(len(coords)), grids, np.arange(len(coords)))
    assert np.abs(pixels - np.array(expected) - [1249, 3213]).max() < 1e-9


def test_frames_may_differ_from_tile_to_tile():
    coords = SkyCoord([121.0, 121.0], [1.5, 1.5], unit="deg")
    fk5, icrs = read().grid, read(RADESYS="ICRS").grid
    mixed = Sky(coords).pixels(np.array([0, 1]), [fk5, icrs], np.array([0, 1]))
    for row, grid in enumerate((fk5, icrs)):
        alone = Sky(coords).pixels(np.array([row]), [grid], np.array([0]))
        assert np.array_equal(mixed[row], alone[0])
    assert 0.001 < np.abs(mixed[0] - mixed[1]).max() < 0.1


def test_approximate_grid():
    table = tile_grid()[9000]
    centre = SkyCoord(table["ra"], table["dec"], unit="deg", frame=FK5)
    pixels = Sky(centre.reshape(1)).pixels(
        np.array([0]), [approximate_grid(table["coadd_id"])], np.array([0])
    )
    assert pixels[0] == pytest.approx([2047, 2047], abs=1e-8)


def test_real_headers(shared_data):
    files = sorted((shared_data / "finder_chart_fits").glob("*/w?.fits"))
    assert files
    for path in files:
        cards = fits.getheader(path)
        header = read_header(cards.tostring(), cards["COADDID"], f"W{cards['BAND']}")
        assert header.scale == 1
        x, y = header.corner
        assert (x, y) == (2048 - cards["CRPIX1"], 2048 - cards["CRPIX2"])
        found, known = header.grid, approximate_grid(cards["COADDID"])
        assert np.abs(np.subtract(found[:2], known[:2])).max() < 1.5e-6
