"""Comparisons of networks, read off the axes, and the file of several figures."""

from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from astro_iicnet.analysis.plots.comparisons import plot_accuracies, plot_accuracy_by_size, save_panels
from astro_iicnet.exceptions import IICnetError

ACCURACY, LOW, HIGH = [0.8, 0.9], [0.7, 0.88], [0.85, 0.95]


@pytest.fixture
def ax():
    return Figure().add_subplot()


def bars(ax):
    (container,) = ax.containers
    return np.array(container[2][0].get_segments())


def test_accuracies_stand_in_rows_the_first_on_top(ax):
    assert plot_accuracies(["a", "b"], ACCURACY, LOW, HIGH, paper=[0.95, np.nan], ax=ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    bottom, top = ax.get_ylim()
    assert top < 0 < 1 < bottom
    np.testing.assert_allclose(bars(ax)[:, :, 0], [[0.7, 0.85], [0.88, 0.95]])
    (paper,) = [line for line in ax.lines if line.get_label() == "paper"]
    np.testing.assert_array_equal(paper.get_xdata(), [0.95, np.nan])


def test_what_is_unknown_has_a_name_and_no_point(ax):
    unknown = np.ma.masked_array(ACCURACY, [False, True])
    plot_accuracies(["a", "b"], unknown, np.ma.masked_array(LOW, unknown.mask), HIGH, ax=ax)
    assert len(ax.get_yticklabels()) == 2
    np.testing.assert_array_equal(ax.containers[0][0].get_xdata(), [0.8, np.nan])
    assert "paper" not in [line.get_label() for line in ax.lines]


def test_accuracy_by_size(ax):
    plot_accuracy_by_size([64, 80], ACCURACY, LOW, HIGH, ax=ax)
    np.testing.assert_array_equal(ax.get_xticks(), [64, 80])
    np.testing.assert_allclose(bars(ax)[:, :, 1], [[0.7, 0.85], [0.88, 0.95]])


def test_lengths_must_fit(ax):
    with pytest.raises(IICnetError, match=r"shapes \(2,\), \(1,\).*expected \(2,\)"):
        plot_accuracies(["a", "b"], ACCURACY, [0.7], HIGH, ax=ax)


def test_panels_of_a_file(tmp_path):
    one = partial(plot_accuracies, ["a", "b"], ACCURACY, LOW, HIGH)
    path = save_panels(tmp_path / "all.png", {"first": one, "second": one, "third": one}, size=(3, 2))
    assert imread(path).shape[:2] == (400, 600)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(IICnetError):
        save_panels(path, {"wrong": partial(plot_accuracies, ["a"], ACCURACY, LOW, HIGH)})
    assert imread(path).shape[:2] == (400, 600)
    assert list(tmp_path.iterdir()) == [path]
