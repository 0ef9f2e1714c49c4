import gzip
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet.cutouts import CutoutSource, LocalFolder, open_images
from astro_iicnet.exceptions import FileSkippedWarning, ImagesError
from astro_iicnet.labels import Status

BANDS = ("W1", "W2", "W3")
MAGZP = {"W1": 20.5, "W2": 19.5, "W3": 18.0, "W4": 13.0}


def header_of(band: str, ra=121.008858, dec=1.514444, crpix=(1682.0, 1384.0), **cards) -> fits.Header:
    """As IRSA writes it: no RADESYS."""
    header = fits.Header()
    header["BUNIT"] = "DN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["EQUINOX"] = 2000.0
    header["CTYPE1"], header["CTYPE2"] = "RA---SIN", "DEC--SIN"
    header["CRPIX1"], header["CRPIX2"] = crpix
    header["CDELT1"], header["CDELT2"] = -1.375 / 3600, 1.375 / 3600
    header["CROTA2"] = 0.0
    header["FILETYPE"] = "intensity image"
    header["BAND"] = int(band[1])
    header["COADDID"] = "1210p015_ac51"
    header["MAGZP"] = MAGZP[band]
    for key, value in cards.items():
        header[key] = value
    return header


def write(path: Path, band: str, image: np.ndarray, **options) -> Path:
    header = header_of(band, **options)
    fits.writeto(path, image.astype(np.float32), header)
    return path


def sky(x, y, **options) -> SkyCoord:
    """ICRS positions of pixels of the header."""
    wcs = WCS(header_of("W1", **options))
    return SkyCoord(*wcs.wcs_pix2world(x, y, 0), unit="deg", frame="fk5").icrs


@pytest.fixture
def images(rng) -> dict[str, np.ndarray]:
    return {band: rng.normal(10, 1, (200, 150)) for band in MAGZP}


@pytest.fixture
def folder(tmp_path, images) -> Path:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    for band in BANDS:
        write(tmp_path / "deep" / "down" / f"whatever{band}.FITS", band, images[band])
    return tmp_path


def test_cuts_what_astropy_cuts(folder, images, rng):
    coords = sky(rng.uniform(-0.4, 149.4, 60), rng.uniform(-0.4, 199.4, 60))
    cutouts = LocalFolder(folder).fetch(coords, BANDS)
    assert set(cutouts.tile) == {"1210p015_ac51"}
    assert cutouts.magzp.tolist() == [20.5, 19.5, 18.0]
    assert cutouts.pixels.dtype == np.dtype("=f4")
    wcs = WCS(header_of("W1"))
    for row, position in enumerate(coords):
        x, y = skycoord_to_pixel(position, wcs, mode="wcs")
        assert cutouts.offset[row] == pytest.approx([x - np.rint(x), y - np.rint(y)], abs=2e-5)
        for number, band in enumerate(BANDS):
            expected = Cutout2D(images[band], (np.rint(x), np.rint(y)), 41, mode="partial", fill_value=np.nan)
            assert np.array_equal(cutouts.pixels[row, number], expected.data.astype("f4"), equal_nan=True)
    assert abs(cutouts.offset).max() <= 0.5
    assert abs(cutouts.offset).max() > 0.4


def test_is_a_source(folder):
    source = LocalFolder(str(folder))
    assert (source.name, source.survey) == ("local", "allwise-atlas")
    assert "3 images of 1 tiles" in repr(source)
    typed: CutoutSource = source
    assert open_images(typed) is source


def test_rows_without_pixels(folder):
    x, y = np.array([75, 75, -30, 75, 1]), np.array([100, 100, 100, 100, 100])
    coords = sky(x, y)
    coords = SkyCoord(np.where([0, 1, 0, 0, 0], np.nan, coords.ra.deg), coords.dec.deg, unit="deg")
    away = SkyCoord([301.0, 0.0, 0.0], [-1.5, 90.0, -90.0], unit="deg")
    everything = SkyCoord([*coords.ra.deg, *away.ra.deg], [*coords.dec.deg, *away.dec.deg], unit="deg")
    cutouts = LocalFolder(folder).fetch(everything, BANDS)
    labels = [Status(code).label for code in cutouts.status]
    assert labels[:4] == ["ok", "bad_coordinates", "no_coverage", "ok"]
    assert labels[4] == "bad_pixels"  # a third of the central 8 arcsec lies outside
    assert labels[5:] == ["no_coverage"] * 3
    assert np.isnan(cutouts.pixels[[1, 2, 5, 6, 7]]).all()
    assert np.array_equal(cutouts.pixels[0], cutouts.pixels[3])
    assert cutouts.tile[1:3].tolist() == ["", ""]


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows(folder, n):
    assert len(LocalFolder(folder).fetch(sky([75.0], [100.0])[:n], BANDS)) == n


