"""Class fractions that the user expects, and what they do to probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.labels import CLASSES

TOLERANCE = 1e-3
"""How far the sum of priors may be from 1 (0.333 three times is meant as a third each)."""


def read_priors(priors: Mapping[str, float] | Sequence[float]) -> np.ndarray:
    """Check priors and put them in the order of the classes.

    Parameters
    ----------
    priors : mapping of str to float or sequence of float
        Fraction of each class among the sources, by name or in the order galaxy, quasar, star;
        positive, sum 1 within 0.001 (and scaled to exactly 1).

    Returns
    -------
    numpy.ndarray
        (3,) float64, sum 1.

    Raises
    ------
    IICnetError
        If a class is unknown or missing, a fraction not a positive number, or the sum not 1.
    """
    expected = f"one positive fraction for each of {', '.join(CLASSES)}, sum 1"
    if isinstance(priors, Mapping):
        for name in priors:
            if name not in CLASSES:
                raise IICnetError(unknown_name("class in priors", name, CLASSES))
        missing = [name for name in CLASSES if name not in priors]
        if missing:
            raise IICnetError(f"priors lack {', '.join(missing)}: expected {expected}.")
        priors = [priors[name] for name in CLASSES]
    try:
        values = np.asarray(priors, dtype=float)
    except (TypeError, ValueError):
        raise IICnetError(f"priors are {priors!r}, expected {expected}.") from None
    if values.shape != (len(CLASSES),) or not np.all(np.isfinite(values) & (values > 0)):
        raise IICnetError(f"priors are {priors!r}, expected {expected}.")
    if abs(values.sum() - 1) > TOLERANCE:
        raise IICnetError(f"priors sum to {values.sum():g}, expected 1: divide each by {values.sum():g}.")
    return values / values.sum()


def reweight(probabilities: np.ndarray, priors: np.ndarray, training_priors: np.ndarray) -> np.ndarray:
    r"""Probabilities under other class fractions than those of the training set.

    The pixels speak through the likelihood ratio, which a change of class fractions leaves as it
    is; so by Bayes' theorem

    .. math:: p'_i = \frac{p_i \, \pi_i / \tau_i}{\sum_j p_j \, \pi_j / \tau_j}

    with :math:`\pi` the priors and :math:`\tau` the class fractions in training.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (N, 3), NaN rows stay NaN.
    priors, training_priors : numpy.ndarray
        (3,) positive fractions.

    Returns
    -------
    numpy.ndarray
        (N, 3) of the type of ``probabilities``, rows summing to 1.

    References
    ----------
    Saerens, M., Latinne, P., Decaestecker, C. 2002, Neural Computation 14, 21, Sect. 2,
    doi:10.1162/089976602753284446
    """
    weighted = probabilities.astype(np.float64) * (priors / training_priors)
    return (weighted / weighted.sum(axis=1, keepdims=True)).astype(probabilities.dtype)
