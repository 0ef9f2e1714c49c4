"""Groups of the misclassified and outliers, on sources made to be told apart."""

import numpy as np
import pytest

from astro_iicnet.allwise.bands import BANDS, zero_points
from astro_iicnet.analysis.groups import EMPTY_CENTRE, find_outliers, group_misclassified
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError


@pytest.fixture
def sample(rng):
    """Eight bright, eight faint, eight red and four empty images, all called stars but the last empty one."""
    bands = ("W1", "W2", "W3")
    kinds = np.repeat(["bright", "faint", "red", "empty"], [8, 8, 8, 4])
    # Peak above the noise in W1, W2, W3.
    peaks = {"bright": (400, 200, 20), "faint": (25, 15, 1), "red": (40, 60, 80), "empty": (0, 0, 0)}
    grid = np.arange(41) - 20.0
    spot = np.exp(-(grid[:, None] ** 2 + grid**2) / (2 * 2.2**2))
    noise = np.array([BANDS[band].noise for band in bands])[:, None, None]
    # Smooth noise as the Atlas has it would blur nothing here: white noise has no central source either.
    pixels = np.stack([noise * (np.array(peaks[kind])[:, None, None] * spot) for kind in kinds])
    pixels += noise * rng.normal(size=pixels.shape)
    n = len(kinds)
    cutouts = Cutouts(
        pixels.astype(np.float32), np.zeros((n, 2), np.float32), bands, zero_points(bands),
        np.zeros(n, np.uint8), np.full(n, "t"),
    )  # fmt: skip
    labels = np.zeros(n, int)
    labels[-1] = 2
    probabilities = np.tile([0.2, 0.1, 0.7], (n, 1))
    return kinds, cutouts, labels, probabilities


def test_groups(sample):
    kinds, cutouts, labels, probabilities = sample
    table = group_misclassified(cutouts, labels, probabilities)
    np.testing.assert_array_equal(table["row"], np.arange(27))
    assert set(table["true"]) == {"galaxy"}
    assert set(table["found"]) == {"star"}
    np.testing.assert_allclose(table["probability"], 0.7)
    groups = np.asarray(table["group"])
    assert set(groups[kinds[:27] == "empty"]) == {EMPTY_CENTRE}
    # Numbered from dark to bright.
    assert set(groups[kinds[:27] == "faint"]) == {0}
    assert set(groups[kinds[:27] == "red"]) == {1}
    assert set(groups[kinds[:27] == "bright"]) == {2}
    again = group_misclassified(cutouts, labels, probabilities)
    np.testing.assert_array_equal(again["group"], groups)


def test_nothing_wrong(sample):
    _, cutouts, _, probabilities = sample
    table = group_misclassified(cutouts, np.full(28, 2), probabilities)
    assert len(table) == 0
    assert "group" in table.colnames


def test_fewer_than_groups(sample):
    _, cutouts, labels, probabilities = sample
    table = group_misclassified(cutouts[:2], labels[:2], probabilities[:2], n_groups=5)
    assert sorted(table["group"]) == [0, 1]


def test_groups_refuse(sample):
    _, cutouts, labels, probabilities = sample
    with pytest.raises(IICnetError, match="n_groups is 0"):
        group_misclassified(cutouts, labels, probabilities, n_groups=0)
    with pytest.raises(IICnetError, match="for 28 cutouts"):
        group_misclassified(cutouts, labels[:3], probabilities[:3])
    with pytest.raises(IICnetError, match="W3 is missing"):
        group_misclassified(cutouts.select_bands(("W1", "W2")), labels, probabilities)


def test_outliers():
    probabilities = [[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.45, 0.5, 0.05]]
    # Right and doubtful; right and sure; right and most doubtful; right at the threshold; wrong.
    np.testing.assert_array_equal(find_outliers([0, 0, 1, 2, 0], probabilities), [2, 0])
    np.testing.assert_array_equal(find_outliers([0, 0, 1, 2, 0], probabilities, threshold=0.45), [2])
    with pytest.raises(IICnetError, match="from 0 to 2"):
        find_outliers([4, 0, 1, 2, 0], probabilities)
