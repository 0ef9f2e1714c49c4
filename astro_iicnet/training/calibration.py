"""Calibration: probabilities that mean what they say, and sets that hold what they should."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES

TEMPERATURE_RANGE = (0.02, 50.0)
"""Temperatures are sought in here; logits without a single error have no finite best one."""

LEVELS: tuple[float, ...] = (
    *(round(0.01 * step, 2) for step in range(1, 91)),
    *(round(0.9 + 0.005 * step, 3) for step in range(1, 20)),
    *(0.996, 0.997, 0.998, 0.999),
)
"""Coverages for which `tabulate_scores` has an entry."""


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


def tabulate_scores(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, Any]:
    """Table of what is needed for prediction sets of any coverage.

    The score of a source is one less the probability of its true class. With n sources of a class, the
    score for a coverage c is the one of rank (n + 1) c, rounded up, in that class; where there are not so
    many sources it is 1, with which every set holds the class.

    Parameters
    ----------
    probabilities : array-like
        (N, 3) calibrated probabilities for data that neither network nor temperature was fitted to,
        before priors.
    labels : array-like
        (N,) true label indices.

    Returns
    -------
    dict
        ``n``, the number of sources of each class; ``coverage``, which is `LEVELS`; and for each
        class, under its name, the scores at these levels. For the record of weights, as
        ``set_scores``; see `~astro_iicnet.prediction_sets.find_thresholds`.

    Raises
    ------
    IICnetError
        If the shapes do not fit, a class has no sources, or a probability is not finite.

    References
    ----------
    Sadinle, M., Lei, J., Wasserman, L. 2019, J. Am. Stat. Assoc. 114, 223,
    doi:10.1080/01621459.2017.1395341, Sect. 3 (their class-specific coverage).
    """
    values, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or values.shape[1] != len(CLASSES) or truth.shape != values.shape[:1]:
        raise IICnetError(
            f"Probabilities {values.shape} and labels {truth.shape}: expected (N, {len(CLASSES)}) and (N,)."
        )
    if not np.isfinite(values).all():
        raise IICnetError("Some probabilities are not finite: leave out rows without a usable image.")
    counts = [int(np.count_nonzero(truth == index)) for index in range(len(CLASSES))]
    if not all(counts):
        raise IICnetError(f"There are {counts} sources of {', '.join(CLASSES)}: each class needs some.")
    table: dict[str, Any] = {"n": counts, "coverage": list(LEVELS)}
    for index, name in enumerate(CLASSES):
        scores = np.append(np.sort(1 - values[truth == index, index]), 1.0)
        ranks = np.ceil((counts[index] + 1) * np.array(LEVELS) - 1e-9).astype(int)
        # Rounded up: the set may only grow.
        table[name] = (np.ceil(scores[ranks - 1] * 1e6) / 1e6).clip(0, 1).tolist()
    return table
