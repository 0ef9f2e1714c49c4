"""Galaxies of an SDSS spectroscopic sample crossed with AllWISE."""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from astro_iicnet.simulation import tracks
from astro_iicnet.simulation.selection import (
    Columns,
    add_light,
    arcsec_per_kpc,
    comoving_distance,
    concatenate,
    distance_modulus,
    draw_complete,
    light_share,
)


class Sample(NamedTuple):
    """A flux-limited sample: share, type, r limit (AB), redshifts, faintest absolute magnitude."""

    fraction: float
    early: bool
    r_limit: float
    z_min: float
    z_max: float
    faintest: float


SAMPLES = {
    "nearby, early": Sample(0.03, True, 14.5, 0.001, 0.3, -16.0),
    "nearby, late": Sample(0.03, False, 14.5, 0.001, 0.3, -15.0),
    "main, early": Sample(0.27, True, 17.77, 0.003, 0.4, -16.0),
    "main, late": Sample(0.27, False, 17.77, 0.003, 0.4, -15.0),
    "LOWZ": Sample(0.15, True, 19.6, 0.15, 0.43, -21.9),
    "CMASS, early": Sample(0.15, True, 20.9, 0.43, 0.70, -22.0),
    "CMASS, late": Sample(0.05, False, 20.9, 0.43, 0.70, -21.8),
    "faint late": Sample(0.05, False, 20.0, 0.05, 0.70, -17.0),
}
"""What SDSS took spectra of, and the share of each sample among the galaxies that pass the faint limit."""

# Schechter functions (M*, phi*, alpha) of red and blue galaxies, rest r band, H0 = 70 (Baldry et
# al. 2004, Table 3).
_RED = ((-21.49, 0.00225, -0.83),)
_BLUE = ((-20.60, 0.00282, -0.26), (-20.60, 0.00235, -1.35))
_EVOLUTION = 1.0
_Z_LOCAL = 0.05
_SUN_W1 = 3.24


def draw_galaxies(n: int, rng: np.random.Generator) -> Columns:
    """
    Draw galaxies: magnitudes, colours, redshifts and shapes.

    - Redshift and luminosity come together, from red and blue luminosity functions [1]_ (1 mag of
      brightening per unit of redshift, as [2]_ within the errors) and the limit of each SDSS sample
      in `SAMPLES`: main r < 17.77 [3]_; LOWZ r < 19.6 and CMASS i < 19.9, for which r < 20.9 stands
      [4]_, a quarter of CMASS being late types [5]_; and 6 % of nearby galaxies with r < 14.5, of
      which SDSS has fewer, because the lists that people bring hold them. Limits are 0.15 mag wide.
    - W1 follows from r by the mass-to-light ratios of stars: rest (r - W1) of early types is 2.85
      +/- 0.25, of late types 2.4 +/- 0.4 and 0.25 bluer per magnitude of lower luminosity; K
      corrections -6.2 (early) and -5.5 log(1+z) in W1.
    - Colours: `galaxy_colours`, the rest W2-W3 being 0.25 to 1 for two thirds of the early types
      and up to 3.5 for the others, 3.5 +/- 0.45 for late types, 4.3 to 5.5 for 1 % of starbursts
      [6]_.
    - 6 % hold an obscured AGN that gives 3 to 95 % of the W1 light, evenly in the logarithm; about
      1 % of all galaxies reach W1-W2 > 0.8 that way, as found by [7]_. Their nuclei are unresolved.
    - Half-light radii: `half_light_radii`. Sersic index: lognormal, median 3.8 (early), 1.3 (late),
      0.15 dex, as [8]_. Discs are seen at random inclination (thickness 0.2), early types have axis
      ratios of 0.5 to 1 [9]_.

    Parameters
    ----------
    n : int
        Galaxies wanted.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of ndarray
        Columns ``subtype`` ("early", "late", "obscured AGN"), ``redshift``, ``w1`` .. ``w4`` (Vega
        mag), ``point_fraction`` (n, 4), ``radius`` (half-light semi-major axis, arcsec),
        ``sersic_n``, ``axis_ratio``.

    References
    ----------
    .. [1] Baldry et al. 2004, ApJ 600, 681.
    .. [2] Blanton et al. 2003, ApJ 592, 819.
    .. [3] Strauss et al. 2002, AJ 124, 1810.
    .. [4] Reid et al. 2016, MNRAS 455, 1553.
    .. [5] Masters et al. 2011, MNRAS 418, 1055.
    .. [6] Wright et al. 2010, AJ 140, 1868; Alatalo et al. 2014, ApJ 794, L13.
    .. [7] Assef et al. 2013, ApJ 772, 26; Yan et al. 2013, AJ 145, 55.
    .. [8] Blanton & Moustakas 2009, ARA&A 47, 159.
    .. [9] Padilla & Strauss 2008, MNRAS 388, 1321.
    """
    counts = rng.multinomial(n, [sample.fraction for sample in SAMPLES.values()])
    parts = [
        draw_complete(int(count), rng, functools.partial(_draw_sample, sample=sample))
        for sample, count in zip(SAMPLES.values(), counts, strict=True)
    ]
    return concatenate(parts)


