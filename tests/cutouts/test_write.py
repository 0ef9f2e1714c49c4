import numpy as np
import pytest
from archive_server import Fault
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet.cutouts import LocalFolder, open_images
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.cutouts.write import INDEX_FILE, write_cutouts
from astro_iicnet.exceptions import ImagesError, RetrievalWarning
from astro_iicnet.labels import Status
from astro_iicnet.simulation.field import example_sources, simulated_field

BANDS = ("W1", "W2", "W3")


@pytest.fixture(scope="module")
def coords():
    """The example list: the last three rows lie outside the field; then a missing position, and the edge."""
    table = example_sources()
    field = simulated_field()
    edge = field.wcs.wcs_pix2world([[5.2, 300.4], [1.0, 400.0]], 0)
    ra = [*table["ra"], np.nan, *edge[:, 0]]
    dec = [*table["dec"], np.nan, *edge[:, 1]]
    return SkyCoord(ra, dec, unit="deg")


@pytest.fixture(scope="module")
def written(coords, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutouts") / "new"
    return folder, write_cutouts(coords, folder, images="simulated", progress=False)


def same(a, b):
    assert np.array_equal(a.pixels, b.pixels, equal_nan=True)
    assert a.offset == pytest.approx(b.offset, abs=1e-6)
    assert a.tile.tolist() == b.tile.tolist()
    assert a.magzp.tolist() == b.magzp.tolist()


def test_reads_back_the_same(written, coords):
    folder, _ = written
    before, after = (open_images(images).fetch(coords, BANDS) for images in ("simulated", folder))
    same(before, after)
    assert before.status.tolist() == after.status.tolist()
    assert Status.BAD_PIXELS in after.status


def test_index(written, coords):
    folder, index = written
    assert index.colnames == ["row", "file", "ra", "dec", "status", "tile", "images"]
    assert index["row"].tolist() == list(range(len(coords)))
    assert index["status"][[0, 60, 63, 64, 65]].tolist() == [
        "ok", "no_coverage", "bad_coordinates", "ok", "bad_pixels",
    ]  # fmt: skip
    has_file = np.isin(index["status"], ["ok", "bad_pixels"])
    assert ((index["file"] != "") == has_file).all()
    assert set(index["tile"][has_file]) == set(index["images"][has_file]) == {"simulated"}
    assert sorted(path.name for path in folder.iterdir()) == [*index["file"][has_file], INDEX_FILE]
    again = Table.read(folder / INDEX_FILE)
    assert np.ma.filled(again["file"], "").tolist() == index["file"].tolist()
    assert again["ra"].unit == "deg"
    assert again.meta["images"] == "simulated"


def test_astropy_reads_the_files(written, coords):
    folder, index = written
    field = simulated_field()
    for row in (0, 30, 64):
        with fits.open(folder / index["file"][row]) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", *BANDS]
            assert hdus[0].header["ROW"] == row
            assert hdus[0].header["RA"] == coords[row].ra.deg
            x, y = skycoord_to_pixel(coords[row], WCS(hdus["W2"].header))
            assert (x, y) == (pytest.approx(20, abs=0.5), pytest.approx(20, abs=0.5))
            position = skycoord_to_pixel(coords[row], field.wcs)
            expected = Cutout2D(field.images[1], np.rint(position), 41, mode="partial", fill_value=np.nan)
            assert np.array_equal(hdus["W2"].data, expected.data, equal_nan=True)


def test_same_probabilities(written, coords):
    from astro_iicnet.classifier import IICnetClassifier

    folder, _ = written
    classifier = IICnetClassifier()
    rows = [0, 1, 2, 30, 60, 64]
    before, after = (
        classifier.classify(coords[rows], images=images, progress=False) for images in ("simulated", folder)
    )
    for name in before.colnames:
        assert np.ma.allequal(before[name], after[name]) if name.startswith("iicnet") else True
    assert (before["iicnet_status"] == "ok").sum() == 5


def tile_header(band, ra=121.008858, magzp=None, **cards):
    zero_point = {"W1": 20.5, "W2": 19.5, "W3": 18.0}[band]
    header = fits.Header()
    header.update(
        CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CRVAL1=ra, CRVAL2=1.514444, EQUINOX=2000.0,
        CRPIX1=2048.0, CRPIX2=2048.0, CDELT1=-1.375 / 3600, CDELT2=1.375 / 3600, CROTA2=0.0,
        BAND=int(band[1]), COADDID="1210p015_ac51", MAGZP=magzp or zero_point, BUNIT="DN",
    )  # fmt: skip
    header["MEDINT"] = (2.7, "what the tile says")
    header.update(cards)
    return header


@pytest.fixture
def tile(tmp_path, rng):
    """A folder with part of a tile in three bands, W2 with a zero point of its own."""
    folder = tmp_path / "tile"
    folder.mkdir()
    for band in BANDS:
        header = tile_header(band, CRPIX1=1682.0, CRPIX2=1384.0, **({"MAGZP": 19.75} if band == "W2" else {}))
        fits.writeto(folder / f"{band}.fits", rng.normal(9, 1, (200, 150)).astype("f4"), header)
    return folder


@pytest.fixture
def positions(rng):
    wcs = WCS(tile_header("W1", CRPIX1=1682.0, CRPIX2=1384.0))
    x, y = rng.uniform(-0.4, 149.4, 40), rng.uniform(-0.4, 199.4, 40)
    return SkyCoord(*wcs.wcs_pix2world(x, y, 0), unit="deg", frame="fk5")


def test_folder_to_folder(tile, positions, tmp_path):
    index = write_cutouts(positions, tmp_path / "new", images=tile, progress=False)
    before, after = (LocalFolder(images).fetch(positions, BANDS) for images in (tile, tmp_path / "new"))
    same(before, after)
    assert before.status.tolist() == after.status.tolist()
    header = fits.getheader(tmp_path / "new" / index["file"][0], "W2")
    assert header["MEDINT"] == 2.7
    assert header.comments["MEDINT"] == "what the tile says"
    assert header["MAGZP"] == 19.5
    assert "RADESYS" not in header


def test_sources_in_turn(tile, positions, tmp_path):
    class Both:
        """As a fallback would serve: every other row comes from the simulated sky."""

        name, survey = "local, simulated", "allwise-atlas"
        sources = (LocalFolder(tile), SimulatedSky())

        def fetch(self, coords, bands):
            inside = coords.icrs.ra.deg < 140
            first, second = (source.fetch(coords, bands) for source in self.sources)
            first.pixels[~inside], first.offset[~inside] = second.pixels[~inside], second.offset[~inside]
            first.status[~inside] = second.status[~inside]
            tile = np.where(inside, first.tile, second.tile)
            object.__setattr__(first, "tile", tile)
            object.__setattr__(first, "served_by", np.where(inside, "local", "simulated"))
            return first

    example = example_sources()[:3]
    both = SkyCoord(
        [*positions.icrs.ra[:3], *example["ra"]], [*positions.icrs.dec[:3], *example["dec"]], unit="deg"
    )
    index = write_cutouts(both, tmp_path / "new", images=Both(), progress=False)
    assert index["images"].tolist() == ["local"] * 3 + ["simulated"] * 3
    same(Both().fetch(both, BANDS), LocalFolder(tmp_path / "new").fetch(both, BANDS))


def test_an_index_is_that_of_the_files_or_missing(coords, tmp_path):
    class Broken(SimulatedSky):
        def fetch(self, *args, **keys):
            raise ImagesError("gone")

    write_cutouts(coords[:2], tmp_path / "a", images="simulated", progress=False)
    with pytest.raises(ImagesError, match="gone"):
        write_cutouts(coords[:2], tmp_path / "a", images=Broken(), progress=False, overwrite=True)
    assert not (tmp_path / "a" / INDEX_FILE).exists()


def test_overwrite(coords, tmp_path):
    few = coords[[0, 1, 60]]
    write_cutouts(few, tmp_path, images="simulated", progress=False)
    with pytest.raises(ImagesError, match="holds 2 cutouts already.*--overwrite"):
        write_cutouts(few, tmp_path, images="simulated", progress=False)
    (tmp_path / ".000000.fits.part").write_bytes(b"of a run that was killed")
    index = write_cutouts(coords[[60, 2, 3]], tmp_path, images="simulated", progress=False, overwrite=True)
    assert index["file"].tolist() == ["", "000001.fits", "000002.fits"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.fits", "000002.fits", INDEX_FILE]
    with pytest.raises(ImagesError, match="1 FITS files that are not of this list.*'000002.fits'"):
        write_cutouts(coords[:2], tmp_path, images="simulated", progress=False, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 3


class Mine:
    name, survey = "mine", "allwise-atlas"

    def fetch(self, coords, bands):
        return SimulatedSky().fetch(coords, bands)


class Resampled(SimulatedSky):
    name, survey = "hips", "allwise-hips"


class Shifted(SimulatedSky):
    def header(self, coadd_id, band):
        header = super().header(coadd_id, band)
        header["CRPIX1"] += 0.3
        return header


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ("W1", "W9")}, "W9"),
        ({"images": "nonsense"}, "nonsense"),
        ({"images": Mine()}, "'mine' cannot be written.*header"),
        ({"images": Resampled()}, "'hips' are of the survey 'allwise-hips'"),
        ({"images": Shifted()}, "tile simulated does not fit.*0.30 px"),
    ],
)
def test_refused(coords, tmp_path, options, message):
    with pytest.raises(ImagesError, match=message):
        write_cutouts(coords[:2], tmp_path / "new", progress=False, **{"images": "simulated", **options})


