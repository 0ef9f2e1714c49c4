"""Sersic profiles as mixtures of circular Gaussians, to be convolved analytically with the PSF."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Printed by benchmarks/fit_sersic.py; row i belongs to index _INDICES[i].
_INDICES = np.array([0.5, 0.55, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0])
# fmt: off
_FRACTIONS = np.array([
    [0.0016945, 0.017981, 0.084996, 0.30522, 0.55353, 0.036577],  # n = 0.5
    [0.0016945, 0.017981, 0.084996, 0.30522, 0.55353, 0.036577],  # n = 0.55
    [0.0022692, 0.023386, 0.11307, 0.34179, 0.47589, 0.043594],  # n = 0.6
    [0.0030424, 0.030249, 0.13966, 0.37302, 0.40317, 0.050851],  # n = 0.7
    [0.0040807, 0.03675, 0.1619, 0.38626, 0.35356, 0.057451],  # n = 0.85
    [0.0053675, 0.043864, 0.17553, 0.37795, 0.33416, 0.063138],  # n = 1.0
    [0.0077928, 0.054994, 0.19046, 0.36282, 0.31407, 0.069864],  # n = 1.25
    [0.010888, 0.066994, 0.20448, 0.35197, 0.29457, 0.071099],  # n = 1.5
    [0.017562, 0.087312, 0.22304, 0.3348, 0.26616, 0.071119],  # n = 2.0
    [0.02458, 0.1036, 0.23382, 0.32088, 0.24657, 0.070555],  # n = 2.5
    [0.031472, 0.11616, 0.23955, 0.30922, 0.23299, 0.070615],  # n = 3.0
    [0.038214, 0.12611, 0.24254, 0.29932, 0.22285, 0.070949],  # n = 3.5
    [0.044585, 0.13356, 0.24321, 0.29065, 0.21572, 0.072278],  # n = 4.0
    [0.057775, 0.14669, 0.24432, 0.27661, 0.20254, 0.072069],  # n = 5.0
    [0.070294, 0.1557, 0.2429, 0.26512, 0.19331, 0.072683],  # n = 6.0
])
_SIGMAS = np.array([
    [0.84932, 0.84932, 0.84932, 0.84932, 0.84932, 0.84932],  # n = 0.5
    [0.2315, 0.45987, 0.6469, 0.80775, 0.92105, 1.0736],  # n = 0.55
    [0.1963, 0.406, 0.60941, 0.80317, 0.97619, 1.1772],  # n = 0.6
    [0.15769, 0.34391, 0.56214, 0.80295, 1.0685, 1.3672],  # n = 0.7
    [0.1255, 0.29092, 0.51587, 0.81039, 1.181, 1.6422],  # n = 0.85
    [0.10739, 0.26164, 0.48928, 0.81521, 1.2696, 1.9083],  # n = 1.0
    [0.08888, 0.23151, 0.46212, 0.82629, 1.3993, 2.3426],  # n = 1.25
    [0.078372, 0.21549, 0.45199, 0.8523, 1.5382, 2.8061],  # n = 1.5
    [0.064746, 0.19503, 0.44437, 0.9137, 1.8235, 3.8139],  # n = 2.0
    [0.056106, 0.18223, 0.44434, 0.98018, 2.1199, 4.9444],  # n = 2.5
    [0.049841, 0.17256, 0.44593, 1.0447, 2.4191, 6.1903],  # n = 3.0
    [0.045125, 0.16503, 0.44866, 1.108, 2.7238, 7.5606],  # n = 3.5
    [0.041345, 0.15838, 0.45006, 1.1643, 3.0171, 9.0082],  # n = 4.0
    [0.036345, 0.1508, 0.46299, 1.3, 3.6996, 12.543],  # n = 5.0
    [0.032931, 0.1456, 0.47657, 1.4337, 4.4168, 16.701],  # n = 6.0
])
# fmt: on


def sersic_mixture(n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Six circular Gaussians that add up to a Sersic profile.

    The encircled energy differs from the exact one by less than 1 % of the total light at every
    radius above 0.03 half-light radii (0.1 % for n <= 2). The profile is not truncated: for n = 6 a
    tenth of the light lies beyond 8 half-light radii, as in the formula. An elliptical galaxy is
    the same mixture, with both axes of each Gaussian scaled alike.

    Parameters
    ----------
    n : array_like of float, shape (N,)
        Sersic index, 0.5 to 6.

    Returns
    -------
    weights : ndarray of float64, shape (N, 6)
        Share of the light in each Gaussian; a row sums to 1.
    sigmas : ndarray of float64, shape (N, 6)
        Standard deviation of each Gaussian in units of the half-light radius (the semi-major one).

    Raises
    ------
    ValueError
        If an index lies outside 0.5 to 6 or is not finite.

    References
    ----------
    Profile: Graham & Driver 2005, PASA 22, 118. The idea: Hogg & Lang 2013, PASP 125, 719; the
    coefficients here are fitted anew, to the encircled energy, and interpolated linearly in n
    (widths in the logarithm).
    """
    index = np.atleast_1d(np.asarray(n, dtype=float))
    if not np.all((index >= _INDICES[0]) & (index <= _INDICES[-1])):
        raise ValueError(f"Sersic indices must lie between {_INDICES[0]} and {_INDICES[-1]}")
    row = np.clip(np.searchsorted(_INDICES, index, side="right") - 1, 0, _INDICES.size - 2)
    step = ((index - _INDICES[row]) / (_INDICES[row + 1] - _INDICES[row]))[:, None]
    weights = (1 - step) * _FRACTIONS[row] + step * _FRACTIONS[row + 1]
    log_sigma = (1 - step) * np.log(_SIGMAS[row]) + step * np.log(_SIGMAS[row + 1])
    return weights / weights.sum(axis=1, keepdims=True), np.exp(log_sigma)
