import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from astro_iicnet.allwise.bands import BANDS
from astro_iicnet.exceptions import ImagesError, SourcesError
from astro_iicnet.fusion.colours import colours, from_cutouts, from_table, make_magnitudes
from astro_iicnet.labels import Status
from astro_iicnet.photometry.measurement import measure
from astro_iicnet.training.simulated import simulate_dataset


def irsa() -> Table:
    """Rows as IRSA serves them: a detection, a W3 limit, a band without a fit, nothing at all."""
    masked = np.ma.masked_invalid
    table = Table(masked=True)
    table["w1mpro"] = masked([15.10, 16.20, 14.00, np.nan])
    table["w1sigmpro"] = masked([0.03, 0.06, 0.02, np.nan])
    table["w2mpro"] = masked([14.00, 15.90, np.nan, np.nan])
    table["w2sigmpro"] = masked([0.03, 0.15, np.nan, np.nan])
    table["w3mpro"] = masked([11.00, 12.30, 11.50, np.nan])
    table["w3sigmpro"] = masked([0.10, np.nan, np.nan, np.nan])
    table["ph_qual"] = MaskedColumn(["AAA", "ABUX", "AXZ", "XXX"])
    for name in table.colnames[:-1]:
        table[name].unit = "mag"
    return table


def test_columns_of_irsa():
    found = from_table(irsa())
    assert found.bands == ("W1", "W2", "W3")
    nan = np.nan
    np.testing.assert_allclose(
        found.mag, [[15.1, 14, 11], [16.2, 15.9, 12.3], [14, nan, 11.5], [nan] * 3], rtol=1e-6
    )
    # Z means measured without an error: that is no limit, the U of the second row is.
    assert np.argwhere(found.upper_limit).tolist() == [[1, 2]]
    assert np.isnan(found.error[1, 2])
    assert found.error[0].tolist() == pytest.approx([0.03, 0.03, 0.10])
    assert found.status.tolist() == [0, 0, 0, Status.MISSING_MAGNITUDES]
    assert found[found.status == 0].mag.shape == (3, 3)


@pytest.mark.parametrize(
    ("magnitude", "error"),
    [("W{}mag", "e_W{}mag"), ("W{}MPRO", "W{}SIGMPRO"), ("w{}_mag", "w{}_err"), (" W{} ", "w{}err")],
)
def test_variants_of_names_mean_the_same(magnitude, error):
    truth = irsa()
    table = Table(masked=True)
    for n in "321":
        table[error.format(n)] = truth[f"w{n}sigmpro"]
        table[magnitude.format(n)] = truth[f"w{n}mpro"]
    table["qph"] = truth["ph_qual"]
    found, expected = from_table(table), from_table(truth)
    np.testing.assert_array_equal(found.mag, expected.mag)
    np.testing.assert_array_equal(found.error, expected.error)
    np.testing.assert_array_equal(found.upper_limit, expected.upper_limit)


def test_without_a_quality_letter_a_missing_error_is_a_limit():
    table = irsa()
    table.remove_column("ph_qual")
    assert from_table(table).upper_limit.tolist() == [
        [False] * 3,
        [False, False, True],
        [False, False, True],
    ] + [[False] * 3]


def test_without_errors_nothing_is_a_limit():
    found = from_table(Table({"w1": [15.0], "w2": [14.0], "w3": [11.0]}))
    assert not found.upper_limit.any()
    assert np.isnan(found.error).all()
    assert found.status.tolist() == [Status.OK]


def test_values_that_stand_for_unknown():
    values = [99.99, -99.0, -9999.0, np.inf, 0.5]
    found = from_table(Table({"w1mpro": values, "w1sigmpro": [9.99, -9.99, 0.0, np.nan, 0.1]}), ["W1"])
    assert np.isnan(found.mag[:, 0]).tolist() == [True] * 4 + [False]
    assert not found.upper_limit.any()
    limit = from_table(Table({"w1mpro": [15.0] * 3, "w1sigmpro": [9.99, -9.99, 0.0]}), ["W1"])
    assert limit.upper_limit.all()