def galaxy_colours(
    rest_w2_w3: NDArray[np.float64], redshift: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """
    Colours of galaxies, recentred on real ones.

    At z = 0, W1-W2 and W3-W4 follow W2-W3 along the running median of real nearby galaxies, with
    their scatter. With redshift they move as the templates of Assef et al. 2010 (ApJ 713, 970) do:
    the elliptical for W2-W3 < 0.5, the mean of spiral and irregular for W2-W3 > 3, a mixture
    between. Where template and real colour differ at z = 0, half of the difference comes back by z
    = 0.2, since no real galaxies of higher redshift were at hand.

    Parameters
    ----------
    rest_w2_w3 : ndarray of float64, shape (N,)
        W2-W3 at redshift 0; early types 0.3-1, late types 2.5-4.5.
    redshift : ndarray of float64, shape (N,)
        Redshifts, 0 to 4.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (N, 3)
        W1-W2, W2-W3, W3-W4.
    """
    late = np.clip((rest_w2_w3 - 0.5) / 2.5, 0, 1)[:, None]
    track = (1 - late) * tracks.colours("E", redshift) + late * tracks.colours("late", redshift)
    origin = (1 - late) * tracks.colours("E", 0.0) + late * tracks.colours("late", 0.0)
    real = np.stack(
        [np.interp(rest_w2_w3, *tracks.REAL_W1_W2), rest_w2_w3, np.interp(rest_w2_w3, *tracks.REAL_W3_W4)],
        axis=1,
    )
    real[:, 0] += np.interp(rest_w2_w3, *tracks.REAL_SCATTER) * rng.standard_normal(len(real))
    real[:, 2] += 0.3 * rng.standard_normal(len(real))
    shift = track - origin
    shift[:, 1] *= late[:, 0]
    median = np.interp(rest_w2_w3, *tracks.REAL_W1_W2)
    shift[:, 0] += 0.5 * (origin[:, 0] - median) * np.minimum(redshift / 0.2, 1)
    return real + shift


def half_light_radii(
    w1_absolute: NDArray[np.float64],
    early: NDArray[np.bool_],
    redshift: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """
    Half-light radii of galaxies in a circular aperture, W1.

    Size-mass relations of Shen et al. 2003 (MNRAS 343, 978; erratum 379, 400; equations 17-19 and
    Table 1) with their scatter; stellar mass from W1 with M/L = 0.6 (early) and 0.5 (late) solar
    (Cluver et al. 2014, ApJ 782, 90; Meidt et al. 2014, ApJ 788, 144). W1 sizes are taken as 0.8
    (early) and 0.85 (late) of the r-band ones (trend of Kelvin et al. 2012, MNRAS 421, 1007) and
    shrink from z = 0.1 on as (1+z)^-0.49 (early; Beifiori et al. 2014, ApJ 789, 92) and (1+z)^-0.75
    (late; van der Wel et al. 2014, ApJ 788, 28).

    Parameters
    ----------
    w1_absolute : ndarray of float64, shape (N,)
        Absolute Vega magnitude in W1, K-corrected, and corrected for evolution to z = 0.05.
    early : ndarray of bool, shape (N,)
        Early type or late type.
    redshift : ndarray of float64, shape (N,)
        Redshifts > 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (N,)
        Radii [arcsec].
    """
    mass = 10 ** (-0.4 * (w1_absolute - _SUN_W1)) * np.where(early, 0.6, 0.5)
    kpc_early = 2.88e-6 * mass**0.56
    kpc_late = 0.1 * mass**0.14 * (1 + mass / 3.98e10) ** 0.25
    scatter = 0.34 + 0.13 / (1 + (mass / 3.98e10) ** 2)
    kpc = np.where(early, 0.8 * kpc_early, 0.85 * kpc_late) * np.exp(scatter * rng.standard_normal(mass.size))
    growth = ((1 + np.maximum(redshift, 0.1)) / 1.1) ** np.where(early, -0.49, -0.75)
    return kpc * growth * arcsec_per_kpc(redshift)


def galaxy_shapes(
    early: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sersic indices and axis ratios of early and late types; the sources are those of `draw_galaxies`."""
    n = early.size
    index = np.where(early, 3.8, 1.3) * 10 ** (0.15 * rng.standard_normal(n))
    index = np.clip(index, np.where(early, 1.5, 0.5), np.where(early, 6.0, 3.0))
    disc = np.sqrt(0.2**2 + (1 - 0.2**2) * rng.random(n) ** 2)
    return index, np.where(early, 0.5 + 0.5 * rng.beta(2.5, 1.5, n), disc)


def semi_major(
    radius: NDArray[np.float64], early: NDArray[np.bool_], axis_ratio: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn circular into semi-major half-light radii; randomly inclined discs: 1.3 times."""
    return np.clip(radius * np.where(early, axis_ratio**-0.5, 1.3), 0.05, 90)


@functools.cache
def _joint_distribution(sample: Sample) -> tuple[NDArray, NDArray, NDArray]:
    """Grids of redshift and absolute r magnitude, and the cumulated density of the sample over both."""
    z = np.geomspace(sample.z_min, sample.z_max, 300)
    absolute = np.arange(-24.5, sample.faintest + 0.04, 0.05)
    density = np.zeros(absolute.size)
    for bright, amplitude, alpha in _RED if sample.early else _BLUE:
        ratio = 10 ** (-0.4 * (absolute - bright))
        density += amplitude * ratio ** (alpha + 1) * np.exp(-ratio)
    volume = np.gradient(comoving_distance(z) ** 3, z) * z
    r = absolute + (distance_modulus(z) + _r_shift(z, sample.early))[:, None]
    weight = volume[:, None] * density / (1 + np.exp((r - sample.r_limit) / 0.15))
    cumulated = np.cumsum(weight)
    return z, absolute, cumulated / cumulated[-1]


def _r_shift(z: NDArray[np.float64], early: bool) -> NDArray[np.float64]:
    """K correction of r (Chilingarian et al. 2010, MNRAS 405, 1409, to 0.1 mag) less evolution."""
    k = 1.0 * z + 1.5 * z**2 if early else 0.6 * z + 0.4 * z**2
    return k - _EVOLUTION * (z - _Z_LOCAL)


def _draw_sample(n: int, rng: np.random.Generator, sample: Sample) -> Columns:
    """Draw galaxies of one sample, before the W1 limit."""
    z_grid, m_grid, cumulated = _joint_distribution(sample)
    row, column = np.divmod(np.searchsorted(cumulated, rng.random(n)), m_grid.size)
    z = z_grid[row] * (z_grid[1] / z_grid[0]) ** rng.uniform(-0.5, 0.5, n)
    absolute_r = m_grid[column] + rng.uniform(-0.025, 0.025, n)
    early = np.full(n, sample.early)
    if sample.early:
        r_w1 = 2.85 + 0.25 * rng.standard_normal(n)
        k_w1 = -6.2
    else:
        r_w1 = np.clip(2.4 - 0.25 * (absolute_r + 20.5), 1.4, 3.1) + 0.4 * rng.standard_normal(n)
        k_w1 = -5.5
    absolute = absolute_r - r_w1
    w1 = absolute + distance_modulus(z) + k_w1 * np.log10(1 + z) - _EVOLUTION * (z - _Z_LOCAL)
    pure = 0.9 if sample.faintest < -21 else 0.65
    rest = _rest_w2_w3(n, rng, sample.early, pure)
    sersic_n, axis_ratio = galaxy_shapes(early, rng)
    radius = half_light_radii(absolute, early, z, rng)
    stars = w1[:, None] - np.cumsum(np.column_stack([np.zeros(n), galaxy_colours(rest, z, rng)]), axis=1)
    return {
        **_with_hidden_nuclei(stars, z, early, rng),
        "redshift": z,
        "radius": semi_major(radius, early, axis_ratio),
        "sersic_n": sersic_n,
        "axis_ratio": axis_ratio,
    }


def _rest_w2_w3(n: int, rng: np.random.Generator, early: bool, pure: float) -> NDArray[np.float64]:
    """W2-W3 at redshift 0."""
    late_colour = 3.5 + 0.45 * rng.standard_normal(n)
    late_colour = np.where(rng.random(n) < 0.01, rng.uniform(4.3, 5.5, n), late_colour)
    if not early:
        return late_colour
    passive = 0.25 + rng.gamma(2.0, 0.18, n)
    return np.where(rng.random(n) < pure, passive, rng.triangular(0.8, 1.5, 3.5, n))


def _with_hidden_nuclei(
    stars: NDArray[np.float64], z: NDArray[np.float64], early: NDArray[np.bool_], rng: np.random.Generator
) -> Columns:
    """Add obscured AGN to 6 % of the galaxies; give magnitudes, point fractions and subtypes."""
    n = z.size
    hidden = rng.random(n) < 0.06
    share = np.exp(rng.uniform(np.log(0.03), np.log(0.95), n))
    nucleus_w1 = stars[:, 0] - 2.5 * np.log10(share / (1 - share))
    colours = (
        tracks.colours("AGN", z)
        + rng.exponential(0.15, n)[:, None] * [1, 0.5, 0]
        + 0.1 * rng.standard_normal((n, 3))
    )
    nucleus = nucleus_w1[:, None] - np.cumsum(np.column_stack([np.zeros(n), colours]), axis=1)
    nucleus[~hidden] = 99
    total = add_light(stars, nucleus)
    subtype = np.where(hidden, "obscured AGN", np.where(early, "early", "late")).astype("U16")
    return {
        **{f"w{band + 1}": total[:, band] for band in range(4)},
        "point_fraction": np.where(hidden[:, None], light_share(nucleus, total), 0.0),
        "subtype": subtype,
    }
