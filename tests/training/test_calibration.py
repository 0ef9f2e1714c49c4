"""Temperature scaling against scipy and against a known answer."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.calibration import TEMPERATURE_RANGE, fit_temperature


def draw(rng, n, temperature):
    """Logits whose true probabilities are softmax(logits / temperature)."""
    logits = rng.normal(scale=3, size=(n, 3))
    cumulative = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, np.minimum((rng.random((n, 1)) > cumulative).sum(axis=1), 2)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_agrees_with_scipy(rng, temperature):
    logits, labels = draw(rng, 3000, temperature)

    def loss(log_t):
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean()

    best = np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x)
    assert fit_temperature(logits, labels) == pytest.approx(best, rel=1e-5)


def test_finds_the_true_temperature(rng):
    logits, labels = draw(rng, 50_000, 1.7)
    assert fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.03)
    # Adding a constant to a row changes no probability.
    assert fit_temperature(logits + rng.normal(size=(50_000, 1)) * 100, labels) == pytest.approx(
        fit_temperature(logits, labels), rel=1e-9
    )


def test_extremes_stay_in_range():
    logits = np.array([[5.0, 0, 0], [0, 5, 0]])
    assert fit_temperature(logits, [0, 1]) == pytest.approx(TEMPERATURE_RANGE[0])
    assert fit_temperature(logits, [1, 0]) == pytest.approx(TEMPERATURE_RANGE[1])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), [], "N at least 1"),
        (np.zeros((2, 3)), [0], r"\(2, 3\) and labels \(1,\)"),
        (np.full((1, 3), np.nan), [0], "not finite"),
    ],
)
def test_refuses_nonsense(logits, labels, message):
    with pytest.raises(IICnetError, match=message):
        fit_temperature(logits, labels)
