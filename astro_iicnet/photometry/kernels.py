"""Weights that turn a cutout into fluxes, their response to a point source and their noise."""

from functools import cache

import numpy as np

from astro_iicnet.allwise.bands import AUTOCORRELATION_LAGS, PSF, get_band
from astro_iicnet.exceptions import ImagesError

NARROW = 1.5
"""Width [px] of the Gaussian weight of the magnitudes.

Atlas images are smoothed by the PSF already, and their noise with them: a weight this narrow reaches the
best S/N in every band within a few per cent, is least confused, and still forgives a position error.
"""

WIDE = 4.0
"""Width [px] of the second weight, which sees extended light."""

INNER_RADIUS = 15.0
"""Radius [px] beyond which pixels belong to the background: 20.6 arcsec."""

_CORRELATION_END = 14.0
"""Lag [px] at which the noise is taken to be uncorrelated."""


@cache
def annulus(size: int) -> np.ndarray:
    """Choose the pixels that measure the background.

    Every second pixel farther than `INNER_RADIUS` from the middle, corners included: the noise is so
    correlated that the others add nothing.

    Parameters
    ----------
    size : int
        Pixels on a side, S.

    Returns
    -------
    numpy.ndarray
        (S, S) bool.

    Raises
    ------
    ImagesError
        If the side is even, or the cutout too small to have such pixels.
    """
    y, x = np.indices((size, size)) - size // 2
    mask = (np.hypot(x, y) >= INNER_RADIUS) & ((x + y) % 2 == 0)
    if size % 2 == 0 or mask.sum() < 100:
        raise ImagesError(f"Cutouts have {size} px on a side, expected an odd number, 31 or more: use 41.")
    return mask


def axis_weights(position: np.ndarray, size: int, widths: np.ndarray) -> np.ndarray:
    """Evaluate Gaussians of unit height along one axis.

    Parameters
    ----------
    position : numpy.ndarray
        (n,) centres relative to the middle pixel [px].
    size : int
        Pixels on a side, S.
    widths : numpy.ndarray
        (W,) standard deviations [px].

    Returns
    -------
    numpy.ndarray
        (n, W, S) in the precision of ``position``.
    """
    grid = (np.arange(size) - size // 2).astype(position.dtype)
    distance = grid - position[:, None]
    scale = (-0.5 / np.square(widths)).astype(position.dtype)
    return np.exp(scale[:, None] * np.square(distance)[:, None, :])


def response(psf: PSF, along_x: np.ndarray, along_y: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Weighted sums of the cutout of a point source of unit flux, its background taken off.

    Parameters
    ----------
    psf : PSF
        Point-spread function.
    along_x, along_y : numpy.ndarray
        (n, W, S) weights along each axis.
    offset : numpy.ndarray
        (n, 2) position of the source, (x, y) from the middle pixel [px].

    Returns
    -------
    numpy.ndarray
        (n, W). The light of its own wings in the background annulus is allowed for.
    """
    size = along_x.shape[-1]
    sums = np.ones((*along_x.shape[:2], len(psf.sigmas)), dtype=along_x.dtype)
    for axis, weights in enumerate((along_x, along_y)):
        sums *= weights @ axis_weights(offset[:, axis], size, psf.sigmas).swapaxes(1, 2)
    amplitudes = psf.fractions / (2 * np.pi * psf.sigmas**2)
    return sums @ amplitudes - wing(psf, size) * along_x.sum(-1) * along_y.sum(-1)


def masked_response(
    psf: PSF, along_x: np.ndarray, along_y: np.ndarray, offset: np.ndarray, good: np.ndarray
) -> np.ndarray:
    """Do the same as `response` over some pixels only.

    Parameters
    ----------
    psf, along_x, along_y, offset
        As for `response`.
    good : numpy.ndarray
        (n, S, S) bool: the pixels that count.

    Returns
    -------
    numpy.ndarray
        (n, W).
    """
    size = good.shape[-1]
    source = good * (psf.image(size, offset[:, 0], offset[:, 1]) - wing(psf, size))
    return ((source @ along_x.swapaxes(1, 2)) * along_y.swapaxes(1, 2)).sum(1)


@cache
def wing(psf: PSF, size: int) -> float:
    """Give the background that the wings of a point source of unit flux seem to be.

    Parameters
    ----------
    psf : PSF
        Point-spread function.
    size : int
        Pixels on a side.

    Returns
    -------
    float
        Median over the `annulus`.
    """
    return float(np.median(psf.image(size)[annulus(size)]))


@cache
def noise_factor(band: str, size: int) -> float:
    """Turn the scatter of the background pixels into the error of a flux.

    The variance of a weighted sum of correlated pixels, the background's own error included, from the
    measured autocorrelation of the band, interpolated linearly and zero from 14 px.

    Parameters
    ----------
    band : str
        Band name.
    size : int
        Pixels on a side.

    Returns
    -------
    float
        Flux error [DN] over the standard deviation of an annulus pixel [DN], for the `NARROW` weight.
    """
    facts = get_band(band)
    lags = (0, *AUTOCORRELATION_LAGS, _CORRELATION_END)
    lag = np.hypot(*np.meshgrid(*[np.fft.fftfreq(2 * size, 0.5 / size)] * 2))
    power = np.fft.fft2(np.interp(lag, lags, (1, *facts.autocorrelation, 0))).real

    def variance(weights: np.ndarray) -> float:
        return float((abs(np.fft.fft2(weights, power.shape)) ** 2 * power).mean())

    centre = np.zeros((1, 2))
    line = axis_weights(centre[:, 0], size, np.array([NARROW]))
    kernel = line[0, 0, :, None] * line[0, 0]
    mean = annulus(size) / annulus(size).sum()
    gain = float(response(facts.psf, line, line, centre)[0, 0])
    # The annulus scatters about its own median, which follows part of the correlated noise.
    return float(np.sqrt(variance(kernel - kernel.sum() * mean) / (1 - variance(mean))) / gain)


@cache
def photon_factor(band: str, size: int) -> float:
    """Turn a flux into the variance of its photon noise.

    Parameters
    ----------
    band : str
        Band name.
    size : int
        Pixels on a side.

    Returns
    -------
    float
        Variance [DN^2] per DN of flux, for the `NARROW` weight at the median depth.
    """
    facts = get_band(band)
    centre = np.zeros((1, 2))
    line = axis_weights(centre[:, 0], size, np.array([NARROW]))
    kernel = line[0, 0, :, None] * line[0, 0]
    gain = response(facts.psf, line, line, centre)[0, 0]
    return float((kernel**2 * facts.psf.image(size)).sum() / gain**2 / facts.electrons)
