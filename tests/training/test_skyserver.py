import numpy as np
import pytest

from astro_iicnet.config import conf
from astro_iicnet.exceptions import IICnetError, RetrievalError
from astro_iicnet.training.skyserver import fetch_spectra, page_query


def fetch(folder, page_size=100):
    return fetch_spectra(folder, page_size=page_size, progress=False)


def assert_all_came(table, server):
    truth = server.spectra
    assert table["specobjid"].tolist() == [str(number) for number in truth["specObjID"]]
    for name, theirs in [
        ("ra", "ra"),
        ("dec", "dec"),
        ("z", "z"),
        ("sdss_class", "class"),
        ("sdss_subclass", "subClass"),
    ]:
        assert table[name].tolist() == truth[theirs].tolist(), name


def test_pages_give_all_spectra_once(sdss_server, tmp_path):
    table = fetch(tmp_path)
    assert_all_came(table, sdss_server)
    assert max(map(int, table["specobjid"])) > 2**63
    assert sdss_server.requests["sdss"] == 1 + 3
    assert sdss_server.queries[1] == page_query(0, 100)


def test_a_second_call_asks_for_nothing(sdss_server, tmp_path):
    first = fetch(tmp_path)
    n = sdss_server.requests["sdss"]
    assert (first == fetch(tmp_path)).all()
    assert sdss_server.requests["sdss"] == n


@pytest.mark.parametrize("fault", ["cut", "lost", "html", "error", 500, 503, 403])
def test_faults_lose_nothing(sdss_server, tmp_path, fault):
    sdss_server.faults["sdss"] = [fault, None, fault, None, None, fault]
    assert_all_came(fetch(tmp_path), sdss_server)


def test_pages_that_the_server_cuts_without_a_word(sdss_server, tmp_path):
    sdss_server.max_rows["sdss"] = 30
    assert_all_came(fetch(tmp_path), sdss_server)


def test_what_has_come_is_kept(sdss_server, tmp_path):
    sdss_server.faults["sdss"] = [None, None, 503, 503, 503]
    with pytest.raises(RetrievalError, match="HTTP 503"):
        fetch(tmp_path)
    n = sdss_server.requests["sdss"]
    assert_all_came(fetch(tmp_path), sdss_server)
    assert sdss_server.requests["sdss"] == n + 2


def test_a_query_that_is_refused_is_not_sent_again(sdss_server, tmp_path):
    sdss_server.faults["sdss"] = [404]
    with pytest.raises(RetrievalError, match="refuses.*404"):
        fetch(tmp_path)
    assert sdss_server.requests["sdss"] == 1


def test_other_columns(sdss_server, tmp_path, monkeypatch):
    monkeypatch.setattr(sdss_server, "answer_sql", lambda sql: "#Table1\nm,o\n1,2\n")
    with pytest.raises(RetrievalError, match="the columns m, o instead of n"):
        fetch(tmp_path)


def test_offline(sdss_server, tmp_path):
    with conf.set_temp("offline", True), pytest.raises(RetrievalError, match="offline"):
        fetch(tmp_path)
    assert not sdss_server.requests


def test_a_damaged_page_is_named(sdss_server, tmp_path):
    fetch(tmp_path)
    path = tmp_path / "spectra-0001.fits"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(IICnetError, match="spectra-0001.fits is damaged"):
        fetch(tmp_path)


def test_no_rows_at_all(sdss_server, tmp_path):
    sdss_server.spectra = sdss_server.spectra[:0]
    with pytest.raises(IICnetError, match="expected a number"):
        fetch(tmp_path)
    assert not list(tmp_path.glob("*.fits"))
    assert np.size(sdss_server.spectra) == 0