def test_frames(folder):
    coords = sky([75.3, 20.2], [100.1, 30.4])
    source = LocalFolder(folder)
    reference = source.fetch(coords, BANDS)
    for frame in ("galactic", "fk5"):
        other = source.fetch(coords.transform_to(frame), BANDS)
        assert np.array_equal(other.pixels, reference.pixels, equal_nan=True)
        assert other.offset == pytest.approx(reference.offset, abs=1e-4)


def test_band_that_is_not_there(folder):
    cutouts = LocalFolder(folder).fetch(sky([75.0], [100.0]), ("W1", "W4"))
    assert cutouts.status.tolist() == [Status.NO_COVERAGE]
    assert np.isfinite(cutouts.pixels[0, 0]).all()
    assert np.isnan(cutouts.pixels[0, 1]).all()
    with pytest.raises(ImagesError, match="W5"):
        LocalFolder(folder).fetch(sky([75.0], [100.0]), ("W1", "W5"))


def test_missing_pixels(tmp_path, images):
    for band in BANDS:
        images[band][150, 50] = np.nan
        if band == "W2":
            images[band][100, 74:77] = np.nan
        write(tmp_path / f"{band}.fits", band, images[band])
    cutouts = LocalFolder(tmp_path).fetch(sky([75.0, 50.0], [100.0, 150.0]), BANDS)
    assert cutouts.status.tolist() == [Status.BAD_PIXELS, Status.OK]


@pytest.mark.parametrize("kind", ["gz", "extensions", "rice", "scaled", "double", "names"])
def test_kinds_of_files(tmp_path, images, kind):
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.mkdir()
    other.mkdir()
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header["COADDID"] = "1210p015_ac51"
    for band in BANDS:
        image = images[band].astype(np.float32)
        write(plain / f"{band}.fits", band, image)
        if kind == "gz":
            fits.writeto(other / f"{band}.fits.gz", image, header_of(band))
        elif kind == "extensions":
            hdus.append(fits.ImageHDU(image, header_of(band), name=band))
            del hdus[-1].header["COADDID"]
            hdus.append(fits.ImageHDU(image, header_of(band), name=f"{band}-unc"))
        elif kind == "rice":
            hdu = fits.CompImageHDU(image, header_of(band), compression_type="GZIP_2", quantize_level=0)
            hdu.writeto(other / f"{band}.fits.fz")
        elif kind == "scaled":
            hdu = fits.PrimaryHDU(image, header_of(band))
            hdu.scale("int32", bscale=1e-8, bzero=10.0)
            hdu.writeto(other / f"{band}.fits")
        elif kind == "double":
            fits.writeto(other / f"{band}.fits", image.astype(float), header_of(band))
        elif kind == "names":
            shutil.copy(plain / f"{band}.fits", other / f"uncertain cover {band}.fit")
    if kind == "extensions":
        hdus.writeto(other / "all.fits")
    coords = sky([75.0, 5.2], [100.4, 12.0])
    expected = LocalFolder(plain).fetch(coords, BANDS)
    found = LocalFolder(other).fetch(coords, BANDS)
    assert found.status.tolist() == expected.status.tolist() == [0, 0]
    np.testing.assert_allclose(found.pixels, expected.pixels, rtol=1e-6)


def test_uncompressed_files_are_mapped(folder, monkeypatch):
    source = LocalFolder(folder)
    monkeypatch.setattr(fits, "open", None)
    assert source.fetch(sky([75.0], [100.0]), BANDS).status.tolist() == [0]


