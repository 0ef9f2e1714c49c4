import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.allwise.tiles import best_tile
from astro_iicnet.config import conf
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.exceptions import IICnetError, ImagesError, RetrievalError
from astro_iicnet.labels import Status
from astro_iicnet.training.candidates import Draw
from astro_iicnet.training.datasets import read_dataset
from astro_iicnet.training.sdss import PAPER_SIZES, build_dataset
from astro_iicnet.training.skyserver import SDSS_CLASSES, fetch_spectra


def build(folder, per_class=34, images=None, **options):
    images = Images() if images is None else images
    return build_dataset(folder / "real.fits", per_class=per_class, images=images, progress=False, **options)


class Images:
    """Quick pixels that follow from the position; every so many sources are not whole."""

    name, survey = "irsa", "allwise-atlas"

    def __init__(self, status=Status.OK, every=7, die_after=None):
        self.status, self.every, self.die_after = status, every, die_after
        self.fetched = []

    def fetch(self, coords, bands):
        if self.die_after is not None and len(self.fetched) >= self.die_after:
            raise ImagesError("The power is gone.")
        self.fetched += coords.ra.deg.tolist()
        n, number = len(coords), (coords.ra.deg * 1e7).round()
        pixels = np.broadcast_to(number[:, None, None, None], (n, len(bands), 41, 41)).astype(np.float32)
        status = np.where(number % self.every == 0, self.status, Status.OK).astype(np.uint8)
        offset = np.zeros((n, 2), np.float32)
        return Cutouts(pixels, offset, bands, zero_points(bands), status, best_tile(coords)[0])


def test_end_to_end(sdss_server, archive_server, tmp_path):
    """A hundred sources from spectra to pixels, each against what the servers hold."""
    built = build(tmp_path, images="irsa")
    cutouts, table = read_dataset(tmp_path / "real.fits")
    assert len(table) == 102
    assert not len(built.left_out)
    assert not (tmp_path / "real.fits.left_out.ecsv").exists()
    assert (cutouts.status == Status.OK).all()
    spectra = {str(row["specObjID"]): row for row in sdss_server.spectra}
    wise = {row["AllWISE"]: row for row in sdss_server.wise}
    assert len(set(table["allwise"])) == len(set(table["specobjid"])) == len(table)
    for index, row in enumerate(table):
        spectrum, source = spectra[row["specobjid"]], wise[row["allwise"]]
        assert SDSS_CLASSES[spectrum["class"]] == row["class"]
        assert (row["sdss_ra"], row["z"]) == (spectrum["ra"], spectrum["z"])
        assert (row["ra"], row["dec"]) == (source["RAJ2000"], source["DEJ2000"])
        assert row["w1mpro"] == pytest.approx(source["W1mag"])
        here = SkyCoord(row["ra"], row["dec"], unit="deg")
        assert here.separation(SkyCoord(row["sdss_ra"], row["sdss_dec"], unit="deg")).arcsec < 2
        if index % 10 == 0:
            alone = IrsaArchive().fetch(here.reshape(1), ("W1", "W2", "W3"))
            np.testing.assert_array_equal(cutouts.pixels[index], alone.pixels[0])
            np.testing.assert_array_equal(cutouts.offset[index], alone.offset[0])


def test_classes_and_sets(sdss_server, tmp_path):
    build(tmp_path)
    _, table = read_dataset(tmp_path / "real.fits")
    for name in ("galaxy", "quasar", "star"):
        assert np.count_nonzero(table["class"] == name) == 34
    tiles = {part: set(table["tile"][table["split"] == part]) for part in ("train", "test", "validation")}
    assert all(tiles.values())
    assert sum(map(len, tiles.values())) == len(set(table["tile"]))
    assert sum(table["split"] == "train") > 60
    meta = table.meta
    assert "SDSS DR17" in meta["origin"]
    assert "zWarning = 0" in meta["sdsssql"]
    assert "II/328/allwise" in meta["xmatch"]
    assert (meta["format"], meta["images"], meta["survey"], meta["seed"]) == (1, "irsa", "allwise-atlas", 0)
    assert meta["started"][:2] == "20"
    assert {"iicnet", "astropy", "astroq", "numpy", "nasked"} <= set(meta)


def test_a_second_call_asks_nobody(sdss_server, tmp_path):
    build(tmp_path)
    first = (tmp_path / "real.fits").read_bytes()
    (tmp_path / "real.fits").unlink()
    n = sdss_server.requests.copy()
    images = Images()
    build(tmp_path, images=images)
    assert (tmp_path / "real.fits").read_bytes() == first
    assert (sdss_server.requests, images.fetched) == (n, [])


