"""Stars of an SDSS spectroscopic sample crossed with AllWISE."""

import numpy as np
from numpy.typing import NDArray

from astro_iicnet.simulation.selection import Columns, concatenate, draw_complete, power_law_magnitudes

FRACTIONS = {
    "FGK": 0.55,
    "M dwarf": 0.303,
    "bright": 0.12,
    "white dwarf": 0.012,
    "dusty": 0.012,
    "brown dwarf": 0.003,
}
"""Share of each kind among the stars that pass the faint limit."""

# Medians and scatter of W1-W2 and of W2-W3 by spectral type (M0 = 0, L0 = 10, T0 = 20), unsaturated
# CARMENES and SIMPLE objects of half 0, printed by benchmarks/fit_populations.py; the scatter is
# freed of the catalogue errors.
_TYPE = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28.0])
_W1_W2 = np.array(
    [0.03, 0.09, 0.13, 0.15, 0.18, 0.20, 0.21, 0.22, 0.23, 0.25, 0.25, 0.28, 0.29, 0.42, 0.46, 0.63]
    + [0.73, 0.82, 1.09, 1.33, 1.75, 2.09, 2.36, 2.73]
)
_W1_W2_SCATTER = np.interp(_TYPE, [0, 5, 10, 14, 20, 24, 28], [0.03, 0.03, 0.045, 0.07, 0.12, 0.18, 0.30])
_W2_W3 = np.interp(
    _TYPE,
    [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 20, 22, 28],
    [0.085, 0.106, 0.122, 0.145, 0.176, 0.24, 0.32, 0.34, 0.47, 0.50, 0.60, 0.66, 1.03, 1.5, 1.5, 1.6],
)
_W2_W3_SCATTER = np.interp(_TYPE, [0, 5, 8, 15, 28], [0.02, 0.025, 0.06, 0.13, 0.4])

# M0 to M9 in the SDSS DR7 catalogue (West et al. 2011), thousands, approximate.
_M_COUNTS = np.array([9.0, 9.5, 12.0, 13.5, 10.0, 4.5, 6.0, 5.0, 1.5, 0.7])


def draw_stars(n: int, rng: np.random.Generator) -> Columns:
    """
    Draw stars: magnitudes, colours and kind.

    - *FGK* (55 %, A and F halo stars among them). SEGUE takes 14 < g < 20.3 about evenly [1]_, BOSS
      and eBOSS standards are 15 < r < 19: r is triangular from 13.5 to 20.5 with its mode at 17.5.
      r - W1 = 1.0 (F) to 2.5 (late K), W1-W2 = -0.035 with 0.03 intrinsic scatter, W2-W3 = 0.05,
      W3-W4 = 0.03 [2]_.
    - *M dwarf* (30 %). Subtypes M0-M9 about as in the SDSS DR7 catalogue [3]_; r triangular from 14
      (M0; 17.6 for M9, which are never near enough to be brighter) to 20.5, mode 18.5 to 19.9;
      r - W1 rises from 3.4 (M0) to 8.5 (M9) [2]_; W1-W2 and W2-W3 by subtype from real M dwarfs.
    - *bright* (12 %). W1 triangular from 3.5 to 13.3 with its mode at 11.3, so that the sample
      falls off towards bright stars without a step. SDSS took few of them (it saturates at r 14),
      but the lists that people bring hold them. The rise is flatter than that of counts on the sky,
      10^(0.3 m) [4]_, to include saturated cores. Half are K and M giants, whose CO band makes
      W1-W2 = -0.07.
    - *white dwarf* (1.2 %). Of those that W1 detects half have an M dwarf companion [5]_.
    - *dusty* (1.2 %). AGB and carbon stars, Be stars, young stars, warm discs: W1-W2 exponential
      with mean 0.3 above the photosphere, W2-W3 up to 3.6, as of young stars with discs. W1 uniform
      from 7 to 16.5: such stars are luminous, and many of them bright. Range and counts are
      assumptions; bright stars with saturated cores look alike, but are of the kind before.
    - *brown dwarf* (0.3 %). L0 to T8, fewer of the later types; W1 counts as 10^(0.6 m). SDSS DR7
      has 484 L dwarfs, about 0.1 % of its stellar spectra [6]_; the rest stands for BOSS and for T
      dwarfs.

    Parameters
    ----------
    n : int
        Stars wanted.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of ndarray
        Columns ``subtype``, ``redshift`` (0) and ``w1`` .. ``w4`` (Vega mag).

    References
    ----------
    .. [1] Yanny et al. 2009, AJ 137, 4377.
    .. [2] Pecaut & Mamajek 2013, ApJS 208, 9, and its online table; r_AB - r_Vega = 0.15.
    .. [3] West et al. 2011, AJ 141, 97.
    .. [4] Wright et al. 2010, AJ 140, 1868; Jarrett et al. 2011, ApJ 735, 112, Fig. 5.
    .. [5] Debes et al. 2011, ApJS 197, 38.
    .. [6] Schmidt et al. 2010, AJ 139, 1808.
    """
    drawers = {
        "FGK": _fgk,
        "M dwarf": _m_dwarfs,
        "bright": _bright,
        "white dwarf": _white_dwarfs,
        "dusty": _dusty,
        "brown dwarf": _brown_dwarfs,
    }
    counts = rng.multinomial(n, list(FRACTIONS.values()))
    parts = []
    for (name, draw), count in zip(drawers.items(), counts, strict=True):
        columns = draw_complete(int(count), rng, draw)
        columns["subtype"] = np.full(int(count), name, dtype="U16")
        parts.append(columns)
    columns = concatenate(parts)
    columns["redshift"] = np.zeros(n)
    return columns


