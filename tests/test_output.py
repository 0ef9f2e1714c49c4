"""Files of result tables: what they keep, and that they are written whole or not at all."""

import os
import warnings

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.time import Time
from result_tables import DTYPES, PROVENANCE, assert_same, make, make_table

from astro_iicnet.exceptions import IICnetError, SourcesError
from astro_iicnet.fusion.colours import from_table
from astro_iicnet.output import check_output, check_storable, read_results, write_results
from astro_iicnet.results import RESULT_COLUMNS


@pytest.mark.parametrize("kind", [Table, QTable])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 5), slice(0, 3), slice(0, 0)])
@pytest.mark.parametrize(
    "name", ["r.csv", "r.ecsv", "r.fits", "r.FITS", "r.fits.gz", "r.vot", "r.xml", "r.parquet", "r.tsv"]
)
def test_round_trip(tmp_path, kind, rows, name):
    if name == "r.parquet":
        pytest.importorskip("pyarrow")
    result = make(make_table(kind))[rows]
    before = result.copy()
    write_results(result, tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert_same(result, before)
    assert result.meta == before.meta
    read = read_results(tmp_path / name)
    assert read.colnames == result.colnames
    assert_same(read[list(RESULT_COLUMNS)], result[list(RESULT_COLUMNS)])
    assert [read[name].dtype for name in RESULT_COLUMNS] == [np.dtype(dtype) for dtype in DTYPES]
    for column in ("id", "mag", "count") if len(result) else ():
        assert_same(read[[column]], result[[column]])
    assert [text or "" for text in read["name"].tolist()] == result["name"].tolist()
    if name not in ("r.csv", "r.tsv"):
        assert read.meta == result.meta or {k: v for k, v in read.meta.items() if v} == result.meta
        assert read["ra"].unit == u.deg
        assert read["iicnet_class"].description == "Most probable class"


@pytest.mark.parametrize("name", ["r.csv", "r.ecsv", "r.fits", "r.vot", "r.parquet"])
def test_who_served_a_row(tmp_path, name):
    served_by = np.array(["irsa", "aws", "irsa", "", ""])
    write_results(make(served_by=served_by), tmp_path / name)
    assert read_results(tmp_path / name)["iicnet_images"].tolist() == served_by.tolist()


@pytest.mark.parametrize("name", ["r.csv", "r.ecsv", "r.fits", "r.vot", "r.parquet"])
def test_prediction_sets(tmp_path, name):
    sets = np.array(["galaxy", "galaxy|quasar|star", "", "", ""])
    result = make(sets=sets)
    write_results(result, tmp_path / name)
    read = read_results(tmp_path / name)
    assert read.colnames == result.colnames
    assert_same(read[["iicnet_set"]], result[["iicnet_set"]])
    assert read["iicnet_set"].tolist() == ["galaxy", "galaxy|quasar|star", "", None, None]


def test_any_table_reader_sees_the_columns(tmp_path):
    for name in ("r.csv", "r.ecsv", "r.fits", "r.vot"):
        write_results(make(), tmp_path / name)
        read = Table.read(tmp_path / name)
        assert read.colnames == make().colnames
        assert read["iicnet_p_star"].mask.tolist() == [False] * 3 + [True] * 2
    with fits.open(tmp_path / "r.fits") as hdus:
        assert "iicnet-sim-v3" in hdus[1].header["IICNET"]
        assert hdus[1].columns["iicnet_flags"].format == "I"


@pytest.mark.parametrize("name", ["r.ecsv", "r.fits", "r.parquet", "r.csv", "r.vot"])
def test_coordinate_and_time_columns(tmp_path, name):
    if name == "r.parquet":
        pytest.importorskip("pyarrow")
    table = make_table()
    table.remove_columns(["ra", "dec"])
    table["coord"] = SkyCoord([1, 2, 3, np.nan, 5], [1, 2, 3, 4, 5], unit="deg")
    table["mjd"] = Time(np.arange(55000.0, 55005), format="mjd")
    write_results(make(table), tmp_path / name)
    read = read_results(tmp_path / name)
    if name in ("r.csv", "r.vot"):
        np.testing.assert_array_equal(read["coord.ra"][:3], [1, 2, 3])
        np.testing.assert_array_equal(read["mjd"], table["mjd"].mjd)
    else:
        np.testing.assert_array_equal(read["coord"].ra.deg, table["coord"].ra.deg)
        np.testing.assert_array_equal(getattr(read["mjd"], "mjd", read["mjd"]), table["mjd"].mjd)


@pytest.mark.parametrize("name", ["r.ecsv", "r.fits", "r.parquet", "r.csv", "r.vot"])
def test_pandas_columns(tmp_path, name):
    if name == "r.parquet":
        pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "ra": np.arange(5.0),
            "dec": np.arange(5.0),
            "text": ["a", None, "c", "d", "é"],
            "mixed": np.array(["a", None, 1.5, "d", 2], dtype=object),
            "whole": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "kind": pd.Categorical(list("abcab")),
            "date": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", None]),
        }
    )
    write_results(make(frame), tmp_path / name)
    read = read_results(tmp_path / name)
    assert len(read) == 5
    assert read["text"][4] == "é"
    assert str(read["mixed"][2]) == "1.5"
    assert read["whole"].tolist() == [1, None, 3, 4, 5]
    assert str(read["date"][1]).startswith("2020-01-02")


