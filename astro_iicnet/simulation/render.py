"""Draw sources as the AllWISE Atlas would show them.

Every profile is a mixture of Gaussians, so that a point source is a product of two
one-dimensional profiles and a galaxy convolved with the PSF is exact (Hogg & Lang 2013, PASP
125, 719).
"""

import numpy as np
from astropy.table import Table

from astro_iicnet.allwise.bands import PIXEL_SCALE, get_band
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.simulation.sersic import sersic_mixture
from astro_iicnet.simulation.surroundings import (
    EXPOSURES,
    NOISE,
    background,
    correlated_field,
    draw_neighbours,
    noise_field,
)

DENSEST = 16.0
"""Highest star density at low latitude, relative to a high galactic latitude."""

_MARGIN = 12
_CHUNK = 128
_BLEND = 6.0 / PIXEL_SCALE
# Share of the light and width [px] that is added to the fitted PSF, so that bright unsaturated stars
# agree with it beyond 10 px (second table of benchmarks/fit_saturation.py).
_WINGS = {"W1": (0.022, 11.0), "W2": (0.030, 11.5), "W3": (-0.05, 14.0)}
# Drawn through the medians of the first table of benchmarks/fit_saturation.py, W1 and W2 together.
_SATURATION = {
    "excess": (0, 0.3, 0.5, 0.7, 0.9, 1.1, 1.4, 1.65, 1.9, 2.25, 2.6, 2.9, 3.2, 3.7, 4.1, 5.0),
    "kept": (1, 0.92, 0.79, 0.69, 0.58, 0.5, 0.43, 0.31, 0.23, 0.15, 0.07, 0.05, 0.034, 0.026, 0.02, 0.015),
    "width": (8.6, 8.6, 8.1, 7.4, 8.1, 8.3, 8.3, 9.5, 9.6, 9.8, 10.0, 10.0, 10.0, 10.4, 10.8, 11.5),
    "power": (2.4, 2.4, 2.4, 2.4, 2.4, 2.4, 2.4, 2.5, 2.75, 3.0, 3.2, 3.4, 3.4, 3.5, 3.9, 4.5),
}
_SATURATION_SCATTER = {"excess": 0.1, "kept": 0.15, "width": 0.06}


def render(
    sources: Table,
    rng: np.random.Generator,
    *,
    bands: tuple[str, ...] = ("W1", "W2", "W3"),
    size: int = 41,
    densest: float = DENSEST,
) -> tuple[np.ndarray, np.ndarray]:
    """Render one cutout for each source.

    Each holds the source at its true position, which differs from the catalogued one by the
    position error; neighbours down to W1 = 19; background level, gradient and nebulosity;
    correlated noise scaled by the depth of the place; photon noise and PSF scatter of the
    sources; saturated cores; and, rarely, missing pixels. A neighbour brighter than the source and
    within 6 arcsec is left out: the catalogue would have listed the blend under the neighbour. Neighbours
    more than 12 px outside are not drawn, though the wings of the brightest would reach in.

    Parameters
    ----------
    sources : `~astropy.table.Table`
        As `~astro_iicnet.simulation.populations.draw_sources` makes it.
    rng : numpy.random.Generator
        Source of randomness.
    bands : tuple of str, optional
        Bands to render.
    size : int, optional
        Pixels on a side, odd.
    densest : float, default 16
        See `draw_crowding`.

    Returns
    -------
    pixels : numpy.ndarray
        (N, B, size, size) float32 [DN].
    offset : numpy.ndarray
        (N, 2) float32 [px], (x, y): catalogued position minus middle pixel.
    """
    n = len(sources)
    pixels = np.empty((n, len(bands), size, size), np.float32)
    offset = rng.uniform(-0.5, 0.5, (n, 2)).astype(np.float32)
    crowding = draw_crowding(n, rng, densest)
    # rows of like density share a chunk, which keeps the padding of the neighbour lists small
    order = np.argsort(crowding)
    for start in range(0, n, _CHUNK):
        rows = order[start : start + _CHUNK]
        pixels[rows] = _render_chunk(sources[rows], offset[rows], crowding[rows], bands, size, rng)
    blank_pixels(pixels, rng)
    return pixels, offset


