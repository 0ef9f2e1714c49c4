"""Quasars of an SDSS spectroscopic sample crossed with AllWISE."""

import numpy as np
from numpy.typing import NDArray

from astro_iicnet.simulation import tracks
from astro_iicnet.simulation.galaxies import galaxy_colours, galaxy_shapes, half_light_radii, semi_major
from astro_iicnet.simulation.selection import (
    Columns,
    add_light,
    concatenate,
    distance_modulus,
    draw_complete,
    light_share,
    power_law_magnitudes,
    split_normal,
)

FRACTIONS = {"legacy": 0.55, "BOSS and eBOSS": 0.38, "Seyfert 1": 0.07}
"""Share of each sample among the quasars that pass the faint limit."""

# Share of quasars per redshift bin, after the histograms of Schneider et al. 2010 and Lyke et al.
# 2020, approximate.
_LEGACY_EDGES = [0.08, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 4.5]
_LEGACY_SHARE = [3, 7, 9, 9.5, 11, 13, 13, 13, 6.5, 3, 4.5, 4, 2, 0.7]
_EBOSS_EDGES = [0.5, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2, 2.5, 2.75, 3.0, 3.5, 4.0]
_EBOSS_SHARE = [3, 6, 10, 11, 11, 10, 8, 17, 9, 6, 6, 1.5]

# i (AB) - W1 (Vega) of the mean quasar spectrum (Richards et al. 2006, ApJS 166, 470).
_I_W1 = ([0.0, 0.5, 1.0, 1.5, 2.5, 4.5], [4.2, 3.9, 3.6, 3.45, 3.3, 3.3])

# Scatter of W2-W3 against redshift, DESI quasars of half 0 with W1 < 15.5.
_W2_W3_SCATTER = ([0.3, 0.5, 0.7, 0.9], [0.37, 0.29, 0.27, 0.2])


def draw_quasars(n: int, rng: np.random.Generator) -> Columns:
    """
    Draw quasars: nucleus and host galaxy.

    - *legacy* (55 %): redshifts of SDSS DR7 [1]_, i from 15 to 19.1 (20.2 for z > 3), counts rising
      as 10^(0.6 i) [2]_.
    - *BOSS and eBOSS* (38 %): redshifts of DR16Q [3]_, i from 17 to 21.5, counts rising as
      10^(0.35 i) [2]_.
    - *Seyfert 1* (7 %): broad-line galaxies of the main sample that the SDSS pipeline calls QSO: z 0.02
      to 0.32, the nucleus giving 15 to 95 % of the W1 light of an average host, evenly.
    - i - W1 of the mean spectrum [4]_ with 0.45 mag of scatter.
    - Nuclear colours run with redshift such that nucleus and host together, under the cuts of the
      DESI sample (W1-W2 > 0.65) and W1 < 15.5 (16 beyond z = 2), have the median colours of real
      DESI quasars; beyond z = 2.8 they follow the AGN template, moved to join. Their scatter is
      0.18 (blue side: hot-dust-poor) and 0.14 mag in W1-W2, 0.2 in W2-W3 (0.37 at z = 0.3),
      correlated. 8 % carry dust that adds a mean of 0.15 mag to W1-W2.
    - Hosts: stellar mass log M = 10.8 +/- 0.3 [5]_, so absolute W1 = -24.3 +/- 0.75, brighter by
      0.8 mag per unit of redshift up to 1.5; half bulges, half discs; sizes and colours are those of
      galaxies. The K correction is -6 log(1+z), constant beyond z = 1.1 (the 1.6 micron bump).

    Parameters
    ----------
    n : int
        Quasars wanted.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of ndarray
        Columns as in `astro_iicnet.simulation.galaxies.draw_galaxies`; ``subtype`` is "quasar",
        "reddened quasar" or "Seyfert 1".

    References
    ----------
    .. [1] Schneider et al. 2010, AJ 139, 2360.
    .. [2] Richards et al. 2006, AJ 131, 2766; Palanque-Delabrouille et al. 2016, A&A 587, A41.
    .. [3] Lyke et al. 2020, ApJS 250, 8.
    .. [4] Richards et al. 2006, ApJS 166, 470.
    .. [5] Li et al. 2021, ApJ 922, 142; Matsuoka et al. 2014, ApJ 780, 162.
    """
    drawers = {"legacy": _legacy, "BOSS and eBOSS": _eboss, "Seyfert 1": _seyferts}
    counts = rng.multinomial(n, list(FRACTIONS.values()))
    return concatenate(
        [draw_complete(int(count), rng, draw) for draw, count in zip(drawers.values(), counts, strict=True)]
    )


