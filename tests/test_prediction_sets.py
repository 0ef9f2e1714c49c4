"""Prediction sets against counts on fresh draws, and against a plain computation."""

import math

import numpy as np
import pytest

from astro_iicnet.exceptions import IICnetError, WeightsError
from astro_iicnet.labels import CLASSES
from astro_iicnet.prediction_sets import find_thresholds, prediction_sets
from astro_iicnet.training.calibration import LEVELS, tabulate_scores

# Class 0 is hard to tell from class 2, as faint galaxies are from faint stars.
CENTRES = np.array([[-1.0, 0.0], [0.0, 3.0], [1.0, 0.0]])


def draw(rng, n, fractions=(1 / 3, 1 / 3, 1 / 3)):
    """Labels in these fractions, and the true posterior for equal ones."""
    labels = rng.choice(3, size=n, p=fractions)
    x = CENTRES[labels] + rng.normal(size=(n, 2))
    likelihood = np.exp(-((x[:, None] - CENTRES) ** 2).sum(axis=2) / 2)
    return (likelihood / likelihood.sum(axis=1, keepdims=True)).astype(np.float32), labels


def sets(table, probabilities, coverage):
    return prediction_sets(probabilities, find_thresholds({"name": "w", "set_scores": table}, coverage))


def hits(table, probabilities, labels, coverage):
    found = sets(table, probabilities, coverage)
    return np.array([CLASSES[label] in one.split("|") for label, one in zip(labels, found, strict=True)])


@pytest.mark.parametrize("coverage", [0.3, 0.8, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("fractions", [(1 / 3, 1 / 3, 1 / 3), (0.05, 0.05, 0.9)])
def test_coverage_on_fresh_draws_of_each_class_and_of_any_mixture(rng, coverage, fractions):
    n_calibration, n = 20_000, 60_000
    table = tabulate_scores(*draw(rng, n_calibration))
    probabilities, labels = draw(rng, n, fractions)
    right = hits(table, probabilities, labels, coverage)
    for label in range(3):
        own = right[labels == label]
        spread = math.sqrt(coverage * (1 - coverage) * (1 / len(own) + 3 / n_calibration))
        assert abs(own.mean() - coverage) < 4 * spread
    spread = math.sqrt(coverage * (1 - coverage) * (1 / n + 3 / n_calibration))
    assert abs(right.mean() - coverage) < 4 * spread


def test_few_calibration_sources_still_keep_the_promise(rng):
    """Mean over many calibrations of 19 sources of a class: (n + 1) c is whole, so it is exact."""
    probabilities, labels = draw(rng, 500)
    right = []
    for _ in range(400):
        few, of_few = draw(rng, 120)
        rows = np.concatenate([np.flatnonzero(of_few == label)[:19] for label in range(3)])
        table = tabulate_scores(few[rows], of_few[rows])
        right.append(hits(table, probabilities, labels, 0.9).mean())
    assert np.mean(right) == pytest.approx(0.9, abs=0.01 + 4 * np.std(right) / math.sqrt(400))


def test_thresholds_are_the_ranked_scores(rng):
    probabilities, labels = draw(rng, 999)
    table = tabulate_scores(probabilities, labels)
    assert table["n"] == np.bincount(labels).tolist()
    for coverage in (0.01, 0.5, 0.95, 0.999):
        found = find_thresholds({"name": "w", "set_scores": table}, coverage)
        for label in range(3):
            own = sorted((float(p) for p in probabilities[labels == label, label]), reverse=True)
            rank = math.ceil((len(own) + 1) * coverage - 1e-9)
            expected = own[rank - 1] if rank <= len(own) else 0.0
            assert found[label] == pytest.approx(expected, abs=1.1e-6)
            assert found[label] <= expected


def test_between_levels_the_higher_one_is_taken(rng):
    record = {"name": "w", "set_scores": tabulate_scores(*draw(rng, 5000))}
    np.testing.assert_array_equal(find_thresholds(record, 0.683), find_thresholds(record, 0.69))
    assert (find_thresholds(record, 0.69) > find_thresholds(record, 0.70)).all()
    np.testing.assert_array_equal(find_thresholds(record, 0.9999), 0)
    assert list(LEVELS) == sorted(set(LEVELS))


def test_words_of_the_sets():
    probabilities = np.array(
        [[0.5, 0.1, 0.4], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [np.nan] * 3, [0.3, 0.3, 0.4]]
    )
    found = prediction_sets(probabilities, np.array([0.3, 0.3, 0.4]))
    assert found.tolist() == ["galaxy|star", "star", "quasar", "", "galaxy|quasar|star"]
    assert prediction_sets(probabilities, np.array([0.4, 0.4, 0.5])).tolist()[-1] == ""
    assert prediction_sets(probabilities[:0], np.zeros(3)).tolist() == []


@pytest.mark.parametrize("coverage", [0, 1, -0.5, np.nan, "0.95", True])
def test_coverage_that_is_none(coverage):
    with pytest.raises(IICnetError, match="between 0 and 1"):
        find_thresholds({"name": "w", "set_scores": {"coverage": [0.5]}}, coverage)


def test_coverage_in_per_cent():
    with pytest.raises(IICnetError, match=r"coverage is 95, .* Did you mean 0\.95\?"):
        find_thresholds({"name": "w"}, 95)


@pytest.mark.parametrize("record", [{"name": "mine-v1"}, {"name": "mine-v1", "set_scores": None}])
def test_weights_without_a_table(record):
    with pytest.raises(WeightsError, match=r"'mine-v1' have no table .* leave coverage out"):
        find_thresholds(record, 0.95)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((2, 2)), [0, 1], r"expected \(N, 3\)"),
        (np.zeros((2, 3)), [0], r"labels \(1,\)"),
        (np.full((1, 3), np.nan), [0], "not finite"),
        (np.full((2, 3), 1 / 3), [0, 2], r"\[1, 0, 1\] sources of galaxy, quasar, star"),
    ],
)
def test_tables_that_cannot_be_made(probabilities, labels, message):
    with pytest.raises(IICnetError, match=message):
        tabulate_scores(probabilities, labels)