def draw_crowding(n: int, rng: np.random.Generator, densest: float = DENSEST) -> np.ndarray:
    """Star density relative to high galactic latitude.

    Four fifths of the positions lie off the plane (scatter 0.2 dex), one fifth at low latitude
    (2 to ``densest`` times as many stars, log-uniform).

    Parameters
    ----------
    n : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.
    densest : float, default 16
        Highest density at low latitude.

    Returns
    -------
    numpy.ndarray
        (n,) factors.

    Raises
    ------
    IICnetError
        If ``densest`` is not above 2.
    """
    if not densest > 2:
        raise IICnetError(f"densest={densest}: expected more than 2, where low latitude begins.")
    off_plane = 10 ** (0.2 * rng.standard_normal(n))
    return np.where(rng.random(n) < 0.8, off_plane, 2 ** rng.uniform(1, np.log2(densest), n))


def position_error(n: int, rng: np.random.Generator) -> np.ndarray:
    """Catalogued minus true position: 0.3 arcsec rms, and 6 % uniform in radius up to 2 arcsec.

    Parameters
    ----------
    n : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (n, 2) [px].
    """
    radius = np.where(
        rng.random(n) < 0.94,
        0.3 / np.sqrt(2) * np.hypot(*rng.standard_normal((2, n))),
        rng.uniform(0.3, 2.0, n),
    )
    angle = rng.uniform(0, 2 * np.pi, n)
    return radius[:, None] / PIXEL_SCALE * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _render_chunk(
    sources: Table,
    offset: np.ndarray,
    crowding: np.ndarray,
    bands: tuple[str, ...],
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    n = len(sources)
    axis = np.arange(size, dtype=np.float32) - size // 2
    true = offset - position_error(n, rng).astype(np.float32)
    neighbours = draw_neighbours(n, size + 2 * _MARGIN, crowding, rng)
    distance = np.hypot(neighbours["x"] - true[:, :1], neighbours["y"] - true[:, 1:])
    swallowed = (distance < _BLEND) & (neighbours["w1"] < np.asarray(sources["w1"])[:, None])
    depth = 10 ** (0.07 * rng.standard_normal(n))
    stretch = draw_stretch(n, rng)
    images = np.empty((n, len(bands), size, size), np.float32)
    for k, band in enumerate(bands):
        flux = np.where(swallowed, 0, band_flux(neighbours[band.lower()], band))
        share = point_share(sources, band)
        total = band_flux(np.asarray(sources[band.lower()]), band)
        x = np.concatenate([true[:, :1], neighbours["x"]], axis=1)
        y = np.concatenate([true[:, 1:], neighbours["y"]], axis=1)
        flux = np.concatenate([(total * share)[:, None], flux], axis=1)
        light = point_sources(axis, x, y, flux, band, stretch)
        spread = np.flatnonzero(share < 1)
        if spread.size:
            light[spread] += extended_sources(
                axis, sources[spread], true[spread], (total * (1 - share))[spread], band, stretch[spread]
            )
        light += source_noise(light, band, rng)
        light *= saturation_factor(axis, true, np.asarray(sources[band.lower()]), band, rng)
        light += noise_field(n, size, band, depth, rng)
        images[:, k] = light + background(n, size, band, crowding, rng)
    return images


def band_flux(mag: np.ndarray, band: str) -> np.ndarray:
    """Flux [DN] of a Vega magnitude, less the wings added here: ``10**(0.4 (MAGZP - m))``, 0 for infinity."""
    return (10 ** (0.4 * (get_band(band).zero_point - mag))).astype(np.float32)


def point_share(sources: Table, band: str) -> np.ndarray:
    """Share of the light that is unresolved, (N,)."""
    return np.asarray(sources["point_fraction"])[:, int(band[1]) - 1]


def draw_stretch(n: int, rng: np.random.Generator) -> np.ndarray:
    """PSF width along x and y relative to the mean PSF, (n, 2).

    Measured on bright stars: 5 % longer in y than in x with a scatter of 2 %, common width
    within 0.5 %.
    """
    shape = -0.025 + 0.01 * rng.standard_normal(n)
    width = 1 + 0.005 * rng.standard_normal(n)
    return np.stack([width * (1 + shape), width * (1 - shape)], axis=1).astype(np.float32)


def _psf_components(band: str) -> list[tuple[float, float]]:
    """Share of the light and width [px] of each Gaussian of the PSF, wings included."""
    psf = get_band(band).psf
    wings = [_WINGS[band]] if band in _WINGS else []
    return [*zip(psf.fractions, psf.sigmas, strict=True), *wings]


def point_sources(
    axis: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray, band: str, stretch: np.ndarray
) -> np.ndarray:
    """Sum of PSFs.

    Parameters
    ----------
    axis : numpy.ndarray
        (S,) pixel coordinates, the same along x and y.
    x, y : numpy.ndarray
        (N, M) positions in these coordinates [px].
    flux : numpy.ndarray
        (N, M) total fluxes [DN].
    band : str
        Band name.
    stretch : numpy.ndarray
        (N, 2) as from `draw_stretch`.

    Returns
    -------
    numpy.ndarray
        (N, S, S) float32 [DN].
    """
    images = np.zeros((len(x), len(axis), len(axis)), np.float32)
    dx = axis - x[..., None].astype(np.float32)
    dy = axis - y[..., None].astype(np.float32)
    for fraction, sigma in _psf_components(band):
        sx, sy = (np.float32(sigma) * stretch[:, i, None, None] for i in (0, 1))
        height = np.float32(fraction) * flux[..., None] / (2 * np.pi * sx * sy)
        profile_y = height * np.exp(-0.5 * (dy / sy) ** 2)
        images += profile_y.transpose(0, 2, 1) @ np.exp(-0.5 * (dx / sx) ** 2)
    return images


def extended_sources(
    axis: np.ndarray,
    sources: Table,
    position: np.ndarray,
    flux: np.ndarray,
    band: str,
    stretch: np.ndarray,
) -> np.ndarray:
    """Sersic profiles convolved with the PSF, one a row.

    Parameters
    ----------
    axis : numpy.ndarray
        (S,) pixel coordinates.
    sources : `~astropy.table.Table`
        Columns ``radius`` [arcsec], ``sersic_n``, ``axis_ratio``, ``position_angle`` [deg].
    position : numpy.ndarray
        (N, 2) centres (x, y) in pixel coordinates.
    flux : numpy.ndarray
        (N,) total fluxes [DN].
    band : str
        Band name.
    stretch : numpy.ndarray
        (N, 2) as from `draw_stretch`.

    Returns
    -------
    numpy.ndarray
        (N, S, S) float32 [DN].
    """
    weights, widths = sersic_mixture(np.asarray(sources["sersic_n"], float))
    angle = np.radians(np.asarray(sources["position_angle"], float))
    ratio2 = np.asarray(sources["axis_ratio"], float) ** 2
    # major axis at the position angle, east of north; east is towards smaller x
    xx = np.sin(angle) ** 2 + ratio2 * np.cos(angle) ** 2
    yy = np.cos(angle) ** 2 + ratio2 * np.sin(angle) ** 2
    xy = (ratio2 - 1) * np.sin(angle) * np.cos(angle)
    dx = (axis - position[:, :1])[:, None, :]
    dy = (axis - position[:, 1:])[:, :, None]
    dxx, dyy, dxy = dx**2, dy**2, dx * dy
    images = np.zeros((len(sources), len(axis), len(axis)), np.float32)
    for j in range(weights.shape[1]):
        size2 = (widths[:, j] * np.asarray(sources["radius"], float) / PIXEL_SCALE) ** 2
        for fraction, sigma in _psf_components(band):
            cxx = size2 * xx + (sigma * stretch[:, 0]) ** 2
            cyy = size2 * yy + (sigma * stretch[:, 1]) ** 2
            cxy = size2 * xy
            det = cxx * cyy - cxy**2
            a, b, c, height = (
                v.astype(np.float32)[:, None, None]
                for v in (
                    -0.5 * cyy / det,
                    cxy / det,
                    -0.5 * cxx / det,
                    flux * weights[:, j] * fraction / (2 * np.pi * np.sqrt(det)),
                )
            )
            images += height * np.exp(a * dxx + b * dxy + c * dyy)
    return images


def source_noise(light: np.ndarray, band: str, rng: np.random.Generator) -> np.ndarray:
    """Photon noise of the sources and the scatter about the mean PSF, (N, S, S) float32 [DN].

    Photons: variance ``f / (gain x exposures)`` on the Atlas grid, of which 2 x 2 pixels make one of
    the detector, after the smoothing of the co-addition, a Gaussian of 1.85 px. This is an upper
    estimate, up to four times the variance of the summed flux; it lies below the sky noise or the
    scatter of the PSF almost everywhere.
    """
    noise = NOISE[band]
    photons = 4 / (noise.gain * EXPOSURES) / (4 * np.pi * 1.85**2)
    peak = light.max(axis=(1, 2), keepdims=True)
    sigma = np.sqrt(np.maximum(light, 0) * (photons + noise.residual**2 * peak))
    return sigma * correlated_field(len(light), light.shape[-1], 1.85, rng)


def saturation_factor(
    axis: np.ndarray, position: np.ndarray, mag: np.ndarray, band: str, rng: np.random.Generator
) -> np.ndarray:
    """How much of the light the saturated core of a bright star keeps.

    ``1 - (1 - kept) exp(-(r / width)**power)``, all three functions of the magnitudes by which the star
    exceeds the brightest one that is whole, a quarter of a magnitude below the saturation limit of
    the band. Measured by ``benchmarks/fit_saturation.py`` on stars that do not saturate in W3, up to an
    excess of 4.5 in W1 and 3 in W2, of which the mean is taken: real cores keep up to a quarter more
    in W1 and less in W2. Near an excess of 0 the scatter is larger than the real one. The total magnitude
    decides, also of a galaxy, whose core may be too faint to saturate: that is so for less than one in
    a thousand. Neighbours do not saturate.

    Parameters
    ----------
    axis : numpy.ndarray
        (S,) pixel coordinates.
    position : numpy.ndarray
        (N, 2) centres (x, y) in pixel coordinates.
    mag : numpy.ndarray
        (N,) total Vega magnitudes.
    band : str
        Band name.
    rng : numpy.random.Generator
        Source of randomness: 0.1 mag of scatter, 15 % in what is kept, 6 % in width.

    Returns
    -------
    numpy.ndarray
        (N, S, S) float32, 1 where nothing saturates.
    """
    factor = np.ones((len(mag), len(axis), len(axis)), np.float32)
    noise = {name: scatter * rng.standard_normal(len(mag)) for name, scatter in _SATURATION_SCATTER.items()}
    excess = get_band(band).saturation + 0.25 - mag + noise["excess"]
    rows = np.flatnonzero(excess > 0)
    kept, width, power = (
        np.interp(excess[rows], _SATURATION["excess"], _SATURATION[name])[:, None, None]
        for name in ("kept", "width", "power")
    )
    depth = 1 - np.minimum(kept * np.exp(noise["kept"][rows])[:, None, None], 1)
    width = width * np.exp(noise["width"][rows])[:, None, None]
    dx, dy = (axis - position[rows, i : i + 1] for i in (0, 1))
    radius = np.hypot(dx[:, None, :], dy[:, :, None])
    factor[rows] = 1 - depth * np.exp(-((radius / width) ** power))
    return factor


def blank_pixels(pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Blank pixels in place, in all bands: an edge strip in 1 % of the cutouts, a few pixels in 0.3 %."""
    n, _, size, _ = pixels.shape
    for row in np.flatnonzero(rng.random(n) < 0.01):
        width = rng.integers(1, size // 2 - 4)
        view = np.rot90(pixels[row], int(rng.integers(4)), axes=(1, 2))
        view[:, :width] = np.nan
    for row in np.flatnonzero(rng.random(n) < 0.003):
        y, x = rng.integers(0, size, (2, rng.integers(1, 7)))
        pixels[row, rng.integers(pixels.shape[1]), y, x] = np.nan
