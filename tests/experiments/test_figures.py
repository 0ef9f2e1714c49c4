"""The figures of a run, made of small tables and of a few simulated sources."""

import numpy as np
import pytest
from astropy.table import Table, vstack
from matplotlib.image import imread

from astro_iicnet.experiments import paper
from astro_iicnet.experiments.budgets import BUDGETS
from astro_iicnet.experiments.figures import draw_figures
from astro_iicnet.experiments.networks import make_predictions
from astro_iicnet.experiments.run import Run, write_table
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.datasets import Split
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import new_weights, save_weights


def accuracies(names, **columns):
    accuracy = np.linspace(0.8, 0.9, len(names))
    table = Table({"network": names, "accuracy": accuracy})
    table["accuracy_low"], table["accuracy_high"] = accuracy - 0.01, accuracy + 0.01
    table["paper_accuracy"] = np.ma.masked_invalid([0.95] + [np.nan] * (len(names) - 1))
    for name, values in columns.items():
        table[name] = values
    return table


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, BUDGETS["smoke"], 1, "cpu", False)


@pytest.fixture
def tested(run, rng):
    """A run that has IICnet, untrained, and probabilities for its test set made by hand."""
    run.__dict__["sample"] = simulate_dataset(30, seed=4, bands=("W1", "W2", "W3", "W4"))
    run.__dict__["split"] = Split(np.arange(0), np.arange(30), np.arange(0))
    logits = rng.normal(size=(30, 3))
    logits[np.arange(30), run.labels] += 1.5
    folder = run.folder / "networks" / "iicnet"
    folder.mkdir(parents=True)
    write_table(folder / "test.ecsv", make_predictions(run, logits))
    weights = new_weights("iicnet", architecture="iicnet", seed=1)
    save_weights(folder / "weights.safetensors", weights)
    return run


def names(paths):
    return [path.stem for path in paths]


def test_tables_have_figures_each_of_its_own(run):
    history = Table({"epoch": [1, 2], "train_loss": [1.0, 0.5], "validation_loss": [1.1, 0.7]})
    history["train_accuracy"], history["validation_accuracy"] = [0.5, 0.8], [0.5, 0.7]
    curves = [history.copy(), history.copy()]
    for curve, name in zip(curves, ("iicnet", "vgg16"), strict=True):
        curve["network"] = name
    matrix = np.array([[8, 1, 0], [1, 9, 2], [1, 0, 8]])
    counts = Table({"predicted": list(CLASSES)})
    for index, name in enumerate(CLASSES):
        counts[name], counts[f"paper_{name}"] = matrix[:, index], np.array(paper.CONFUSION_MATRIX)[:, index]
    missing = accuracies(["iicnet", "vgg16"])
    for name in ("accuracy", "accuracy_low", "accuracy_high"):
        missing[name] = np.ma.masked_array(missing[name], [False, True])
    tables = {
        "networks": missing,
        "learning_curves": vstack(curves),
        "confusion_matrix": counts,
        "input_size": accuracies(["iicnet-64px", "iicnet"], size=[64, 80]),
        "methods": accuracies(["iicnet", "student", "fusion"]),
        "cuts": Table({"selection": ["Stern 2012"], "purity": [0.9]}),
    }
    paths = draw_figures(run, tables)
    expected = ["networks", "training", "learning_curves", "confusion_matrix", "input_size", "methods"]
    assert names(paths) == expected
    assert sorted(paths) == sorted((run.folder / "figures").iterdir())
    for path in paths:
        assert path.stat().st_size < 60_000
        assert min(imread(path).shape[:2]) > 100


def test_a_run_with_iicnet_shows_sample_and_errors(tested):
    found = names(draw_figures(tested, {}))
    performance, sample = ["roc", "reliability", "brightness"], ["snr", "rgb_histograms", "colour_plane"]
    assert found == [
        *performance, *sample, "examples", "feature_maps", "misclassified", "outliers", "outlier_pictures"
    ]  # fmt: skip
    assert all(path.stat().st_size < 60_000 for path in (tested.folder / "figures").iterdir())


def test_what_is_not_there_is_not_drawn(tested):
    sure = np.full((30, 3), -9.0)
    sure[np.arange(30), tested.labels] = 9
    write_table(tested.folder / "networks" / "iicnet" / "test.ecsv", make_predictions(tested, sure))
    found = names(draw_figures(tested, {}))
    assert "roc" in found
    assert not {"misclassified", "outliers", "outlier_pictures"} & set(found)


def test_the_numbers_of_the_paper_agree_with_each_other():
    wrong = np.sum(paper.CONFUSION_MATRIX) - np.trace(paper.CONFUSION_MATRIX)
    assert sum(paper.GROUPS) == wrong == 104
