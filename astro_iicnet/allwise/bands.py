"""The four bands of AllWISE: calibration, depth, noise and PSF."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from astro_iicnet.allwise.psf import PIXEL_SCALE, PSF, PSFS
from astro_iicnet.exceptions import ImagesError, unknown_name

__all__ = ["AUTOCORRELATION_LAGS", "BANDS", "PIXEL_SCALE", "Band", "get_band", "zero_points"]

AUTOCORRELATION_LAGS: tuple[int, ...] = (1, 2, 4, 8)
"""Lags [px] at which `Band.autocorrelation` is given."""


@dataclass(frozen=True, eq=False)
class Band:
    """What AllWISE is in one band.

    Parameters
    ----------
    name : str
        "W1" to "W4".
    zero_point : float
        Magnitude of 1 DN [Vega mag].
    vega_to_ab : float
        AB minus Vega magnitude.
    saturation : float
        Where the brightest pixels begin to saturate [Vega mag].
    depth : float
        5 sigma point-source depth of a typical field [Vega mag].
    noise : float
        Typical robust standard deviation of a pixel at high latitude [DN], confusion included.
    noise_range : tuple of float
        Lowest and highest of the same over high-latitude fields [DN].
    background : tuple of float
        Lowest and highest background of the same fields [DN]; the level is arbitrary, frame by frame.
    autocorrelation : tuple of float
        Correlation of the noise at `AUTOCORRELATION_LAGS`, confusion included.
    electrons : float
        Electrons per DN at the median depth of 27 exposures; source photon noise follows from it.
    psf : PSF
        Effective point-spread function.
    """

    name: str
    zero_point: float
    vega_to_ab: float
    saturation: float
    depth: float
    noise: float
    noise_range: tuple[float, float]
    background: tuple[float, float]
    autocorrelation: tuple[float, ...]
    electrons: float
    psf: PSF


BANDS: dict[str, Band] = {
    band.name: band
    for band in (
        Band(
            name="W1", zero_point=20.5, vega_to_ab=2.699, saturation=8.1, depth=16.9,
            noise=0.21, noise_range=(0.15, 0.28), background=(2.2, 3.4),
            autocorrelation=(0.87, 0.75, 0.55, 0.32), electrons=86.4, psf=PSFS["W1"],
        ),
        Band(
            name="W2", zero_point=19.5, vega_to_ab=3.339, saturation=6.7, depth=16.0,
            noise=0.12, noise_range=(0.10, 0.14), background=(5.5, 9.4),
            autocorrelation=(0.91, 0.81, 0.61, 0.35), electrons=103.4, psf=PSFS["W2"],
        ),
        Band(
            name="W3", zero_point=18.0, vega_to_ab=5.174, saturation=3.8, depth=11.5,
            noise=0.48, noise_range=(0.41, 0.55), background=(367.0, 526.0),
            autocorrelation=(0.93, 0.82, 0.58, 0.23), electrons=184.4, psf=PSFS["W3"],
        ),
        Band(
            name="W4", zero_point=13.0, vega_to_ab=6.620, saturation=-0.4, depth=8.0,
            noise=0.046, noise_range=(0.040, 0.052), background=(103.0, 163.0),
            autocorrelation=(0.97, 0.90, 0.72, 0.35), electrons=661.5, psf=PSFS["W4"],
        ),
    )
}  # fmt: skip
"""The bands by name.

Zero points are the MAGZP of every Atlas header; Vega to AB, saturation, depth and gain (3.20, 3.83, 6.83,
24.5 electrons per DN of one exposure) are those of the Explanatory Supplement [1]_; background, noise and
correlation were measured on Atlas images of high-latitude fields.

References
----------
.. [1] Cutri et al. 2012, WISE All-Sky Release Explanatory Supplement, sections IV.4.h (zero points) and VI.3;
   Cutri et al. 2013, Explanatory Supplement to the AllWISE Data Release Products, section II.
"""


def get_band(name: str) -> Band:
    """Look up a band by its name.

    Parameters
    ----------
    name : str
        "W1", "W2", "W3" or "W4".

    Returns
    -------
    Band
        Its facts.

    Raises
    ------
    ImagesError
        If there is no such band.
    """
    try:
        return BANDS[name]
    except (KeyError, TypeError):
        raise ImagesError(unknown_name("band", name, BANDS)) from None


def zero_points(bands: Iterable[str]) -> np.ndarray:
    """Give the zero points of several bands.

    Parameters
    ----------
    bands : iterable of str
        Band names.

    Returns
    -------
    numpy.ndarray
        (B,) float64 magnitude of 1 DN [Vega mag].

    Raises
    ------
    ImagesError
        If a band does not exist.
    """
    return np.array([get_band(name).zero_point for name in bands], dtype=np.float64)
