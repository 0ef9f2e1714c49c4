"""Metrics against the paper's own numbers, numbers made by hand, and the definitions."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from astro_iicnet.analysis.metrics import (
    accuracy_by_magnitude,
    bootstrap_intervals,
    classification_metrics,
    confusion_matrix,
    expected_calibration_error,
    paired_bootstrap,
    wilson_interval,
)
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES

# Zhao et al. 2023, Fig. 18 (row predicted, column true) and Table 2 (percent).
FIGURE_18 = np.array([[680, 9, 24], [16, 700, 9], [34, 12, 689]])
TABLE_2 = {
    "precision": [95.4, 96.6, 93.7],
    "recall": [93.2, 97.1, 95.4],
    "specificity": [97.7, 98.3, 96.8],
    "f1": [94.3, 96.8, 94.5],
    "accuracy": [96.2, 97.9, 96.4],
}


def sample_of(matrix):
    """Labels and predictions with this confusion matrix."""
    predicted, true = np.indices(matrix.shape)
    return np.repeat(true.ravel(), matrix.ravel()), np.repeat(predicted.ravel(), matrix.ravel())


@pytest.fixture
def random_sample(rng):
    labels = rng.integers(0, 3, 4000)
    logits = rng.normal(size=(4000, 3))
    logits[np.arange(4000), labels] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def test_paper_matrix_gives_the_paper_table():
    labels, predicted = sample_of(FIGURE_18)
    np.testing.assert_array_equal(confusion_matrix(labels, predicted), FIGURE_18)
    table = classification_metrics(labels, np.eye(3)[predicted])
    assert list(table["class"]) == list(CLASSES)
    for name, values in TABLE_2.items():
        if name == "f1":
            # The paper's F1 of galaxy and star comes from its rounded precision and recall.
            np.testing.assert_allclose(100 * table[name], [94.2, 96.8, 94.6], atol=0.05)
            precision, recall = np.array(TABLE_2["precision"]), np.array(TABLE_2["recall"])
            np.testing.assert_allclose(2 * precision * recall / (precision + recall), values, atol=0.05)
        else:
            np.testing.assert_allclose(100 * table[name], values, atol=0.05)
    assert table.meta["accuracy"] == (2173 - 104) / 2173
    assert list(table["n"]) == [730, 721, 722]


def test_small_case_by_hand():
    # true:      g g g q q s; predicted: g g s q g s
    labels = [0, 0, 0, 1, 1, 2]
    probabilities = np.array(
        [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.3, 0.1, 0.6], [0.1, 0.9, 0.0], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]
    )
    table = classification_metrics(labels, probabilities)
    np.testing.assert_array_equal(table.meta["confusion_matrix"], [[2, 1, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(table["precision"], [2 / 3, 1, 1 / 2])
    np.testing.assert_allclose(table["recall"], [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(table["specificity"], [2 / 3, 1, 4 / 5])
    np.testing.assert_allclose(table["f1"], [2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(table["accuracy"], [4 / 6, 5 / 6, 5 / 6])
    # Pairs in the right order: 8 of 9, 8 of 8, 5 of 5.
    np.testing.assert_allclose(table["auc"], [8 / 9, 1, 1])
    assert table.meta["accuracy"] == pytest.approx(4 / 6)


def test_against_definitions(random_sample):
    labels, probabilities = random_sample
    table = classification_metrics(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    for index in range(3):
        is_it, called_it = labels == index, predicted == index
        row = table[index]
        assert row["precision"] == pytest.approx(is_it[called_it].mean())
        assert row["recall"] == pytest.approx(called_it[is_it].mean())
        assert row["specificity"] == pytest.approx((~called_it)[~is_it].mean())
        assert row["accuracy"] == pytest.approx((is_it == called_it).mean())
        pairs = probabilities[is_it, index][:, None] > probabilities[~is_it, index]
        assert row["auc"] == pytest.approx(pairs.mean())
    macro = roc_auc_score(labels, probabilities, multi_class="ovr")
    assert table["auc"].mean() == pytest.approx(macro)


def test_class_that_is_absent():
    table = classification_metrics([0, 0, 1], [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    assert np.isnan(table["recall"][2])
    assert np.isnan(table["precision"][2])
    assert np.isnan(table["auc"][2])
    assert table["specificity"][2] == 1
    alone = classification_metrics([0, 0], [[1, 0, 0], [1, 0, 0]])
    assert np.isnan(alone["specificity"][0])


def test_calibration_error_by_hand():
    # Two bins: four rows of confidence 0.9 (3 right), two of confidence 0.5 (2 right).
    probabilities = np.array([[0.9, 0.1, 0]] * 4 + [[0.3, 0.5, 0.2]] * 2)
    labels = [0, 0, 0, 1, 1, 1]
    expected = 4 / 6 * abs(0.75 - 0.9) + 2 / 6 * abs(1 - 0.5)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)
    assert expected_calibration_error([0, 1], [[1, 0, 0], [0, 1, 0]]) == 0
    assert expected_calibration_error([1, 2], [[1, 0, 0], [0, 1, 0]]) == 1


def test_calibration_error_against_loop(random_sample):
    labels, probabilities = random_sample
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(labels, probabilities) == pytest.approx(total)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (2069, 2173), (1, 1)])
def test_wilson_interval_is_that_of_scipy(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_accuracy_by_magnitude(random_sample, rng):
    labels, probabilities = random_sample
    # Quasars are fainter: brightness alone tells something.
    magnitudes = rng.uniform(10, 16, 4000) + 2 * (labels == 1)
    magnitudes[:5] = np.nan
    edges = [10, 13, 16, 18, 19]
    table = accuracy_by_magnitude(labels, probabilities, np.ma.masked_invalid(magnitudes), edges)
    right = probabilities.argmax(axis=1) == labels
    for row in table[:3]:
        inside = (magnitudes >= row["low"]) & (magnitudes < row["high"])
        assert row["n"] == inside.sum()
        assert row["accuracy"] == pytest.approx(right[inside].mean())
        assert row["recall_quasar"] == pytest.approx(right[inside & (labels == 1)].mean())
    assert table["n"].sum() == np.isfinite(magnitudes).sum()
    assert table["n"][3] == 0
    assert np.isnan(table["accuracy"][3])
    inside = (magnitudes >= 13) & (magnitudes < 16)
    expected = balanced_accuracy_score(labels[inside], probabilities[inside].argmax(axis=1))
    assert table["balanced_accuracy"][1] == pytest.approx(expected)
    # Only quasars are fainter than 16: nothing there to match.
    assert np.isnan(table["balanced_accuracy"][2])
    assert table.meta["matched_n"] == 3 * sum(
        min(table[f"n_{name}"][row] for name in CLASSES) for row in range(3)
    )


def test_matched_accuracy_is_that_of_thinned_samples(random_sample, rng):
    labels, probabilities = random_sample
    magnitudes = rng.uniform(10, 16, 4000) + 2 * (labels == 1)
    edges = np.array([10, 13, 16, 18])
    expected = accuracy_by_magnitude(labels, probabilities, magnitudes, edges).meta["matched_accuracy"]
    right = probabilities.argmax(axis=1) == labels
    bins = np.digitize(magnitudes, edges)
    thinned = []
    for _ in range(200):
        rows = []
        for index in range(1, 4):
            members = [np.flatnonzero((bins == index) & (labels == label)) for label in range(3)]
            size = min(map(len, members))
            rows += [rng.choice(group, size, replace=False) for group in members]
        thinned.append(right[np.concatenate(rows)].mean())
    assert expected == pytest.approx(np.mean(thinned), abs=4 * np.std(thinned) / np.sqrt(200))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], np.zeros((0, 3)), "N at least 1"),
        ([0, 1], np.eye(3), r"expected \(N,\) and \(N, 3\)"),
        ([0, 3, 1], np.eye(3), "from 0 to 2"),
        ([0.0, 1, 2], np.eye(3), "whole numbers"),
        ([0, 1, 2], np.full((3, 3), np.nan), "finite"),
        ([0, 1, 2], np.ones((3, 3)), "sums of 1"),
    ],
)
def test_refuses_nonsense(labels, probabilities, message):
    with pytest.raises(IICnetError, match=message):
        classification_metrics(labels, probabilities)


@pytest.mark.parametrize("edges", [[1], [2, 1], [1, 1], [[1, 2]]])
def test_refuses_bad_edges(edges):
    with pytest.raises(IICnetError, match="rising"):
        accuracy_by_magnitude([0, 1, 2], np.eye(3), [1, 1, 1], edges)


def test_refuses_other_length():
    with pytest.raises(IICnetError, match="expected one for each"):
        accuracy_by_magnitude([0, 1, 2], np.eye(3), [1, 2], [0, 3])


def test_bootstrap_intervals_are_those_of_resampled_sources(random_sample):
    labels, probabilities = random_sample
    found = bootstrap_intervals(labels, probabilities, n_resamples=4000)
    rng = np.random.default_rng(5)
    resamples = []
    for _ in range(400):
        rows = rng.integers(0, len(labels), len(labels))
        table = classification_metrics(labels[rows], probabilities[rows])
        names = ("precision", "recall", "specificity", "f1", "accuracy")
        resamples.append([np.asarray(table[name]) for name in names])
    low, high = np.quantile(resamples, [0.025, 0.975], axis=0)
    for index, name in enumerate(names):
        width = high[index] - low[index]
        assert np.all(np.abs(found[f"{name}_low"] - low[index]) < 0.25 * width)
        assert np.all(np.abs(found[f"{name}_high"] - high[index]) < 0.25 * width)
    accuracy = classification_metrics(labels, probabilities).meta["accuracy"]
    assert found.meta["accuracy_low"] < accuracy < found.meta["accuracy_high"]


def test_paired_bootstrap():
    """100 sources: 90 right with both, 6 with the first alone, 1 with the second alone."""
    labels = np.zeros(100, int)
    right, wrong = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]
    first = np.array([right] * 96 + [wrong] * 4)
    second = np.array([right] * 90 + [wrong] * 6 + [right] + [wrong] * 3)
    found = paired_bootstrap(labels, first, second)
    assert found.value == pytest.approx(0.05)
    # The normal limit: variance of the mean of 6 ones, 1 minus one and 93 zeros.
    sigma = np.sqrt((7 / 100 - 0.05**2) / 100)
    assert found.low == pytest.approx(0.05 - 1.96 * sigma, abs=0.011)
    assert found.high == pytest.approx(0.05 + 1.96 * sigma, abs=0.011)
    assert paired_bootstrap(labels, first, first) == (0, 0, 0)
    turned = paired_bootstrap(labels, second, first)
    assert turned.value == -found.value
    with pytest.raises(IICnetError, match="expected"):
        paired_bootstrap(labels, first, second[:99])
