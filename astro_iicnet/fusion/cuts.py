"""The colour cuts by which astronomers select active galactic nuclei in WISE, all in Vega magnitudes.

A source of unknown magnitude fulfils no cut. An upper limit is taken as it is given.
"""

import numpy as np
from numpy.typing import ArrayLike


def stern_2012(w1: ArrayLike, w2: ArrayLike) -> np.ndarray:
    """W1 - W2 of at least 0.8.

    Parameters
    ----------
    w1, w2 : array-like
        (N,) [Vega mag].

    Returns
    -------
    numpy.ndarray
        (N,) bool, true where the source is selected.

    References
    ----------
    Stern et al. 2012, ApJ 753, 30, Sec. 3 (doi:10.1088/0004-637X/753/1/30): 95 % reliable and 78 %
    complete for W2 < 15.05, a depth that is not applied here.

    Examples
    --------
    >>> from astro_iicnet.fusion.cuts import stern_2012
    >>> stern_2012([15.2, 14.1], [14.0, 14.0])
    array([ True, False])
    """
    colour, _ = _colours(w1, w2, w2)
    return colour >= 0.8


def mateos_2012(w1: ArrayLike, w2: ArrayLike, w3: ArrayLike) -> np.ndarray:
    """Take the wedge of three bands around the power laws.

    Parameters
    ----------
    w1, w2, w3 : array-like
        (N,) [Vega mag].

    Returns
    -------
    numpy.ndarray
        (N,) bool, true where the source is selected.

    References
    ----------
    Mateos et al. 2012, MNRAS 426, 3271, Sec. 3.2 (doi:10.1111/j.1365-2966.2012.21843.x).
    """
    blue, red = _colours(w1, w2, w3)
    axis = 0.315 * red
    return (blue > axis - 0.222) & (blue < axis + 0.796) & (blue > -3.172 * red + 7.624)


def jarrett_2011(w1: ArrayLike, w2: ArrayLike, w3: ArrayLike) -> np.ndarray:
    """Take the box of quasars and active galaxies.

    Parameters
    ----------
    w1, w2, w3 : array-like
        (N,) [Vega mag].

    Returns
    -------
    numpy.ndarray
        (N,) bool, true where the source is selected.

    References
    ----------
    Jarrett et al. 2011, ApJ 735, 112, Eq. 1 (doi:10.1088/0004-637X/735/2/112).
    """
    blue, red = _colours(w1, w2, w3)
    return (red > 2.2) & (red < 4.2) & (blue > 0.1 * red + 0.38) & (blue < 1.7)


def assef_2018_r90(w1: ArrayLike, w2: ArrayLike) -> np.ndarray:
    """W1 - W2 above a line that rises for faint sources, for a reliability of 90 %.

    Parameters
    ----------
    w1, w2 : array-like
        (N,) [Vega mag].

    Returns
    -------
    numpy.ndarray
        (N,) bool, true where the source is selected.

    References
    ----------
    Assef et al. 2018, ApJS 234, 23, Eq. 4 with 0.650, 0.153, 13.86 (doi:10.3847/1538-4365/aaa00a).
    """
    colour, _ = _colours(w1, w2, w2)
    fainter = np.maximum(np.asarray(w2, dtype=np.float64) - 13.86, 0)
    return colour > 0.650 * np.exp(0.153 * fainter**2)


def _colours(w1: ArrayLike, w2: ArrayLike, w3: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """W1 - W2 and W2 - W3; comparisons with NaN are false."""
    first, second, third = (_plain(values) for values in (w1, w2, w3))
    return first - second, second - third


def _plain(values: ArrayLike) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