def test_text_and_objects():
    texts = ["15.25", "null", "", "n/a", " 14 "]
    for values in (
        texts,
        np.array([*texts[:1], None, *texts[2:]], dtype=object),
        [t.encode() for t in texts],
    ):
        found = from_table(Table({"w1mpro": values}), ["W1"]).mag[:, 0]
        np.testing.assert_array_equal(found, np.float32([15.25, np.nan, np.nan, np.nan, 14]))


def test_ab_is_converted_only_where_the_unit_says_so():
    vega = [[13.0, 12.5, 9.0]]
    ab = [m + BANDS[b].vega_to_ab for m, b in zip(vega[0], ("W1", "W2", "W3"), strict=True)]
    tables = [QTable({f"W{i + 1}mag": [ab[i]] * u.ABmag for i in range(3)})]
    for unit in ("mag(AB)", "ABmag", "mag_AB"):
        tables.append(Table({f"W{i + 1}mag": [ab[i]] for i in range(3)}))
        for name in tables[-1].colnames:
            tables[-1][name].unit = u.Unit(unit, parse_strict="silent")
    for table in tables:
        np.testing.assert_allclose(from_table(table).mag, vega, rtol=1e-6)
    plain = QTable({f"W{i + 1}mag": vega[0][i : i + 1] * u.mag for i in range(3)})
    np.testing.assert_allclose(from_table(plain).mag, vega, rtol=1e-6)
    plain["W2mag"] = Masked([12.5] * u.mag, mask=[True])
    assert np.isnan(from_table(plain).mag[0, 1])


@pytest.mark.parametrize("unit", ["nmgy", "Jy", "mmag", "ST mag"])
def test_other_units_are_refused(unit):
    table = Table({"w1mpro": [15.0]})
    table["w1mpro"].unit = u.Unit(unit, parse_strict="silent")
    with pytest.raises(SourcesError, match=r"w1mpro.*expected 'mag'"):
        from_table(table)


def test_no_magnitudes_or_two_is_an_error_that_says_so():
    with pytest.raises(SourcesError, match=r"'ra', 'dec'.*w1mpro.*magnitudes='cutouts'"):
        from_table(Table({"ra": [1.0], "dec": [2.0]}))
    with pytest.raises(SourcesError, match="'W1MAG' and 'w1mag' could both"):
        from_table(Table({"W1MAG": [1.0], "w1mag": [2.0]}))
    with pytest.raises(SourcesError, match="one in each row"):
        from_table(Table({"w1mpro": np.ones((2, 3))}))
    with pytest.raises(ImagesError, match="W1"):
        from_table(Table({"w1mpro": [1.0]}), ["w1"])


def test_a_band_without_a_column_is_unknown_and_an_empty_table_is_empty():
    found = from_table(Table({"w2mpro": [14.0], "w1mpro": [15.0]}))
    np.testing.assert_array_equal(found.mag, np.float32([[15, 14, np.nan]]))
    assert len(from_table(Table({"w1mpro": np.empty(0)}))) == 0


def test_cutouts_give_what_is_measured():
    cutouts, _ = simulate_dataset(60, seed=11, workers=1)
    cutouts.pixels[3] = np.nan
    found, truth = from_cutouts(cutouts), measure(cutouts)
    np.testing.assert_array_equal(found.mag, truth.mag)
    np.testing.assert_array_equal(found.upper_limit, truth.upper_limit)
    assert found.upper_limit.any()
    assert np.flatnonzero(found.status).tolist() == [3]


def test_colours_are_differences():
    found = make_magnitudes(
        ("W1", "W2"), np.array([[15.0, 14.0], [15, np.nan]]), np.ones((2, 2)), np.zeros((2, 2))
    )
    np.testing.assert_array_equal(colours(found), np.float32([[1.0], [np.nan]]))