def _columns(
    w1: NDArray[np.float64],
    w1_w2: NDArray[np.float64],
    w2_w3: NDArray[np.float64],
    w3_w4: NDArray[np.float64],
) -> Columns:
    """Turn one magnitude and three colours into four magnitudes."""
    w2 = w1 - w1_w2
    w3 = w2 - w2_w3
    return {"w1": w1, "w2": w2, "w3": w3, "w4": w3 - w3_w4}


def _fgk(n: int, rng: np.random.Generator) -> Columns:
    r_w1 = 1.0 + 1.5 * rng.beta(1.4, 1.6, n)
    w1 = rng.triangular(13.5, 17.5, 20.5, n) - r_w1
    w1_w2 = -0.035 + 0.03 * rng.standard_normal(n)
    return _columns(w1, w1_w2, 0.05 + 0.03 * rng.standard_normal(n), 0.03 + 0.06 * rng.standard_normal(n))


def _cool_colours(
    kind: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Colours of M, L and T dwarfs of the given numerical type."""
    first = np.interp(kind, _TYPE, _W1_W2) + np.interp(kind, _TYPE, _W1_W2_SCATTER) * rng.standard_normal(
        kind.size
    )
    second = np.interp(kind, _TYPE, _W2_W3) + np.interp(kind, _TYPE, _W2_W3_SCATTER) * rng.standard_normal(
        kind.size
    )
    return first, second, 0.08 + 0.02 * kind + 0.08 * rng.standard_normal(kind.size)


def _m_dwarfs(n: int, rng: np.random.Generator) -> Columns:
    kind = rng.choice(10, n, p=_M_COUNTS / _M_COUNTS.sum()) + rng.uniform(-0.5, 0.5, n)
    r_w1 = 3.4 + 0.25 * kind + 0.035 * kind**2 + 0.15 * rng.standard_normal(n)
    late = np.maximum(kind, 0)
    w1 = rng.triangular(14 + 0.4 * late, 18.5 + 0.15 * late, 20.5) - r_w1
    return _columns(w1, *_cool_colours(kind, rng))


def _bright(n: int, rng: np.random.Generator) -> Columns:
    w1 = rng.triangular(3.5, 11.3, 13.3, n)
    giant = rng.random(n) < 0.5
    w1_w2 = np.where(giant, -0.07, -0.035) + np.where(giant, 0.04, 0.03) * rng.standard_normal(n)
    w2_w3 = np.where(giant, 0.09, 0.05) + 0.03 * rng.standard_normal(n)
    return _columns(w1, w1_w2, w2_w3, 0.05 + 0.08 * rng.standard_normal(n))


def _white_dwarfs(n: int, rng: np.random.Generator) -> Columns:
    binary = rng.random(n) < 0.5
    r_w1 = np.where(binary, rng.uniform(1.5, 4, n), rng.uniform(-0.4, 0.6, n))
    w1 = rng.triangular(14, 20, 20.5, n) - r_w1
    w1_w2 = np.where(binary, 0.16, 0.0) + 0.05 * rng.standard_normal(n)
    return _columns(w1, w1_w2, 0.1 * rng.standard_normal(n) + 0.1, 0.1 * rng.standard_normal(n))


def _dusty(n: int, rng: np.random.Generator) -> Columns:
    w1 = rng.uniform(7.0, 16.5, n)
    excess = rng.exponential(0.3, n)
    w2_w3 = 0.1 + np.minimum(excess * rng.uniform(0.5, 6, n), 3.5)
    return _columns(w1, np.minimum(excess, 1.6) - 0.03, w2_w3, 0.1 + rng.exponential(0.7, n))


def _brown_dwarfs(n: int, rng: np.random.Generator) -> Columns:
    kind = np.minimum(10 + rng.exponential(4.5, n), rng.uniform(26, 28.5, n))
    w1 = power_law_magnitudes(n, rng, 0.6, 11.5, 17.5)
    return _columns(w1, *_cool_colours(kind, rng))
