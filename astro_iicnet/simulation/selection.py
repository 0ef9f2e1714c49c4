"""What every population shares: the faint limit, drawing until enough pass it, distances, adding light."""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Columns = dict[str, NDArray]
"""Columns of the source table, all of the same length."""

W1_LIMIT = 17.1
"""Vega W1 magnitude at which half of the sources have S/N > 5."""

_HUBBLE_DISTANCE = 299792.458 / 70.0
_OMEGA_M = 0.3


def completeness(w1: ArrayLike) -> NDArray[np.float64]:
    """
    Probability that a source of this W1 magnitude is in AllWISE with S/N > 5.

    A smooth step at 17.1 mag with a scale of 0.12 mag: from 88 % at 16.86 to 12 % at 17.34.

    Parameters
    ----------
    w1 : array_like of float
        Vega magnitudes.

    Returns
    -------
    ndarray of float64
        Probabilities, same shape.

    References
    ----------
    AllWISE Explanatory Supplement, II.4: 95 % complete to W1 = 17.1 for S/N = 5 in the deeper half
    of the sky; the width covers the range of depth of coverage.
    """
    return 1 / (1 + np.exp((np.asarray(w1, dtype=float) - W1_LIMIT) / 0.12))


def draw_complete(
    n: int, rng: np.random.Generator, draw: Callable[[int, np.random.Generator], Columns]
) -> Columns:
    """
    Draw from a population until `n` sources have passed the faint limit.

    Parameters
    ----------
    n : int
        Sources wanted.
    rng : numpy.random.Generator
        Source of randomness.
    draw : callable
        ``draw(m, rng)`` gives the columns of m sources, ``w1`` among them.

    Returns
    -------
    dict of ndarray
        The columns of `n` sources.
    """
    parts: list[Columns] = []
    found, tried = 0, 0
    while found < n:
        rate = max(found / tried, 0.05) if tried else 0.9
        columns = draw(int((n - found) / rate * 1.05) + 16, rng)
        keep = rng.random(columns["w1"].size) < completeness(columns["w1"])
        tried += keep.size
        found += int(keep.sum())
        parts.append({name: values[keep] for name, values in columns.items()})
    return concatenate(parts, n) if parts else draw(0, rng)


def concatenate(parts: list[Columns], n: int | None = None) -> Columns:
    """Join column sets end to end, and keep the first `n` rows (default: all)."""
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}


@functools.cache
def _comoving_grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Redshift and comoving distance [Mpc] on a grid up to z = 6."""
    z = np.linspace(0, 6, 6001)
    inverse = 1 / np.sqrt(_OMEGA_M * (1 + z) ** 3 + 1 - _OMEGA_M)
    steps = 0.5 * (inverse[1:] + inverse[:-1]) * np.diff(z)
    return z, _HUBBLE_DISTANCE * np.concatenate([[0], np.cumsum(steps)])


def comoving_distance(z: ArrayLike) -> NDArray[np.float64]:
    """
    Comoving distance in flat LCDM with H0 = 70 km/s/Mpc and matter density 0.3.

    Parameters
    ----------
    z : array_like of float
        Redshifts, 0 to 6.

    Returns
    -------
    ndarray of float64
        Distances [Mpc].
    """
    return np.interp(np.asarray(z, dtype=float), *_comoving_grid())


def distance_modulus(z: ArrayLike) -> NDArray[np.float64]:
    """Distance modulus [mag] at redshift `z` > 0, same cosmology as `comoving_distance`."""
    return 5 * np.log10(comoving_distance(z) * (1 + np.asarray(z))) + 25


def arcsec_per_kpc(z: ArrayLike) -> NDArray[np.float64]:
    """Angle [arcsec] that 1 kpc spans at redshift `z` > 0, same cosmology as `comoving_distance`."""
    return np.degrees(1e-3 * (1 + np.asarray(z)) / comoving_distance(z)) * 3600


def add_light(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude of two sources together."""
    return -2.5 * np.log10(10 ** (-0.4 * first) + 10 ** (-0.4 * second))


def light_share(part: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the total flux in one part, both given as magnitudes; 0 to 1."""
    return np.clip(10 ** (-0.4 * (part - total)), 0, 1)


def split_normal(n: int, rng: np.random.Generator, below: float, above: float) -> NDArray[np.float64]:
    """Draws of a two-piece normal distribution with its median near 0 and a width for either side."""
    unit = rng.standard_normal(n)
    return np.where(unit < 0, below, above) * unit


def power_law_magnitudes(
    n: int, rng: np.random.Generator, slope: float, bright: float, faint: float
) -> NDArray[np.float64]:
    """Magnitudes between two limits whose counts rise as 10^(slope m)."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.log10(rng.uniform(low, high, n)) / slope