def test_bands_cut_differently_share_the_middle(tmp_path, images):
    # The same coadd pixels, cut with other limits band by band, and a target near a pixel border.
    for shift, band in enumerate(BANDS):
        crpix = (1682.0 - 3 * shift, 1384.0 + shift)
        cut = np.pad(images[band], ((shift, 0), (0, 0)))[:, 3 * shift :]
        write(tmp_path / f"{band}.fits", band, cut, crpix=crpix)
    coords = sky([75.5, 75.5 - 1e-9, 60.2], [100.5, 100.5 + 1e-9, 90.3])
    cutouts = LocalFolder(tmp_path).fetch(coords, BANDS)
    assert cutouts.status.tolist() == [0, 0, 0]
    x, y = skycoord_to_pixel(coords, WCS(header_of("W1")), mode="wcs")
    for row in range(3):
        i, j = np.rint([x[row], y[row]] - cutouts.offset[row]).astype(int)
        for number, band in enumerate(BANDS):
            assert np.array_equal(
                cutouts.pixels[row, number], images[band].astype("f4")[j - 20 : j + 21, i - 20 : i + 21]
            )


def test_bands_on_different_grids_are_refused(tmp_path, images):
    for band in BANDS:
        write(tmp_path / f"{band}.fits", band, images[band], crpix=(1682.0 + 0.3 * (band == "W2"), 1384.0))
    source = LocalFolder(tmp_path)
    with pytest.warns(FileSkippedWarning, match="W2.fits.*not on the pixel grid"):
        cutouts = source.fetch(sky([75.0], [100.0]), BANDS)
    assert cutouts.status.tolist() == [Status.RETRIEVAL_FAILED]


def test_zero_point_is_brought_to_that_of_the_band(tmp_path, images):
    for band in BANDS:
        off = 2.5 * np.log10(2) * (band == "W1")
        write(tmp_path / f"{band}.fits", band, images[band], MAGZP=MAGZP[band] + off)
    cutouts = LocalFolder(tmp_path).fetch(sky([75.0], [100.0]), BANDS)
    assert cutouts.magzp.tolist() == [20.5, 19.5, 18.0]
    np.testing.assert_allclose(cutouts.pixels[0, 0], images["W1"][80:121, 55:96] / 2, rtol=1e-5)
    np.testing.assert_allclose(cutouts.pixels[0, 1], images["W2"][80:121, 55:96], rtol=1e-6)


def test_largest_margin_and_one_tile_for_all_bands(tmp_path, rng):
    # Neighbouring tiles that overlap; the second has no W3.
    east = {"crpix": (1682.0, 1384.0)}
    west = {"crpix": (1682.0, 1384.0), "ra": 121.008858 - 80 * 1.375 / 3600, "COADDID": "1209p015_ac51"}
    for band in BANDS:
        write(tmp_path / f"a{band}.fits", band, np.full((200, 150), 1.0), **east)
        if band != "W3":
            write(tmp_path / f"b{band}.fits", band, np.full((200, 150), 2.0), **west)
    coords = sky([60.0, 140.0, 200.0], [100.0, 100.0, 100.0])
    source = LocalFolder(tmp_path)
    two = source.fetch(coords, ("W1", "W2"))
    assert two.tile.tolist() == ["1210p015_ac51", "1209p015_ac51", "1209p015_ac51"]
    assert two.pixels[:, :, 20, 20].tolist() == [[1, 1], [2, 2], [2, 2]]
    three = source.fetch(coords, BANDS)
    assert three.tile.tolist() == ["1210p015_ac51", "1210p015_ac51", "1209p015_ac51"]
    assert [Status(code).label for code in three.status] == ["ok", "ok", "no_coverage"]
    assert three.pixels[:2, :, 20, 20].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_many_small_images_of_one_tile(tmp_path, images):
    x, y = np.array([40.3, 60.0, 70.2]), np.array([50.0, 60.4, 150.1])
    for number, (i, j) in enumerate(zip(x.astype(int), y.astype(int), strict=True)):
        for band in BANDS:
            cut = images[band][j - 22 : j + 23, i - 22 : i + 23]
            crpix = (1682.0 - i + 22, 1384.0 - j + 22)
            write(tmp_path / f"{number}-{band}.fits", band, cut, crpix=crpix)
    cutouts = LocalFolder(tmp_path).fetch(sky(x, y), BANDS)
    for row, (i, j) in enumerate(zip(x.astype(int), y.astype(int), strict=True)):
        assert np.array_equal(
            cutouts.pixels[row, 2], images["W3"].astype("f4")[j - 20 : j + 21, i - 20 : i + 21]
        )