def test_an_interrupted_build_ends_in_the_same_dataset(sdss_server, tmp_path, monkeypatch):
    monkeypatch.setattr("astro_iicnet.training.sdss.CHUNK_SIZE", 25)
    for folder in ("whole", "broken"):
        (tmp_path / folder).mkdir()
    build(tmp_path / "whole")
    sdss_server.faults["sdss"] = [None, 503, 503, 503]
    with pytest.raises(
        RetrievalError, match="SkyServer of SDSS answered HTTP 503.*the same command goes on from here"
    ):
        build(tmp_path / "broken")
    sdss_server.faults["xmatch"] = [None, None, None, 403, 403, 403]
    with pytest.raises(RetrievalError, match="XMatch answered HTTP 403.*the same command goes on from here"):
        build(tmp_path / "broken")
    dying = Images(die_after=60)
    with pytest.raises(ImagesError, match="power"):
        build(tmp_path / "broken", images=dying)
    rest = Images()
    build(tmp_path / "broken", images=rest)
    assert 0 < len(rest.fetched) < 102
    (whole_cutouts, whole), (cutouts, table) = (
        read_dataset(tmp_path / name / "real.fits") for name in ("whole", "broken")
    )
    np.testing.assert_array_equal(cutouts.pixels, whole_cutouts.pixels)
    for name in whole.colnames:
        np.testing.assert_array_equal(table[name], whole[name], err_msg=name)


@pytest.mark.parametrize("status", [Status.NO_COVERAGE, Status.BAD_PIXELS])
def test_what_is_not_whole_is_replaced_and_reported(sdss_server, tmp_path, status):
    built = build(tmp_path, images=Images(status))
    cutouts, table = read_dataset(tmp_path / "real.fits")
    assert [np.count_nonzero(table["class"] == name) for name in ("galaxy", "quasar", "star")] == [34] * 3
    assert (cutouts.status == Status.OK).all()
    assert len(built.left_out) > 5
    assert set(built.left_out["status"]) == {status.label}
    assert not set(built.left_out["specobjid"]) & set(table["specobjid"])
    kept = Table.read(tmp_path / "real.fits.left_out.ecsv")
    assert kept["allwise"].tolist() == built.left_out["allwise"].tolist()
    assert table.meta["nleftout"] == len(kept)


def test_an_archive_in_trouble_is_not_papered_over(sdss_server, tmp_path):
    with pytest.raises(
        RetrievalError, match=r"of \d+ cutouts could not be fetched from 'irsa'.*goes on from here"
    ):
        build(tmp_path, images=Images(Status.RETRIEVAL_FAILED))
    assert not (tmp_path / "real.fits").exists()
    again = Images()
    assert not len(build(tmp_path, images=again).left_out)
    assert 5 < len(again.fetched) < 40


def test_another_request_in_the_same_folder(sdss_server, tmp_path):
    build(tmp_path, per_class=5)
    with pytest.raises(IICnetError, match=r"another dataset \(seed is 0, not 1\)"):
        build(tmp_path, per_class=5, seed=1)
    build(tmp_path, per_class=5, seed=1, work=tmp_path / "other")
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "request.json").write_text("{")
    with pytest.raises(IICnetError, match="name another"):
        build(tmp_path, per_class=5, work=tmp_path / "third")


def test_too_few_sources(sdss_server, tmp_path):
    with pytest.raises(
        IICnetError, match=r"Of \d+ spectra of the class \w+ \d+ have an AllWISE source, and 85"
    ):
        build(tmp_path, per_class=85)


def test_bad_arguments_before_any_request(sdss_server, tmp_path):
    for options, message in [
        ({"per_class": 0}, "per_class is 0"),
        ({"bands": ("W1", "W7")}, "W7"),
        ({"images": "isra"}, "Did you mean 'irsa'"),
        ({"images": ["irsa", "hips"]}, "of one survey"),
        ({"images": "simulated"}, "'simulated' show no real sources"),
        ({"images": [Images(), "simulated"]}, "'simulated' show no real sources"),
    ]:
        with pytest.raises(IICnetError, match=message):
            build(tmp_path, **options)
    assert not sdss_server.requests
    assert PAPER_SIZES == (7298, 7215, 7223)


def test_spectra_that_could_be_the_same_source_are_left_out(sdss_server, tmp_path):
    spectra = fetch_spectra(tmp_path, progress=False)
    quasars = np.flatnonzero(spectra["sdss_class"] == "QSO")
    star = np.flatnonzero(spectra["sdss_class"] == "STAR")[0]
    spectra["ra"][star], spectra["dec"][star] = (
        spectra["ra"][quasars[0]],
        spectra["dec"][quasars[0]] + 3 / 3600,
    )
    draw = Draw(spectra, tmp_path)
    drawn = draw.candidates("quasar", 70)
    assert draw.n_asked("quasar") <= len(quasars) - 1
    assert spectra["specobjid"][quasars[0]] not in drawn["specobjid"]


def test_the_draw_is_random_and_its_start_does_not_depend_on_its_length(sdss_server, tmp_path):
    spectra = fetch_spectra(tmp_path, progress=False)
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    few = Draw(spectra, folders[0], seed=1).candidates("star", 5)
    many = Draw(spectra, folders[1], seed=1).candidates("star", 60)
    other = Draw(spectra, folders[2], seed=2).candidates("star", 5)
    assert few["specobjid"].tolist() == many["specobjid"][:5].tolist()
    assert few["specobjid"].tolist() != other["specobjid"].tolist()
    assert many["specobjid"].tolist() != sorted(many["specobjid"], key=int)


def test_offline(tmp_path):
    with conf.set_temp("offline", True), pytest.raises(RetrievalError, match="offline"):
        build(tmp_path)
    assert (
        json.loads((tmp_path / "real.fits.work" / "request.json").read_text())["request"]["sizes"] == [34] * 3
    )
