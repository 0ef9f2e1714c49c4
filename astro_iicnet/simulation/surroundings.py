"""What lies around and behind a source: faint neighbours, background, correlated noise.

Figures marked "measured" come from blank parts of real AllWISE Atlas images; the benchmark
``benchmarks/fit_noise.py`` repeats the fit of the noise components.
"""

from dataclasses import dataclass

import numpy as np

from astro_iicnet.allwise.bands import PIXEL_SCALE, get_band

NEIGHBOUR_LIMIT = 19.0
"""Faintest neighbour [W1, Vega mag]; fainter ones merge into the measured noise."""

_COUNT_W1 = np.array([6.0, 8.0, 10.0, 12.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0])
_COUNT_STARS = np.array([0.10, 0.80, 1.45, 2.05, 2.60, 2.85, 3.08, 3.28, 3.45, 3.60])
_COUNT_GALAXIES = np.array([-3.0, -2.0, -0.9, 0.35, 1.55, 2.25, 3.00, 3.60, 3.98, 4.25])
"""log10 of the number per square degree and magnitude at high galactic latitude."""

_DEG2_PER_PIXEL = (PIXEL_SCALE / 3600) ** 2


@dataclass(frozen=True)
class Noise:
    """Noise of one band at the median depth of 27 exposures.

    Parameters
    ----------
    sigmas : tuple of float
        Widths [px] of the Gaussian kernels that smooth white noise; a kernel of width s gives
        an autocorrelation ``exp(-lag**2 / (4 s**2))``.
    amplitudes : tuple of float
        Standard deviation [DN] of each of these fields.
    gain : float
        Electrons per DN of a single exposure.
    residual : float
        Scatter of a bright star about the mean PSF, as a fraction of the geometric mean of the
        light in the pixel and of the peak (measured).
    """

    sigmas: tuple[float, ...]
    amplitudes: tuple[float, ...]
    gain: float
    residual: float


NOISE = {
    "W1": Noise((0.7, 1.85, 5.0, 14.0), (0.024, 0.041, 0.059, 0.084), 3.20, 0.012),
    "W2": Noise((0.7, 1.85, 5.0, 14.0), (0.007, 0.050, 0.063, 0.072), 3.83, 0.012),
    "W3": Noise((0.7, 1.85, 5.0, 14.0), (0.025, 0.343, 0.370, 0.040), 6.83, 0.016),
    "W4": Noise((0.7, 2.60, 5.0, 14.0), (0.006, 0.031, 0.035, 0.014), 24.5, 0.016),
}
"""By band name. Amplitudes are printed by the benchmark; the kernel of 1.85 px (2.6 in W4) is the
smoothing of the co-addition, the wider ones are unresolved sources and the sky. Gains: Explanatory
Supplement to the WISE All-Sky Data Release, section IV."""

EXPOSURES = 27
"""Median number of exposures in an Atlas image."""


