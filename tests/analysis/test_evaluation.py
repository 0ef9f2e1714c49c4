"""The page of labelled cutouts: its numbers are those of the metrics, its figures are all there."""

import re
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.table import Table

from astro_iicnet.analysis.evaluation import evaluation_report
from astro_iicnet.analysis.groups import group_misclassified
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import new_weights


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
    # Confusion, ROC, reliability, two accuracies, probabilities, S/N, three histograms, colours twice.
    assert page.count("data:image/svg+xml") == 12
    shown = sum(min(6, count) for count in np.unique_counts(group_misclassified(*sample)["group"]).counts)
    assert page.count("data:image/png") == 3 + shown + min(12, doubtful.sum())
    for label, name in enumerate(classes):
        highest = probabilities[right & (labels == label)].max(axis=0)
        assert f"{highest[label]:.6f}" in text
        assert f"in {(labels == label).sum()} pictures of the class {name}." in text
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
    text = words(evaluation_report(cutouts, labels, np.eye(3)[labels]))
    assert "0 are wrong." in text
    assert "0 are right with a probability below 0.6." in text


def test_all_wrong(sample):
    cutouts, labels, _ = sample
    text = words(evaluation_report(cutouts, labels, np.eye(3)[(labels + 1) % 3]))
    assert "90 are wrong" in text
    assert "One of each class" not in text
    assert "galaxy found quasar" in text


def test_layers_of_the_weights(sample):
    page = evaluation_report(*sample, weights=new_weights("random-v1"))
    captions = re.findall(r"<figcaption>The (\w+) and, for its inner 50 arcsec", page)
    assert captions == ["galaxy", "quasar", "star"]
    attributed = page.count("red pixels spoke for the class found")
    assert attributed == (6 if find_spec("captum") else 0)  # as alternative text and as caption
    assert ("needs captum" in page) is not bool(attributed)


def test_weights_of_another_architecture_have_no_maps(sample):
    page = evaluation_report(*sample, weights=new_weights("other-v1", architecture="student"))
    assert "architecture &#x27;iicnet&#x27;" in page
    assert "inner 50 arcsec" not in page


def test_history_of_the_training(sample):
    names = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
    page = evaluation_report(*sample, history=Table({"epoch": [1, 2], **dict.fromkeys(names, [1.0, 0.5])}))
    assert "The training: accuracy by epoch." in words(page)
    assert page.count("data:image/svg+xml") == 14
    with pytest.raises(IICnetError, match="the history of a training"):
        evaluation_report(*sample, history=Table({"a": [1]}))


def test_headings_and_words_for_those_who_do_not_see(sample):
    page = evaluation_report(*sample)
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert page.count("<img") == len(re.findall(r'<img[^>]* alt="[^"]+"', page))


def test_lengths_that_differ(sample):
    cutouts, labels, probabilities = sample
    with pytest.raises(IICnetError, match="90 cutouts"):
        evaluation_report(cutouts, labels[:5], probabilities[:5])