@pytest.mark.parametrize("mask", [None, [False, True, False, False, False]])
@pytest.mark.parametrize("name", ["r.fits", "r.ecsv", "r.parquet"])
def test_small_integers_and_unknown_truth(tmp_path, name, mask):
    """FITS has neither integers of one signed byte nor a truth that is unknown: both become integers."""
    table = make_table()
    table["visits"] = MaskedColumn(np.array([0, 7, -3, 12, -128], np.int8), mask=mask)
    table["variable"] = MaskedColumn([True, True, False, True, False], mask=mask)
    check_storable(table, tmp_path / name)
    write_results(make(table), tmp_path / name)
    read = read_results(tmp_path / name)
    for column in ("visits", "variable"):
        assert read[column].tolist() == table[column].tolist()
    assert table["visits"].dtype == np.int8


def test_meta_that_a_format_cannot_hold(tmp_path):
    table = make_table()
    table["odd"] = Column(np.ones(5), unit=u.Unit("furlongs/foo", parse_strict="silent"))
    table.meta |= {"nested": {"a": [1]}, "a long keyword": "é", "description": "my list"}
    for name in ("r.ecsv", "r.fits", "r.vot", "r.csv"):
        write_results(make(table), tmp_path / name)
        read = read_results(tmp_path / name)
        if name != "r.csv":
            assert read.meta["astro_iicnet"] == PROVENANCE
            assert read.meta["description"] == "my list"


@pytest.mark.parametrize(
    "unit", ["mag(AB)", "mag(ST)", "dex(cm / s2)", "nmgy", "hourangle", "1.5 Jy", "mag", ""]
)
def test_units_that_fits_does_not_know(tmp_path, unit):
    """The file says them in words, for any reader; the table read back has them as they were."""
    table = make_table()
    table["x"] = MaskedColumn([1.5, 2, 3, 4, 5], mask=[0, 1, 0, 0, 0], unit=unit, description="of mine")
    check_storable(table, tmp_path / "r.fits")
    write_results(make(table), tmp_path / "r.fits")
    assert not isinstance(table["x"].unit, u.UnrecognizedUnit)
    read = read_results(tmp_path / "r.fits")["x"]
    assert (read.unit or u.dimensionless_unscaled) == u.Unit(unit)
    assert read.tolist() == [1.5, None, 3, 4, 5]
    assert read.description == "of mine"
    header = fits.getheader(tmp_path / "r.fits", 1)
    place = next(key for key, value in header.items() if key.startswith("TTYPE") and value == "x")
    assert header.get(place.replace("TTYPE", "TUNIT"), "") == unit