def _redshifts(
    n: int, rng: np.random.Generator, edges: list[float], share: list[float]
) -> NDArray[np.float64]:
    """Redshifts of a histogram, flat within a bin."""
    cumulated = np.concatenate([[0], np.cumsum(share)]) / np.sum(share)
    return np.interp(rng.random(n), cumulated, edges)


def _nuclear_w1(
    i: NDArray[np.float64], z: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    return i - np.interp(z, *_I_W1) + 0.45 * rng.standard_normal(z.size)


def _legacy(n: int, rng: np.random.Generator) -> Columns:
    z = _redshifts(n, rng, _LEGACY_EDGES, _LEGACY_SHARE)
    i = power_law_magnitudes(n, rng, 0.6, 15.0, 19.1) + np.where(z > 3, 1.1, 0) + 0.1 * rng.standard_normal(n)
    return _with_host(_nuclear_w1(i, z, rng), z, *_hosts(z, rng), rng, "quasar")


def _eboss(n: int, rng: np.random.Generator) -> Columns:
    z = _redshifts(n, rng, _EBOSS_EDGES, _EBOSS_SHARE)
    i = power_law_magnitudes(n, rng, 0.35, 17.0, 21.5)
    return _with_host(_nuclear_w1(i, z, rng), z, *_hosts(z, rng), rng, "quasar")


def _seyferts(n: int, rng: np.random.Generator) -> Columns:
    z = 0.02 + 0.3 * rng.beta(1.6, 2.2, n)
    host, absolute = _hosts(z, rng)
    share = rng.uniform(0.15, 0.95, n)
    return _with_host(host - 2.5 * np.log10(share / (1 - share)), z, host, absolute, rng, "Seyfert 1")


def _hosts(
    z: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """W1 magnitudes of host galaxies, apparent and absolute (the latter without evolution)."""
    absolute = -24.3 + 0.75 * rng.standard_normal(z.size)
    k = -6.0 * np.log10(1 + np.minimum(z, 1.1))
    return absolute - 0.8 * np.minimum(z, 1.5) + distance_modulus(z) + k, absolute


def _nuclear_colours(
    z: NDArray[np.float64], red: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    n = z.size
    colours = np.stack(
        [np.interp(z, tracks.REAL_QUASARS[0], column) for column in tracks.REAL_QUASARS[1:]], axis=1
    )
    first = split_normal(n, rng, 0.18, 0.14)
    colours[:, 0] += first + np.where(red, rng.exponential(0.15, n), 0)
    colours[:, 1] += 0.4 * first + np.interp(z, *_W2_W3_SCATTER) * rng.standard_normal(n)
    colours[:, 2] += 0.3 * rng.standard_normal(n)
    return colours


def _with_host(
    nucleus_w1: NDArray[np.float64],
    z: NDArray[np.float64],
    host_w1: NDArray[np.float64],
    host_absolute: NDArray[np.float64],
    rng: np.random.Generator,
    subtype: str,
) -> Columns:
    """Nucleus and host together: magnitudes, point fractions, shapes."""
    n = z.size
    red = rng.random(n) < 0.08
    zero = np.zeros(n)
    early = rng.random(n) < 0.5
    rest = np.where(early, 0.4 + rng.gamma(2.0, 0.4, n), 3.3 + 0.45 * rng.standard_normal(n))
    nucleus = nucleus_w1[:, None] - np.cumsum(np.column_stack([zero, _nuclear_colours(z, red, rng)]), axis=1)
    host = host_w1[:, None] - np.cumsum(np.column_stack([zero, galaxy_colours(rest, z, rng)]), axis=1)
    total = add_light(nucleus, host)
    sersic_n, axis_ratio = galaxy_shapes(early, rng)
    radius = half_light_radii(host_absolute, early, z, rng)
    return {
        **{f"w{band + 1}": total[:, band] for band in range(4)},
        "point_fraction": light_share(nucleus, total),
        "subtype": np.where(red, "reddened quasar", subtype).astype("U16"),
        "redshift": z,
        "radius": semi_major(radius, early, axis_ratio),
        "sersic_n": sersic_n,
        "axis_ratio": axis_ratio,
    }
