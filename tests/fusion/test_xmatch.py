import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from astro_iicnet.exceptions import RetrievalError
from astro_iicnet.fusion.xmatch import match_allwise


@pytest.fixture
def coords(sdss_server):
    return SkyCoord(sdss_server.spectra["ra"], sdss_server.spectra["dec"], unit="deg")


@pytest.fixture
def truth(sdss_server, coords):
    """Row and designation of the nearest source within 2 arcsec, by brute force."""
    there = SkyCoord(sdss_server.wise["RAJ2000"], sdss_server.wise["DEJ2000"], unit="deg")
    separation = coords[:, np.newaxis].separation(there).arcsec
    near = separation.min(axis=1) <= 2
    return np.flatnonzero(near), sdss_server.wise["AllWISE"][separation.argmin(axis=1)[near]]


def assert_true(table, truth):
    assert table["row"].tolist() == truth[0].tolist()
    assert table["allwise"].tolist() == truth[1].tolist()


def test_the_nearest_of_each(coords, truth, sdss_server):
    table = match_allwise(coords)
    assert_true(table, truth)
    there = SkyCoord(table["ra"], table["dec"], unit="deg")
    np.testing.assert_allclose(table["separation"], coords[table["row"]].separation(there).arcsec)
    wise = sdss_server.wise
    wise.add_index("AllWISE")
    same = wise.loc[table["allwise"].tolist()]
    for ours, theirs in [("w1mpro", "W1mag"), ("w4mpro", "W4mag"), ("w3sigmpro", "e_W3mag")]:
        np.testing.assert_allclose(table[ours], same[theirs], rtol=1e-6)
    assert np.isnan(table["w4sigmpro"]).any()
    assert set(table["ph_qual"]) == {"AABU"}


def test_frames_are_converted(coords, truth):
    assert_true(match_allwise(coords.galactic), truth)


@pytest.mark.parametrize("fault", ["cut", "lost", "html", "error", 403, 500])
def test_faults_lose_nothing(coords, truth, sdss_server, fault):
    sdss_server.faults["xmatch"] = [fault, fault]
    assert_true(match_allwise(coords), truth)


@pytest.mark.parametrize(("limit", "n"), [(3, 12), (100, 270), (270, 270)])
def test_an_answer_that_is_cut_without_a_word(coords, truth, sdss_server, limit, n):
    sdss_server.max_rows["xmatch"] = limit
    assert_true(match_allwise(coords[:n]), [column[truth[0] < n] for column in truth])


def test_the_known_limit_is_taken_for_a_cut(coords, truth, sdss_server, monkeypatch):
    monkeypatch.setattr("astro_iicnet.fusion.xmatch.MAX_ROWS", 50)
    sdss_server.max_rows["xmatch"] = 50
    assert_true(match_allwise(coords), truth)


def test_too_many_jobs_for_good(coords, sdss_server):
    sdss_server.faults["xmatch"] = [403] * 3
    with pytest.raises(RetrievalError, match="HTTP 403, which means that it is asked too much"):
        match_allwise(coords)


def test_no_match_at_all(sdss_server):
    assert len(match_allwise(SkyCoord([10.0, 20], [-40, -50], unit="deg"))) == 0


def test_answers_without_a_column(coords, sdss_server, monkeypatch):
    answer = sdss_server.answer_xmatch
    monkeypatch.setattr(sdss_server, "answer_xmatch", lambda fields: answer(fields).replace("RAJ2000", "RA"))
    with pytest.raises(RetrievalError, match="no column RAJ2000"):
        match_allwise(coords)


def test_answers_to_something_else(coords, sdss_server, monkeypatch):
    answer = sdss_server.answer_xmatch
    wide = {"distMaxArcsec": "3e4"}
    monkeypatch.setattr(sdss_server, "answer_xmatch", lambda fields: answer(fields | wide))
    with pytest.raises(RetrievalError, match=r"arcsec away, 2 were asked for"):
        match_allwise(coords[:2])
