"""Sets of classes that hold the true one with a stated probability: split conformal prediction."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from astro_iicnet.exceptions import IICnetError, WeightsError
from astro_iicnet.labels import CLASSES

SEPARATOR = "|"
"""Between the classes of a set, as in ``galaxy|star``."""


def read_coverage(coverage: Any) -> float:
    """Check a coverage.

    Parameters
    ----------
    coverage : float
        Fraction of sources whose set shall hold the true class.

    Returns
    -------
    float
        The same.

    Raises
    ------
    IICnetError
        If it is no number between 0 and 1.
    """
    is_number = isinstance(coverage, int | float | np.number) and not isinstance(coverage, bool)
    if is_number and 0 < coverage < 1:
        return float(coverage)
    hint = f" Did you mean {coverage / 100:g}?" if is_number and 1 < coverage < 100 else ""
    raise IICnetError(f"coverage is {coverage!r}, expected a fraction between 0 and 1, as in 0.95.{hint}")


def find_thresholds(record: Mapping[str, Any], coverage: float) -> np.ndarray:
    """The lowest probability with which a class is in the set.

    Parameters
    ----------
    record : mapping
        Record of the weights, see `~astro_iicnet.weights.read_registry`; its ``set_scores`` are the
        table of `~astro_iicnet.training.calibration.tabulate_scores`.
    coverage : float
        Fraction of the sources of each class whose set shall hold that class. Between the levels of
        the table the next higher one is taken; above the highest, every set holds all classes.

    Returns
    -------
    numpy.ndarray
        (3,) float64 in the order of `~astro_iicnet.labels.CLASSES`.

    Raises
    ------
    IICnetError
        If the coverage is no number between 0 and 1.
    WeightsError
        If the weights were not calibrated for sets.
    """
    coverage = read_coverage(coverage)
    table = record.get("set_scores")
    if not table:
        raise WeightsError(
            f"The weights {record['name']!r} have no table of scores for prediction sets: leave coverage "
            "out, or take weights that say set_scores in 'astro-iicnet weights info'."
        )
    index = int(np.searchsorted(np.asarray(table["coverage"]), coverage - 1e-9))
    if index == len(table["coverage"]):
        return np.zeros(len(CLASSES))
    return 1 - np.array([table[name][index] for name in CLASSES])


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The set of classes of each source.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (N, 3) of the network, before priors; NaN where unknown.
    thresholds : numpy.ndarray
        (3,) of `find_thresholds`.

    Returns
    -------
    numpy.ndarray
        (N,) str: the classes whose probability reaches their threshold, in the order of
        `~astro_iicnet.labels.CLASSES`, as in ``galaxy|star``. Empty where none does, and where the
        probabilities are unknown.

    Notes
    -----
    The score of a class is one less its probability [1]_, with a quantile for each class [2]_. So the
    coverage holds for the sources of each class, and with that for any mixture of the classes; but only
    for sources like those of the calibration.

    References
    ----------
    .. [1] Sadinle, M., Lei, J., Wasserman, L. 2019, J. Am. Stat. Assoc. 114, 223,
       doi:10.1080/01621459.2017.1395341
    .. [2] Vovk, V. 2013, Machine Learning 92, 349, doi:10.1007/s10994-013-5355-6
    """
    inside = np.asarray(probabilities, dtype=np.float64) >= thresholds
    codes = inside @ (1 << np.arange(len(CLASSES)))
    names = [
        SEPARATOR.join(name for bit, name in enumerate(CLASSES) if code >> bit & 1)
        for code in range(1 << len(CLASSES))
    ]
    return np.array(names)[codes]
