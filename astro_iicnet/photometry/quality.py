"""Quality flags that follow from smoothed pixels and fluxes."""

import numpy as np

from astro_iicnet.allwise.bands import PIXEL_SCALE, Band
from astro_iicnet.photometry import kernels

CENTRAL_RADIUS = 3.0
"""Within this distance [arcsec] of its position a target must show a peak."""

PEAK_SNR = 4.0
"""S/N at which a peak is a source."""

NEIGHBOUR_RADIUS = 25.0
"""Within this distance [arcsec] a neighbour counts."""

NEIGHBOUR_SEPARATION = 5.5
"""A peak nearer than this [arcsec] is taken to be the target."""

SATURATION_MARGIN = 0.2
"""Magnitudes below saturation at which the flag begins: a core that has begun to saturate looks fainter."""

_WINDOW = 5
"""Pixels on either side of the middle one that hold the central source and its surroundings."""


def smooth(clean: np.ndarray, *, full: bool) -> np.ndarray:
    """Smooth cutouts with the narrow weight.

    Parameters
    ----------
    clean : numpy.ndarray
        (n, S, S) float32, background taken off; S is odd.
    full : bool
        False for the middle 11 x 11 px only.

    Returns
    -------
    numpy.ndarray
        (n, S, S) or (n, 11, 11) weighted sums at each pixel.
    """
    size = clean.shape[-1]
    reach = size // 2 if full else _WINDOW
    centres = np.arange(-reach, reach + 1, dtype=np.float32)
    lines = kernels.axis_weights(centres, size, np.array([kernels.NARROW]))[:, 0]
    return lines @ (clean @ lines.T)


def has_central_source(smoothed: np.ndarray, noise: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Tell whether a peak lies at the target's position.

    Parameters
    ----------
    smoothed : numpy.ndarray
        (n, S, S) fluxes at each pixel of the whole or the middle of the cutouts.
    noise : numpy.ndarray
        (n,) error of such a flux.
    offset : numpy.ndarray
        (n, 2) target minus middle pixel [px].

    Returns
    -------
    numpy.ndarray
        (n,) bool.
    """
    middle = smoothed.shape[-1] // 2
    part = smoothed[:, middle - _WINDOW : middle + _WINDOW + 1, middle - _WINDOW : middle + _WINDOW + 1]
    near = _distance(part.shape[-1], offset) <= CENTRAL_RADIUS
    bright = part > PEAK_SNR * noise[:, None, None]
    return (near & bright & _is_peak(part)).any(axis=(1, 2))


def has_brighter_neighbour(
    smoothed: np.ndarray, noise: np.ndarray, fluxes: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Tell whether a brighter peak lies within 25 arcsec.

    Parameters
    ----------
    smoothed : numpy.ndarray
        (n, S, S) fluxes at each pixel.
    noise : numpy.ndarray
        (n,) error of such a flux.
    fluxes : numpy.ndarray
        (n, 3) fluxes of the target in the narrow, wide and ring weights.
    offset : numpy.ndarray
        (n, 2) target minus middle pixel [px].

    Returns
    -------
    numpy.ndarray
        (n,) bool.
    """
    distance = _distance(smoothed.shape[-1], offset)
    target = np.where(distance <= CENTRAL_RADIUS, smoothed, -np.inf).max(axis=(1, 2))
    # A saturated core is fainter than its wings tell.
    target = np.fmax(target, np.fmax.reduce(fluxes, axis=1))
    around = (distance > NEIGHBOUR_SEPARATION) & (distance <= NEIGHBOUR_RADIUS)
    brighter = smoothed > np.fmax(target, PEAK_SNR * noise)[:, None, None]
    return (around & brighter & _is_peak(smoothed)).any(axis=(1, 2))


def is_saturated(fluxes: np.ndarray, band: Band, zero_point: float) -> np.ndarray:
    """Tell whether a target saturates, by its core or by the wings around a depressed core.

    Parameters
    ----------
    fluxes : numpy.ndarray
        (n, 3) fluxes in the narrow, wide and ring weights, NaN where not measured.
    band : Band
        The band.
    zero_point : float
        Magnitude of 1 DN.

    Returns
    -------
    numpy.ndarray
        (n,) bool.
    """
    limit = 10 ** (-0.4 * (band.saturation + SATURATION_MARGIN - zero_point))
    return np.fmax.reduce(fluxes, axis=1) > limit


def _distance(size: int, offset: np.ndarray) -> np.ndarray:
    """Distance of every pixel from the target [arcsec], (n, size, size)."""
    grid = (np.arange(size) - size // 2).astype(np.float32)
    x, y = grid - offset[:, :1], grid - offset[:, 1:]
    return PIXEL_SCALE * np.sqrt(np.square(x)[:, None, :] + np.square(y)[:, :, None])


def _is_peak(values: np.ndarray) -> np.ndarray:
    """Pixels not below any of their eight neighbours; never one at the border."""
    rows = np.maximum(np.maximum(values[:, :-2], values[:, 1:-1]), values[:, 2:])
    highest = np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
    peak = np.zeros(values.shape, dtype=bool)
    peak[:, 1:-1, 1:-1] = values[:, 1:-1, 1:-1] >= highest
    return peak