def test_damaged_and_foreign_files_are_named(folder):
    good = next(folder.rglob("*W1.FITS"))
    (folder / "empty.fits").touch()
    (folder / "page.fits").write_text("<html>503 Service Unavailable</html>")
    (folder / "torn.fits.gz").write_bytes(gzip.compress(good.read_bytes())[:500])
    shutil.copy(good, folder / "plain.fits.gz")
    (folder / "notes.txt").write_text("not looked at")
    (folder / ".hidden.fits").write_text("not looked at")
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(folder / "table.fits")
    image = np.ones((50, 50))
    write(folder / "band.fits", "W1", image, BAND=7)
    write(folder / "tile.fits", "W1", image, COADDID="")
    write(folder / "magzp.fits", "W1", image, MAGZP="unknown")
    write(folder / "scale.fits", "W1", image, CDELT1=-2.75 / 3600, CDELT2=2.75 / 3600)
    write(folder / "plane.fits", "W1", image, CTYPE1="X", CTYPE2="Y")
    fits.writeto(folder / "cube.fits", np.ones((2, 50, 50), "f4"), header_of("W1"))
    expected = {
        "empty": "not readable", "page": "not readable", "table": "no image",
        "band": "BAND is 7", "tile": "no COADDID", "magzp": "MAGZP is 'unknown'", "scale": "2.75 arcsec",
        "plane": "no celestial", "torn": "not readable", "cube": "3 dimensions",
    }  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = LocalFolder(folder)
    messages = [str(warning.message) for warning in caught]
    assert all(issubclass(warning.category, FileSkippedWarning) for warning in caught)
    for name, reason in expected.items():
        assert any(f"{name}.fits" in message and reason in message for message in messages), name
    assert not any("notes.txt" in message or "hidden" in message for message in messages)
    assert source.fetch(sky([75.0], [100.0]), BANDS).status.tolist() == [0]


def test_uncertainty_and_coverage_are_not_intensity(folder):
    image = np.full((200, 150), 1e6)
    write(folder / "1210p015_ac51-w1-unc-3.fits", "W1", image)
    write(folder / "1210p015_ac51-w1-cov-3.fits", "W1", image)
    write(folder / "a.fits", "W1", image, FILETYPE="uncertainty image")
    write(folder / "b.fits", "W1", image, FILETYPE="depth-of-coverage map")
    header = header_of("W1")
    header["-"] = "1210p015_ac51-w1-unc-3.fits"
    fits.writeto(folder / "c.fits", image.astype("f4"), header)
    source = LocalFolder(folder)
    assert "3 images" in repr(source)
    assert source.fetch(sky([75.0], [100.0]), BANDS).pixels.max() < 100


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_pixels(folder, images, packed):
    coords = sky([75.0, 20.0], [100.0, 30.0])
    whole = folder / "deep" / "down" / "whateverW2.FITS"
    data = whole.read_bytes()
    whole.unlink()
    broken = folder / ("W2.fits.gz" if packed else "W2.fits")
    broken.write_bytes(gzip.compress(data) if packed else data)
    source = LocalFolder(folder)
    broken.write_bytes(broken.read_bytes()[:-40_000])
    for _ in range(2):  # a file cut short is found by its header, and keeps its place among the files
        with pytest.warns(FileSkippedWarning, match="W2.fits.*not readable"):
            cutouts = source.fetch(coords, BANDS)
        assert cutouts.status.tolist() == [Status.RETRIEVAL_FAILED] * 2
        if not packed:
            source = LocalFolder(folder)
    # Another image of the same place comes to the rescue of the row that it holds.
    write(folder / "part.fits", "W2", images["W2"][50:150, 20:130], crpix=(1662.0, 1334.0))
    broken.write_bytes(gzip.compress(data) if packed else data)
    source = LocalFolder(folder)
    broken.write_bytes(broken.read_bytes()[:-40_000])
    with pytest.warns(FileSkippedWarning, match="W2.fits"):
        cutouts = source.fetch(coords, BANDS)
    assert cutouts.status.tolist() == [Status.OK, Status.RETRIEVAL_FAILED]
    assert np.array_equal(cutouts.pixels[0, 1], images["W2"].astype("f4")[80:121, 55:96])
    assert np.isfinite(cutouts.pixels[0]).all()


