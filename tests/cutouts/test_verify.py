"""The rule for URLs, held against the index."""

import numpy as np
import pytest
from archive_server import Fault, first_faults, permanent_faults
from archive_server import sia as server_sia
from astropy.coordinates import SkyCoord

from astro_iicnet.config import conf
from astro_iicnet.cutouts import transport
from astro_iicnet.cutouts import verify as module
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.cutouts.verify import verify_urls
from astro_iicnet.exceptions import ImagesError, RetrievalError, RetrievalWarning
from astro_iicnet.labels import Status

COORDS = SkyCoord([121.60136, np.nan, 0.0, 33.0], [1.03578, 0.0, 0.7, -88.9], unit="deg")
BANDS = ("W1", "W2", "W3", "W4")


class Elsewhere(IrsaArchive):
    """IRSA, had it moved its images."""

    def _root(self) -> str:
        return super()._root().replace("p3am_cdd", "p3am_new")


def test_the_rule_holds(archive_server):
    verify_urls(COORDS, BANDS, IrsaArchive())
    assert sum(request.path == "/SIA" for request in archive_server.requests) == 3


def test_no_usable_position_no_request(archive_server):
    verify_urls(COORDS[1:2], BANDS, IrsaArchive())
    verify_urls(COORDS[:0], BANDS, IrsaArchive())
    assert archive_server.n_requests == 0


def test_the_rule_is_wrong(archive_server):
    match = r"1210p015_ac51 in W2 at 121.60136 1.03578: expected http.*/p3am_new/.*-w2-int-3.fits, found http"
    with pytest.raises(ImagesError, match=match):
        verify_urls(COORDS, ("W2",), Elsewhere())


def test_an_image_of_another_kind_is_not_enough(archive_server):
    class Uncertainty(IrsaArchive):
        def image_url(self, coadd_id, band, kind="unc"):
            return super().image_url(coadd_id, band, kind)

    with pytest.raises(ImagesError, match=r"expected .*unc-3.fits.gz, found .*int-3.fits"):
        verify_urls(COORDS, ("W1",), Uncertainty())


def test_an_empty_answer_is_an_error(archive_server, monkeypatch):
    monkeypatch.setattr(module, "COLLECTION", "wise_allwize")
    with pytest.raises(ImagesError, match="no image of collection 'wise_allwize'"):
        verify_urls(COORDS, BANDS, IrsaArchive())


def test_a_table_without_addresses(archive_server, monkeypatch):
    columns = {name: kind for name, kind in server_sia._COLUMNS.items() if name != "access_url"}
    monkeypatch.setattr(server_sia, "_COLUMNS", columns)
    with pytest.raises(ImagesError, match="without access_url, but with s_ra"):
        verify_urls(COORDS, BANDS, IrsaArchive())


def test_passing_faults_are_overcome(archive_server):
    archive_server.faults = first_faults(Fault.UNAVAILABLE)
    with conf.set_temp("retries", 2):
        verify_urls(COORDS[:1], BANDS, IrsaArchive())


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.HTML, Fault.NOT_FOUND, Fault.RESET])
def test_the_index_does_not_answer(archive_server, fault):
    archive_server.faults = permanent_faults(lambda request: True, fault)
    with conf.set_temp("retries", 0), pytest.raises(RetrievalError, match="index of IRSA .*/SIA"):
        verify_urls(COORDS, BANDS, IrsaArchive())


def test_the_index_is_not_waited_for_for_hours(archive_server, monkeypatch):
    monkeypatch.setattr(transport, "PATIENCE", 0.5)
    archive_server.faults = permanent_faults(lambda request: True, Fault.UNAVAILABLE_RETRY_AFTER)
    with pytest.raises(RetrievalError, match="(?s)index of IRSA .*/SIA.*asks to be left alone for 1 s"):
        verify_urls(COORDS, BANDS, IrsaArchive())
    assert archive_server.n_requests == 1


def test_a_long_pause_is_said(archive_server, monkeypatch):
    monkeypatch.setattr(transport, "LONGEST_PAUSE", 0.5)
    archive_server.faults = first_faults(Fault.UNAVAILABLE_RETRY_AFTER)
    with pytest.warns(RetrievalWarning, match="index of IRSA asks to be left alone for 1 s"):
        verify_urls(COORDS[:1], BANDS, IrsaArchive())


def test_the_index_takes_too_long(archive_server):
    archive_server.latency = 1.0
    with conf.set_temp("timeout", 0.1), conf.set_temp("retries", 0), pytest.raises(RetrievalError):
        verify_urls(COORDS, BANDS, IrsaArchive())


def test_offline(archive_server):
    with conf.set_temp("offline", True), pytest.raises(RetrievalError, match="offline"):
        verify_urls(COORDS, BANDS, IrsaArchive())
    assert archive_server.n_requests == 0


def test_an_archive_verifies_its_first_fetch(archive_server):
    source = IrsaArchive(verify=True)
    assert source.fetch(COORDS, ("W1",)).status.tolist().count(Status.OK) == 3
    n_queries = sum(request.path == "/SIA" for request in archive_server.requests)
    assert 1 <= n_queries <= 3
    source.fetch(COORDS, ("W1",))
    assert sum(request.path == "/SIA" for request in archive_server.requests) == n_queries
    with pytest.raises(ImagesError, match="p3am_new"):
        Elsewhere(verify=True).fetch(COORDS, ("W1",))
