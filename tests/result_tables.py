"""Result tables to try things on: every kind of column, masks, a row of each fate."""

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn, Table

from astro_iicnet.labels import Flag, Status
from astro_iicnet.results import make_results
from astro_iicnet.sources import read_sources

PROVENANCE = {
    "weights": "iicnet-sim-v3",
    "sha256": "0123456789abcdef" * 4,
    "priors": {"galaxy": 0.25, "quasar": 0.25, "star": 0.5},
    "images": "simulated  sky, 'é' and \"so\" on",
    "versions": ["1.0", None, 2],
}
DTYPES = ["U6", "f4", "f4", "f4", "U18", "i2"]
PROBABILITIES = [[0.7, 0.2, 0.1], [0.2, 0.59, 0.21], [0.1, 0.3, 0.6], [np.nan] * 3, [np.nan] * 3]
STATUS = [Status.OK, Status.OK, Status.OK, Status.BAD_COORDINATES, Status.RETRIEVAL_FAILED]
FLAGS = [0, Flag.SATURATED, Flag.BRIGHTER_NEIGHBOUR | Flag.MISSING_PIXELS, 0, 0]


def make_table(kind=Table):
    table = kind({"id": [5, 4, 3, 2, 1], "ra": [1.0, 2, 3, 4, 5] * u.deg, "dec": [1.0, 2, 3, 99, 5] * u.deg})
    table["name"] = ["a", "bé", "c", "", "e"]
    table["mag"] = MaskedColumn(np.arange(5.0), mask=[0, 1, 0, 0, 0], unit="mag", description="W1")
    table["count"] = MaskedColumn(np.arange(5), mask=[0, 0, 0, 0, 1])
    table["flag"] = [True, False, True, False, True]
    return table


def make(table=None, **changed):
    given = {
        "probabilities": PROBABILITIES,
        "status": STATUS,
        "flags": FLAGS,
        "provenance": PROVENANCE,
    } | changed
    return make_results(read_sources(make_table() if table is None else table), **given)


def assert_same(read, written, names=None):
    """Same names, values and masks."""
    assert read.colnames == written.colnames
    assert len(read) == len(written)
    for name in names or written.colnames:
        a, b = (np.ma.asarray(getattr(t[name], "value", t[name])) for t in (read, written))
        assert np.ma.getmaskarray(a).tolist() == np.ma.getmaskarray(b).tolist(), name
        assert a.tolist() == b.tolist(), name
