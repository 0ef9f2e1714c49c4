"""The result table: rows, masks, names."""

import numpy as np
import pytest
from astropy.table import QTable, Table, vstack
from result_tables import DTYPES, FLAGS, PROBABILITIES, PROVENANCE, STATUS, assert_same, make, make_table

from astro_iicnet.exceptions import IICnetError, SourcesError
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.results import (
    RESULT_COLUMNS,
    check_names,
    class_counts,
    make_results,
    status_counts,
    summarise,
)
from astro_iicnet.sources import read_sources


def test_names_are_fixed():
    assert RESULT_COLUMNS == (
        "iicnet_class",
        "iicnet_p_galaxy",
        "iicnet_p_quasar",
        "iicnet_p_star",
        "iicnet_status",
        "iicnet_flags",
    )


@pytest.mark.parametrize("kind", [Table, QTable])
def test_columns(kind):
    table = make_table(kind)
    result = make(table)
    assert type(result) is kind
    assert result.colnames == [*table.colnames, *RESULT_COLUMNS]
    assert [result[name].dtype for name in RESULT_COLUMNS] == [np.dtype(dtype) for dtype in DTYPES]
    assert result["iicnet_class"].tolist() == ["galaxy", "quasar", "star", None, None]
    for i, name in enumerate(CLASSES):
        column = result[f"iicnet_p_{name}"]
        assert column.mask.tolist() == [False] * 3 + [True] * 2
        np.testing.assert_array_equal(column[:3], np.array(PROBABILITIES, np.float32)[:3, i])
    assert result["iicnet_status"].tolist() == ["ok", "ok", "ok", "bad_coordinates", "retrieval_failed"]
    assert_same(result[table.colnames], table)
    assert result.meta["astro_iicnet"] == PROVENANCE


def test_low_confidence():
    flags = make()["iicnet_flags"].tolist()
    # 0.6 in float32 is not below 0.6.
    assert flags == [0, 4 | 1, 16 | 8, 0, 0]
    assert make(flags=[1, 1, 1, 1, 1])["iicnet_flags"].tolist() == [0, 1, 0, 0, 0]


def test_unknown_without_status_ok():
    result = make(probabilities=[[0.5, 0.4, 0.1]] * 5)
    assert result["iicnet_class"].tolist() == ["galaxy"] * 3 + [None] * 2
    assert result["iicnet_flags"].tolist()[3:] == [0, 0]


def test_ok_without_probabilities_becomes_bad_pixels():
    result = make(probabilities=[[1, 0, np.inf], [np.nan, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert result["iicnet_status"].tolist()[:3] == ["bad_pixels", "bad_pixels", "ok"]
    assert result["iicnet_class"].tolist()[:3] == [None, None, "galaxy"]


def test_inputs_are_not_modified():
    sources = read_sources(make_table())
    before = sources.table.copy()
    status, flags, probabilities = np.array(STATUS, np.uint8), np.array(FLAGS), np.array(PROBABILITIES)
    probabilities[0] = np.nan
    arrays = [array.copy() for array in (status, flags, probabilities)]
    provenance = {"priors": (1, 2)}
    result = make_results(sources, probabilities, status, flags, provenance)
    result["id"][0] = -1
    assert sources.table.colnames == before.colnames
    assert_same(sources.table, before)
    assert sources.table.meta == {}
    for array, old in zip((status, flags, probabilities), arrays, strict=True):
        np.testing.assert_array_equal(array, old)
    assert provenance == {"priors": (1, 2)}


@pytest.mark.parametrize("changed", [{"probabilities": [[1, 0, 0]]}, {"status": [0]}, {"flags": [[0]] * 5}])
def test_arrays_of_the_wrong_shape(changed):
    with pytest.raises(IICnetError, match="has shape .* for 5 sources"):
        make(**changed)


def test_provenance_must_be_plain():
    with pytest.raises(TypeError):
        make(provenance={"a": object()})


@pytest.mark.parametrize("name", ["iicnet_class", "IICNET_P_STAR", "iicnet_Flags"])
def test_name_taken(name):
    table = make_table()
    table[name] = 1
    with pytest.raises(SourcesError, match=f"already has '{name}'.*rename_column.*remove_columns"):
        check_names(table)
    with pytest.raises(SourcesError):
        make(table)
    check_names(make_table())


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_rows_in_are_rows_out(rng, n):
    table = Table(
        {"id": rng.permutation(n), "ra": rng.uniform(-400, 400, n), "dec": rng.uniform(-100, 100, n)}
    )
    sources = read_sources(table)
    probabilities = rng.dirichlet([0.3] * 3, n).reshape(n, 3)
    result = make_results(sources, probabilities, sources.status, np.zeros(n, int), {})
    good = sources.status == Status.OK
    assert_same(result[table.colnames], table)
    assert [result[name].dtype for name in RESULT_COLUMNS] == [np.dtype(dtype) for dtype in DTYPES]
    assert np.array_equal(result["iicnet_class"].mask, ~good)
    assert np.array_equal(
        np.asarray(result["iicnet_class"])[good], np.array(CLASSES)[probabilities.argmax(axis=1)][good]
    )
    assert np.array_equal(result["iicnet_flags"] == 1, good & (probabilities.max(axis=1) < 0.6))
    assert sum(class_counts(result).values()) == good.sum()
    assert sum(status_counts(result).values()) == n


def test_chunks_stack_to_the_whole():
    sources = read_sources(make_table())
    parts = [
        make_results(sources[rows], np.array(PROBABILITIES)[rows], STATUS[rows], FLAGS[rows], PROVENANCE)
        for rows in (slice(0, 2), slice(2, 3), slice(3, 5))
    ]
    stacked = vstack(parts)
    assert_same(stacked, make())
    assert stacked.dtype == make().dtype


def test_counts_and_summary():
    result = make()
    assert class_counts(result) == {"galaxy": 1, "quasar": 1, "star": 1}
    assert status_counts(result) == {"ok": 3, "bad_coordinates": 1, "retrieval_failed": 1}
    lines = summarise(result).splitlines()
    assert lines[0] == "5 sources"
    assert [line.split() for line in lines[1:]] == [
        ["class"],
        ["galaxy", "1"],
        ["quasar", "1"],
        ["star", "1"],
        ["status"],
        ["ok", "3"],
        ["bad_coordinates", "1"],
        ["retrieval_failed", "1"],
    ]
    assert status_counts(result[:0]) == {"ok": 0}
    assert class_counts(result[3:]) == dict.fromkeys(CLASSES, 0)


def test_who_served_a_row():
    served_by = np.array(["irsa", "aws", "irsa", "", ""])
    result = make(served_by=served_by)
    assert result.colnames[-1] == "iicnet_images"
    assert result["iicnet_images"].tolist() == served_by.tolist()
    table = make_table()
    table["iicnet_images"] = 1
    with pytest.raises(SourcesError, match="iicnet_images"):
        check_names(table)


def test_prediction_sets():
    sets = np.array(["galaxy", "galaxy|quasar|star", "", "star", ""])
    result = make(sets=sets, served_by=np.full(5, "irsa"))
    assert result.colnames[-2:] == ["iicnet_set", "iicnet_images"]
    assert result["iicnet_set"].tolist() == ["galaxy", "galaxy|quasar|star", "", None, None]
    with pytest.raises(SourcesError, match="'iicnet_SET'"):
        check_names(Table({"iicnet_SET": [1]}))
