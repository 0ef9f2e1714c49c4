"""What the figures show, read off the axes, against definitions and numbers made by hand."""

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from astro_iicnet.analysis.metrics import expected_calibration_error
from astro_iicnet.analysis.plots import (
    plot_accuracy_by_magnitude,
    plot_accuracy_by_snr,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_reliability,
    plot_roc,
)
from astro_iicnet.exceptions import IICnetError


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def sample(rng):
    labels = rng.integers(0, 3, 900)
    logits = rng.normal(size=(900, 3))
    logits[np.arange(900), labels] += 1.5
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def curve(ax, label):
    (line,) = [line for line in ax.lines if line.get_label().startswith(label)]
    return line.get_xydata().T


def test_confusion_matrix_in_the_layout_of_the_paper(ax):
    # Zhao et al. 2023, Fig. 18: row predicted, column true; 680 of 730 galaxies are 93.2 %.
    assert plot_confusion_matrix([[680, 9, 24], [16, 700, 9], [34, 12, 689]], ax=ax) is ax
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts[0, 0] == "680\n93.2 %"
    assert texts[2, 0].startswith("24\n")  # true stars called galaxies, in the row of galaxies
    assert texts[0, 2].startswith("34\n")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true class", "predicted class")
    assert ax.yaxis_inverted()


def test_confusion_matrix_without_members_or_of_another_shape(ax):
    plot_confusion_matrix(np.zeros((3, 3), int), ax=ax)
    with pytest.raises(IICnetError, match=r"expected \(3, 3\)"):
        plot_confusion_matrix(np.eye(2), ax=ax)


def test_roc(ax, sample):
    labels, probabilities = sample
    assert plot_roc(labels, probabilities, ax=ax) is ax
    area = roc_auc_score(labels == 1, probabilities[:, 1])
    assert f"quasar, AUC {area:.3f}" in legend(ax)
    false_positive, true_positive = curve(ax, "quasar")
    assert np.trapezoid(true_positive, false_positive) == pytest.approx(area)


def test_roc_leaves_out_a_class_that_is_absent(ax):
    plot_roc([0, 1, 0], np.eye(3), ax=ax)
    assert [text.split(",")[0] for text in legend(ax)] == ["galaxy", "quasar"]


def test_reliability(ax, sample):
    labels, probabilities = sample
    plot_reliability(labels, probabilities, n_bins=10, ax=ax)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    x, y = curve(ax, "calibration error")
    inside = (confidence > 0.7) & (confidence <= 0.8)
    place = np.flatnonzero((x > 0.7) & (x <= 0.8))[0]
    assert (x[place], y[place]) == (
        pytest.approx(confidence[inside].mean()),
        pytest.approx(right[inside].mean()),
    )
    error = expected_calibration_error(labels, probabilities, n_bins=10)
    assert f"calibration error {error:.4f}" in legend(ax)


def test_accuracy_by_magnitude(ax, sample, rng):
    labels, probabilities = sample
    magnitudes = rng.uniform(11.0, 14.0, 900)
    magnitudes[:9] = np.nan
    plot_accuracy_by_magnitude(labels, probabilities, magnitudes, band="W2", ax=ax)
    x, y = curve(ax, "quasar")
    np.testing.assert_allclose(x, [11.5, 12.5, 13.5])
    inside = (magnitudes >= 12) & (magnitudes < 13) & (labels == 1)
    assert y[1] == pytest.approx((probabilities[inside].argmax(axis=1) == 1).mean())
    assert ax.get_xlabel().startswith("W2")


def test_accuracy_by_snr(ax, sample, rng):
    labels, probabilities = sample
    snr = 10 ** rng.uniform(-0.5, 2, 900)
    plot_accuracy_by_snr(labels, probabilities, snr, edges=[1, 10, 100], ax=ax)
    x, y = curve(ax, "star")
    np.testing.assert_allclose(x, np.sqrt([10, 1000]))
    inside = (snr >= 1) & (snr < 10) & (labels == 2)
    assert y[0] == pytest.approx((probabilities[inside].argmax(axis=1) == 2).mean())
    assert ax.get_xscale() == "log"
    # A few without any light, as measured, do not stretch the axis.
    snr[:300] = -1
    plot_accuracy_by_snr(labels, probabilities, snr, ax=Figure().add_subplot())


def test_nothing_to_bin(ax, sample):
    with pytest.raises(IICnetError, match="nothing to draw"):
        plot_accuracy_by_magnitude(*sample, np.full(900, np.nan), ax=ax)


@pytest.fixture
def history():
    accuracy = {"train_accuracy": [0.5, 0.7, 0.8], "validation_accuracy": [0.6, 0.65, 0.7]}
    return Table({"epoch": [1, 2, 3], **accuracy, "train_loss": [3, 2, 1.0], "validation_loss": [3, 2, 2.0]})


def test_learning_curves(ax, history):
    plot_learning_curves(history, quantity="loss", ax=ax)
    np.testing.assert_allclose(curve(ax, "train")[1], [3, 2, 1])
    assert legend(ax) == ["train", "validation"]


def test_learning_curves_of_several_networks(ax, history):
    for name in ("IICnet", "VGG16"):
        plot_learning_curves(history, label=name, ax=ax)
    assert legend(ax) == ["IICnet", "VGG16"]
    np.testing.assert_allclose(curve(ax, "VGG16")[1], [0.6, 0.65, 0.7])


def test_learning_curves_refuse_what_is_no_history(ax, history):
    with pytest.raises(IICnetError, match="Did you mean 'accuracy'"):
        plot_learning_curves(history, quantity="acuracy", ax=ax)
    with pytest.raises(IICnetError, match="validation_loss"):
        plot_learning_curves(history["epoch", "train_loss"], quantity="loss", ax=ax)