def test_damaged_compressed_image(tmp_path, folder, images):
    """A decoder's own error is a status as well, not the end of the batch."""
    (plain,) = folder.rglob("*W2.FITS")
    with fits.open(plain) as hdus:
        tile = fits.CompImageHDU(hdus[0].data.astype("f4"), hdus[0].header, compression_type="RICE_1")
        tile.writeto(folder / "W2.fits.fz")
    plain.unlink()
    source = LocalFolder(folder)
    content = bytearray((folder / "W2.fits.fz").read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    (folder / "W2.fits.fz").write_bytes(content)
    with pytest.warns(FileSkippedWarning, match="W2.fits.fz.*not readable"):
        assert source.fetch(sky([75.0], [100.0]), BANDS).status.tolist() == [Status.RETRIEVAL_FAILED]


@pytest.mark.parametrize("empty", ["", " "])
def test_no_name_is_not_this_folder(empty):
    with pytest.raises(ImagesError, match="images is empty"):
        open_images(empty)


def test_file_that_disappears(folder):
    source = LocalFolder(folder)
    next(folder.rglob("*W3.FITS")).unlink()
    with pytest.warns(FileSkippedWarning, match="W3.FITS"):
        assert source.fetch(sky([75.0], [100.0]), BANDS).status.tolist() == [Status.RETRIEVAL_FAILED]


def test_nothing_to_use(tmp_path):
    with pytest.raises(ImagesError, match="not a folder"):
        LocalFolder(tmp_path / "missing")
    with pytest.raises(ImagesError, match="0 FITS files.*Expected intensity images"):
        LocalFolder(tmp_path)
    write(tmp_path / "x-unc-3.fits", "W1", np.ones((50, 50)))
    with pytest.raises(ImagesError, match="1 FITS files"):
        LocalFolder(tmp_path)
    with pytest.raises(ImagesError, match="not a folder"):
        LocalFolder(tmp_path / "x-unc-3.fits")


def test_ra_wrap_and_pole(tmp_path, images):
    for band in BANDS:
        write(tmp_path / f"w{band}.fits", band, images[band], ra=0.0, crpix=(75.0, 100.0))
        write(
            tmp_path / f"p{band}.fits",
            band,
            images[band],
            dec=89.97,
            crpix=(75.0, 20.0),
            COADDID="0000p893_ac51",
        )
    coords = SkyCoord([359.99, 0.01, 123.0, 0.0], [1.514444, 1.514444, 89.9999, 90.0], unit="deg")
    cutouts = LocalFolder(tmp_path).fetch(coords, BANDS)
    assert cutouts.status.tolist() == [0, 0, 0, 0]
    assert cutouts.tile.tolist() == ["1210p015_ac51"] * 2 + ["0000p893_ac51"] * 2


def test_real_finder_chart_images(shared_data):
    stars = np.load(shared_data / "real_stars.npz")
    source = LocalFolder(shared_data / "finder_chart_fits")
    coords = SkyCoord(stars["ra"], stars["dec"], unit="deg")
    cutouts = source.fetch(coords, ("W1", "W2", "W3", "W4"))
    served = np.flatnonzero(cutouts.status == Status.OK)
    assert served.tolist() == [1215, 1216, 1217, 1218, 1219]  # five of the ten are in the list
    assert set(cutouts.status) == {Status.OK, Status.NO_COVERAGE}
    for row in served:
        assert cutouts.tile[row] == stars["coadd_id"][row]
        x, y = stars["target_x"][row], stars["target_y"][row]
        # The list takes ICRS positions for FK5: 0.017 px.
        i, j = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        assert cutouts.offset[row] == pytest.approx([x - i, y - j], abs=0.02)
        mine, theirs = cutouts.pixels[row, 0, 5:36, 5:36], stars["images"][row, 0]
        assert np.array_equal(mine, theirs[j - 15 : j + 16, i - 15 : i + 16])


def test_real_field(shared_data):
    source = LocalFolder(shared_data / "fields")
    # The middle of the image, where the galaxy is.
    cutouts = source.fetch(SkyCoord([121.60136], [1.03578], unit="deg"), ("W1", "W2", "W3", "W4"))
    assert cutouts.status.tolist() == [Status.OK]
    assert cutouts.tile.tolist() == ["1210p015_ac51"]
    for image in cutouts.pixels[0, :3]:
        peak = np.unravel_index(np.argmax(image), (41, 41))
        assert np.hypot(*(np.array(peak) - 20)) < 4


def test_open_images(folder):
    assert open_images("simulated").name == "simulated"
    assert open_images(folder).path == open_images(str(folder)).path == folder
    with pytest.raises(ImagesError, match="Did you mean 'simulated'"):
        open_images("simulatd")
    with pytest.raises(ImagesError, match="not a folder"):
        open_images(str(folder / "nowhere"))
    with pytest.raises(ImagesError, match="int, not an image source"):
        open_images(3)
