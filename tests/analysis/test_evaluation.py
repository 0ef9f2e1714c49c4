"""The page of labelled cutouts: its numbers are those of the metrics, its figures are all there."""

import re

import numpy as np
import pytest

from astro_iicnet.analysis.evaluation import evaluation_report
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset


@pytest.fixture(scope="module")
def sample():
    """Simulated cutouts and made-up probabilities, right more often than not."""
    cutouts, table = simulate_dataset(90, seed=3, workers=1)
    labels = class_labels(table)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(90, 3))
    logits[np.arange(90), labels] += 1.5
    return cutouts, labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]).split())


def test_numbers_and_figures(sample):
    cutouts, labels, probabilities = sample
    page = evaluation_report(*sample, title="Mine", about={"weights": "<mine>", "bands": ["W1", "W2"]})
    right = probabilities.argmax(axis=1) == labels
    text = words(page)
    assert f"{100 * right.mean():.2f} % accuracy" in text
    assert "90 sources judged of 90" in text
    assert f"{(~right).sum()} are wrong" in text
    doubtful = right & (probabilities.max(axis=1) < 0.6)
    assert f"{doubtful.sum()} are right with a probability below 0.6" in text
    surest = np.flatnonzero(~right)[probabilities[~right].max(axis=1).argmax()]
    classes = ("galaxy", "quasar", "star")
    expected = f"{classes[labels[surest]]}, found: {classes[probabilities[surest].argmax()]}"
    assert expected in text
    # Confusion, ROC, reliability, two accuracies, probabilities, S/N, colours.
    assert page.count("data:image/svg+xml") == 8
    assert page.count("data:image/png") == min(12, (~right).sum()) + min(12, doubtful.sum())
    assert "&lt;mine&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(href|src)=\"(?!data:)", page)


def test_rows_without_a_class_are_counted(sample):
    cutouts, labels, probabilities = sample
    probabilities = probabilities.copy()
    probabilities[:10] = np.nan
    assert "80 sources judged of 90" in words(evaluation_report(cutouts, labels, probabilities))
    with pytest.raises(IICnetError, match="No source has a class"):
        evaluation_report(cutouts, labels, np.full((90, 3), np.nan))


def test_fewer_bands(sample):
    cutouts, labels, probabilities = sample
    page = evaluation_report(cutouts.select_bands(("W1", "W2")), labels, probabilities)
    assert page.count("data:image/svg+xml") == 7
    assert "data:image/png" not in page


def test_all_right(sample):
    cutouts, labels, _ = sample
    page = evaluation_report(cutouts, labels, np.eye(3)[labels])
    assert "0 are wrong" in words(page)


def test_lengths_that_differ(sample):
    cutouts, labels, probabilities = sample
    with pytest.raises(IICnetError, match="90 cutouts"):
        evaluation_report(cutouts, labels[:5], probabilities[:5])