def draw_neighbours(
    n: int, extent: float, crowding: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the sources that happen to lie around each of n positions.

    Stars and galaxies follow number counts at high galactic latitude (star counts of the
    Wainscoat et al. 1992 model in K; galaxies of Fazio et al. 2004 at 3.6 micron), stars times
    ``crowding``.

    Parameters
    ----------
    n : int
        How many scenes.
    extent : float
        Side [px] of the square in which they lie, centred on the scene.
    crowding : numpy.ndarray
        (n,) star density relative to a high galactic latitude.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict of numpy.ndarray
        ``x``, ``y`` [px from the centre] and ``w1`` .. ``w4`` [Vega mag], each (n, M) float32 with M the
        largest count; unused places have infinite magnitudes.
    """
    grid = np.linspace(_COUNT_W1[0], NEIGHBOUR_LIMIT, 1301)
    step = grid[1] - grid[0]
    area = extent**2 * _DEG2_PER_PIXEL
    found: dict[str, np.ndarray] = {}
    groups = []
    for counts, scale, colours in (
        (_COUNT_STARS, crowding, _star_colours),
        (_COUNT_GALAXIES, np.ones(n), _galaxy_colours),
    ):
        density = 10 ** np.interp(grid, _COUNT_W1, counts)
        cumulative = np.concatenate([[0], np.cumsum(density) * step])
        number = rng.poisson(cumulative[-1] * area * scale)
        width = int(number.max(initial=0))
        w1 = np.interp(rng.uniform(0, cumulative[-1], (n, width)), cumulative, np.append(grid, grid[-1]))
        w1[np.arange(width) >= number[:, None]] = np.inf
        groups.append((w1, *colours(w1, rng)))
    for k, band in enumerate(("w1", "w2", "w3", "w4")):
        found[band] = np.concatenate([group[k] for group in groups], axis=1).astype(np.float32)
    for axis in ("x", "y"):
        found[axis] = rng.uniform(-extent / 2, extent / 2, found["w1"].shape).astype(np.float32)
    return found


def _star_colours(w1: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    w2 = w1 + 0.03 - 0.05 * rng.standard_normal(w1.shape)
    w3 = w2 - 0.05 - 0.05 * rng.standard_normal(w1.shape)
    return w2, w3, w3 - 0.05


def _galaxy_colours(w1: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    active = rng.random(w1.shape) < 0.05
    w1_w2 = np.where(active, 1.1, 0.25) + 0.2 * rng.standard_normal(w1.shape)
    w2_w3 = np.where(active, 3.0, 2.3) + np.where(active, 0.4, 1.1) * rng.standard_normal(w1.shape)
    w2 = w1 - w1_w2
    w3 = w2 - np.clip(w2_w3, 0, 4.8)
    return w2, w3, w3 - 2.0


def correlated_field(n: int, size: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """White noise smoothed by a Gaussian, of unit variance.

    Parameters
    ----------
    n : int
        How many fields.
    size : int
        Pixels on a side.
    sigma : float
        Width of the Gaussian [px].
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (n, size, size) float32 with autocorrelation ``exp(-lag**2 / (4 sigma**2))``.
    """
    step = max(1.0, 0.6 * sigma)
    nodes = np.arange(-4 * sigma, size - 1 + 4 * sigma + step, step)
    kernel = np.exp(-0.5 * ((np.arange(size)[:, None] - nodes) / sigma) ** 2)
    kernel = (kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))).astype(np.float32)
    white = rng.standard_normal((n, len(nodes), len(nodes)), dtype=np.float32)
    return kernel @ white @ kernel.T


def noise_field(n: int, size: int, band: str, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Background noise of one band.

    Parameters
    ----------
    n, size : int
        How many fields, and pixels on a side.
    band : str
        Band name.
    depth : numpy.ndarray
        (n,) noise relative to the median depth.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (n, size, size) float32 [DN].
    """
    noise = NOISE[band]
    total = np.zeros((n, size, size), np.float32)
    for sigma, amplitude in zip(noise.sigmas, noise.amplitudes, strict=True):
        if amplitude > 0:
            total += np.float32(amplitude) * correlated_field(n, size, sigma, rng)
    return total * depth[:, None, None].astype(np.float32)


def background(n: int, size: int, band: str, crowding: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Level, gradient and, in W3 and W4, nebulosity behind the sources.

    Levels are uniform over the measured range of the band. The gradient across 41 px has a scatter
    of a third of the pixel noise. Nebulosity is a smooth field (8 px) of log-normal amplitude, with
    0.7 dex of scatter: a fifth of the pixel noise in the median at high latitude, five times the
    noise where stars crowd, and up to 200 times, as about stars in the galactic plane.

    Parameters
    ----------
    n, size : int
        How many fields, and pixels on a side.
    band : str
        Band name.
    crowding : numpy.ndarray
        (n,) star density relative to a high galactic latitude; low latitude is above 2.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (n, size, size) float32 [DN].
    """
    facts = get_band(band)
    level = rng.uniform(*facts.background, n)
    slope = rng.standard_normal((n, 2)) * facts.noise / 3 / 41
    axis = np.arange(size) - (size - 1) / 2
    sky = level[:, None, None] + slope[:, :1, None] * axis + slope[:, 1:, None] * axis[:, None]
    if band in ("W3", "W4"):
        median, largest = np.where(crowding > 2, [[0.7], [2.3]], [[-0.7], [1.0]])
        amplitude = facts.noise * 10 ** np.minimum(median + 0.7 * rng.standard_normal(n), largest)
        sky += amplitude[:, None, None] * correlated_field(n, size, 8.0, rng)
    return sky.astype(np.float32)