@pytest.mark.parametrize("name", ["r.fits", "r.ecsv", "r.vot"])
def test_ab_magnitudes_stay_ab_magnitudes(tmp_path, name):
    table = make_table()
    for band in ("w1mpro", "w2mpro"):
        table[band] = Column(np.full(5, 17.0), unit="mag(AB)")
    write_results(make(table), tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        plain = Table.read(tmp_path / name)
    assert str(plain["w1mpro"].unit) == "mag(AB)"
    read = read_results(tmp_path / name)
    assert read["w1mpro"].unit == u.Unit("mag(AB)")
    for table in (plain, read):
        # 2.699 and 3.339 mag lie between AB and Vega: Explanatory Supplement of WISE, section IV.4.h.
        found = from_table(table, ["W1", "W2"]).mag
        np.testing.assert_allclose(found, [[17 - 2.699, 17 - 3.339]] * 5, rtol=1e-6)


def test_a_table_without_provenance(tmp_path):
    table = make()
    del table.meta["astro_iicnet"]
    for name in ("r.fits", "r.vot"):
        write_results(table, tmp_path / name)
        assert "astro_iicnet" not in read_results(tmp_path / name).meta


def test_result_as_input_again(tmp_path):
    write_results(make(), tmp_path / "r.fits")
    table = Table.read(tmp_path / "r.fits")
    table.remove_columns(list(RESULT_COLUMNS))
    write_results(make(table, provenance={"run": 2}), tmp_path / "r.fits")
    assert read_results(tmp_path / "r.fits").meta["astro_iicnet"] == {"run": 2}


def test_overwrite(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("old")
    with pytest.raises(IICnetError, match="it exists"):
        write_results(make(), path, overwrite=False)
    assert path.read_text() == "old"
    write_results(make(), path)
    assert len(read_results(path)) == 5


@pytest.mark.parametrize("name", ["r.csv", "r.fits", "r.fits.gz", "r.parquet"])
def test_written_in_another_folder_first(tmp_path, monkeypatch, name):
    (tmp_path / "scratch").mkdir()
    replace, seen = os.replace, []

    def look(part, target):
        seen.append(str(part))
        replace(part, target)

    monkeypatch.setattr(os, "replace", look)
    write_results(make(), tmp_path / name, scratch=tmp_path / "scratch")
    assert seen == [str(tmp_path / "scratch" / name)]
    assert os.listdir(tmp_path / "scratch") == []
    assert len(read_results(tmp_path / name)) == 5


def test_columns_are_tried_before_the_work(tmp_path):
    table = make_table()
    check_storable(table, tmp_path / "r.csv")
    check_storable(table, None)
    table["image"] = np.ones((5, 2))
    check_storable(table, tmp_path / "r.fits")
    check_storable(table, None)
    with pytest.raises(IICnetError, match=r"Cannot write .*r\.csv"):
        check_storable(table, tmp_path / "r.csv")
    assert os.listdir(tmp_path) == []


def test_all_objects_are_tried(tmp_path):
    table = Table({"ra": np.zeros(3000), "odd": np.array([None] * 2999 + [{1, 2}], dtype=object)})
    with pytest.raises(IICnetError, match="ECSV"):
        check_storable(table, None)
    with pytest.raises(IICnetError):
        check_storable(table, tmp_path / "r.ecsv")
    check_storable(table, tmp_path / "r.csv")


def test_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "r.csv").symlink_to(tmp_path / "real" / "r.csv")
    write_results(make(), tmp_path / "r.csv")
    assert (tmp_path / "r.csv").is_symlink()
    assert len(read_results(tmp_path / "real" / "r.csv")) == 5


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("old")
    table = make()
    table["image"] = np.ones((5, 2))
    with pytest.raises(IICnetError, match=r"Cannot write .*r\.csv.*") as info:
        write_results(table, path)
    assert info.value.__suppress_context__
    assert "\n" not in str(info.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.csv"]


def test_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    path.write_text("old")

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_results(make(), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.csv"]


@pytest.mark.parametrize("name", ["r", "r.foo", "r.csv.gz", "r.npz"])
def test_unknown_format(tmp_path, name):
    with pytest.raises(IICnetError, match=r"no table format.*\.ecsv, \.fits"):
        write_results(make(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_formats_that_astropy_recognises(tmp_path):
    assert check_output(tmp_path / "r.html") == (tmp_path / "r.html").resolve()
    write_results(make(), tmp_path / "r.tex")
    assert "iicnet" in (tmp_path / "r.tex").read_text()


def test_output_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(IICnetError, match=r"the folder .*nowhere' does not exist"):
        check_output(tmp_path / "nowhere" / "r.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IICnetError, match="not an ordinary file"):
        check_output(tmp_path / "folder.csv")
    with pytest.raises(IICnetError, match="not an ordinary file"):
        check_output("/dev/null")
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(IICnetError, match="no permission"):
        check_output(tmp_path / "r.csv")


def test_read_results_of_something_else(tmp_path):
    make_table().write(tmp_path / "r.ecsv")
    with pytest.raises(SourcesError, match="not a table of results: it has no 'iicnet_class'"):
        read_results(tmp_path / "r.ecsv")