def test_folders_that_will_not_do(tile, positions, coords, tmp_path):
    with pytest.raises(ImagesError, match="holds the images that shall be cut"):
        write_cutouts(positions, tile, images=tile, progress=False)
    (tmp_path / "file").write_text("")
    for folder in ("file", "no/such"):
        with pytest.raises(ImagesError, match="Cannot make the folder"):
            write_cutouts(coords[:1], tmp_path / folder, images="simulated", progress=False)


def test_no_rows(coords, tmp_path):
    index = write_cutouts(coords[:0], tmp_path, images="simulated", progress=False)
    assert len(index) == 0
    assert len(Table.read(tmp_path / INDEX_FILE)) == 0


@pytest.fixture
def anywhere(rng):
    """RA 0, next to both poles, where tiles overlap, on the edge of one, and twice the same."""
    ra = [0.0001, 359.9999, 45.0, 200.0, 10.7568, 10.7568, 121.8, 121.8]
    dec = [0.2, -1.1, 89.97, -88.2, 41.3, 41.3, 1.9, np.nan]
    return SkyCoord(ra, dec, unit="deg")


@pytest.mark.parametrize("images", ["irsa", "aws", ["irsa", "aws"]])
def test_from_an_archive(archive_server, anywhere, tmp_path, images):
    index = write_cutouts(anywhere, tmp_path / "new", images=images, progress=False)
    assert index["status"].tolist() == ["ok"] * 7 + ["bad_coordinates"]
    first = images if isinstance(images, str) else images[0]
    assert index["images"].tolist() == [first] * 7 + [""]
    before = open_images(first).fetch(anywhere, BANDS)
    same(before, LocalFolder(tmp_path / "new").fetch(anywhere, BANDS))
    tile = archive_server.header(index["tile"][2], "W3")
    part = fits.getheader(tmp_path / "new" / "000002.fits", "W3")
    of_the_file = ("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "CRPIX1", "CRPIX2")
    assert {tuple(card) for card in tile.cards if card.keyword not in of_the_file} < set(
        map(tuple, part.cards)
    )
    assert part["MEDINT"] == tile["MEDINT"]
    assert "RADESYS" not in part


def test_rows_that_fail_have_no_file(archive_server, anywhere, tmp_path):
    tile = "1225p015_ac51"
    archive_server.faults = lambda request, attempt: Fault.FORBIDDEN if tile in request else None
    with pytest.warns(RetrievalWarning, match="403"):
        index = write_cutouts(anywhere, tmp_path / "new", progress=False)
    failed = index["status"] == "retrieval_failed"
    assert failed.sum() == 1
    assert index["file"][failed].tolist() == index["images"][failed].tolist() == [""]
    assert len(list((tmp_path / "new").glob("*.fits"))) == 6
