import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.exceptions import RetrievalError, RetrievalWarning
from astro_iicnet.fusion import catalogue
from astro_iicnet.fusion.catalogue import from_catalogue
from astro_iicnet.labels import Status

COORDS = SkyCoord([10.0, 11.0, np.nan, 13.0, 14.0], [1.0, 2.0, 3.0, 4.0, 5.0], unit="deg")


def allwise(coords: SkyCoord) -> Table:
    """An AllWISE whose sources have W1 = RA, but none at RA 13; W3 of the second is a limit."""
    ra = coords.ra.deg
    row = np.flatnonzero(np.abs(ra - 13) > 0.5)[::-1]
    limit = ra[row] == 11
    return Table(
        {
            "row": row,
            "w1mpro": ra[row],
            "w1sigmpro": np.full(len(row), 0.03),
            "w2mpro": ra[row] - 1,
            "w2sigmpro": np.full(len(row), 0.03),
            "w3mpro": ra[row] - 3,
            "w3sigmpro": np.where(limit, np.nan, 0.1),
            "ph_qual": np.where(limit, "AAUX", "AAAX"),
        }
    )


@pytest.mark.parametrize("batch", [1, 2, 20_000])
def test_rows_keep_their_places(monkeypatch, batch):
    monkeypatch.setattr(catalogue, "QUERY_SIZE", batch)
    asked = []

    def match(coords):
        asked.append(len(coords))
        return allwise(coords)

    found = from_catalogue(COORDS, match=match)
    np.testing.assert_allclose(found.mag[:, 0], [10, 11, np.nan, np.nan, 14])
    assert found.upper_limit.tolist() == [[False] * 3, [False, False, True]] + [[False] * 3] * 3
    statuses = [Status.OK, Status.OK, Status.BAD_COORDINATES, Status.MISSING_MAGNITUDES, Status.OK]
    assert found.status.tolist() == statuses
    assert sum(asked) == 4
    assert max(asked) <= batch


def test_a_service_that_fails_ends_no_list(monkeypatch):
    monkeypatch.setattr(catalogue, "QUERY_SIZE", 2)

    def match(coords):
        if coords.ra.deg[0] == 10:
            raise RetrievalError("The service answered HTTP 503.")
        return allwise(coords)

    with pytest.warns(RetrievalWarning, match=r"2 of 5 sources: The service answered HTTP 503"):
        found = from_catalogue(COORDS, ["W2", "W1"], match=match)
    failed = Status.RETRIEVAL_FAILED
    assert found.status.tolist() == [failed, failed, Status.BAD_COORDINATES, Status.MISSING_MAGNITUDES, 0]
    np.testing.assert_allclose(found.mag[4], [13, 14])


def test_nobody_is_told_of_a_run_that_goes_on(sdss_server):
    """A list in memory is not kept: only a caller that resumes may say so."""
    sdss_server.faults["xmatch"] = [503] * 3
    with pytest.warns(RetrievalWarning, match="4 of 5 sources") as caught:
        from_catalogue(COORDS)
    assert "XMatch answered HTTP 503" in str(caught[0].message)
    assert "goes on" not in str(caught[0].message)


def test_nothing_to_ask():
    found = from_catalogue(COORDS[2:3], match=allwise)
    assert found.status.tolist() == [Status.BAD_COORDINATES]
    assert len(from_catalogue(COORDS[:0], match=allwise)) == 0
