"""Calibration: probabilities that mean what they say."""

import numpy as np
from numpy.typing import ArrayLike

from astro_iicnet.exceptions import IICnetError

TEMPERATURE_RANGE = (0.02, 50.0)
"""Temperatures are sought in here; logits without a single error have no finite best one."""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature that makes probabilities ``softmax(logits / temperature)`` fit the labels best.

    The negative log-likelihood is convex in 1/T, so its slope has one zero, found by bisection.

    Parameters
    ----------
    logits : array-like
        (N, K) logits of a network for data that it was not trained on.
    labels : array-like
        (N,) true label indices.

    Returns
    -------
    float
        The temperature, within `TEMPERATURE_RANGE`; above 1 where the network is over-confident.

    Raises
    ------
    IICnetError
        If the shapes do not fit, there are no rows, or a logit is not finite.

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, Sec. 4.2.
    """
    values = np.array(logits, dtype=np.float64)
    truth = np.asarray(labels)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise IICnetError(
            f"Logits {values.shape} and labels {truth.shape}: expected (N, K) and (N,), N at least 1."
        )
    if not np.isfinite(values).all():
        raise IICnetError("Some logits are not finite: leave out rows without a usable image.")
    values -= values.max(axis=1, keepdims=True)
    of_truth = values[np.arange(len(truth)), truth].mean()
    low, high = (np.log(1 / temperature) for temperature in reversed(TEMPERATURE_RANGE))
    for _ in range(60):
        middle = (low + high) / 2
        weights = np.exp(np.exp(middle) * values)
        expected = ((weights * values).sum(axis=1) / weights.sum(axis=1)).mean()
        low, high = (low, middle) if expected > of_truth else (middle, high)
    return float(np.exp(-(low + high) / 2))
