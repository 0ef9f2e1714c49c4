"""The search for a learning rate, on losses whose minimum is known."""

import math

import numpy as np
import pytest
from astropy.table import Table

from astro_iicnet.exceptions import DivergedError
from astro_iicnet.experiments.rates import search_rate

RATES = (1e-4, 5e-4, 2e-3)


def parabola(best, calls):
    """A loss with its minimum at a rate, which notes the rates that it is asked for."""

    def loss_of(rate):
        calls.append(rate)
        return math.log10(rate / best) ** 2

    return loss_of


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (4e-4, [1e-4, 5e-4, 2e-3]),
        # Upwards by factors of four, as from 5e-4 to 2e-3; downwards by five, as from 5e-4 to 1e-4.
        (9e-3, [1e-4, 5e-4, 2e-3, 8e-3, 3.2e-2]),
        (1.5e-5, [1e-4, 5e-4, 2e-3, 2e-5, 4e-6]),
    ],
)
def test_goes_on_until_the_best_lies_between_others(tmp_path, best, tried):
    calls = []
    path = tmp_path / "net" / "rates.ecsv"
    found = search_rate(RATES, parabola(best, calls), path)
    np.testing.assert_allclose(calls, tried, rtol=1e-12)
    table = Table.read(path)
    assert list(table["learning_rate"]) == sorted(calls)
    inner = np.argmin(table["validation_loss"])
    assert 0 < inner < len(table) - 1
    assert found == table["learning_rate"][inner] == min(calls, key=lambda rate: abs(math.log(rate / best)))


def test_nothing_is_tried_twice(tmp_path):
    """A search goes on from what is kept, after an interrupt or when it stopped at an end."""
    path = tmp_path / "rates.ecsv"
    calls = []

    def interrupted(rate):
        if len(calls) == 2:
            raise KeyboardInterrupt
        return parabola(9e-3, calls)(rate)

    with pytest.raises(KeyboardInterrupt):
        search_rate(RATES, interrupted, path)
    assert search_rate(RATES, parabola(9e-3, calls), path) == 8e-3
    assert calls == [1e-4, 5e-4, 2e-3, 8e-3, 3.2e-2]
    search_rate(RATES, parabola(9e-3, calls), path)
    assert len(calls) == 5


@pytest.mark.parametrize("lost", [np.inf, np.nan])
def test_a_lost_training_is_not_chosen(tmp_path, lost):
    """The rate beyond the last one diverges: the last one it is, now between two others."""
    losses = {1e-4: 0.9, 5e-4: 0.7, 2e-3: 0.6, 8e-3: lost}
    path = tmp_path / "rates.ecsv"
    assert search_rate(RATES, losses.__getitem__, path) == 2e-3
    assert search_rate(RATES, {}.__getitem__, path) == 2e-3


def test_ends_where_the_loss_falls_without_end(tmp_path):
    calls = []
    found = search_rate(RATES, lambda rate: calls.append(rate) or rate, tmp_path / "rates.ecsv")
    np.testing.assert_allclose(calls[3:], [2e-5, 4e-6, 8e-7, 1.6e-7])
    assert found == calls[-1]


def test_all_are_lost(tmp_path):
    with pytest.raises(DivergedError, match="vgg16: the loss is lost with all of the learning rates"):
        search_rate(RATES, lambda rate: np.nan, tmp_path / "vgg16" / "rates.ecsv")
