"""The point-spread function of the AllWISE Atlas images, one Gaussian mixture a band."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

PIXEL_SCALE = 1.375
"""Arcsec per Atlas pixel, in every band."""


@dataclass(frozen=True, eq=False)
class PSF:
    """A circular effective PSF: a sum of Gaussians with positive weights.

    The pixel is part of it: its value at the middle of a pixel, times the flux, is that pixel's count.

    Parameters
    ----------
    fractions : numpy.ndarray
        (K,) share of all light in each Gaussian; they sum to 1.
    sigmas : numpy.ndarray
        (K,) standard deviation of each Gaussian [px of 1.375 arcsec].
    """

    fractions: np.ndarray
    sigmas: np.ndarray

    def __post_init__(self) -> None:
        for name in ("fractions", "sigmas"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def image(self, size: int, x: ArrayLike = 0.0, y: ArrayLike = 0.0) -> np.ndarray:
        """Render point sources of unit flux on square cutouts.

        Parameters
        ----------
        size : int
            Pixels on a side, S.
        x, y : float or array-like
            Position relative to the middle of the cutout, ``(S - 1) / 2`` [px]; any shape, default 0.

        Returns
        -------
        numpy.ndarray
            (..., S, S) float64, last axis x. The sum is below 1 by the light that falls outside.
        """
        x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        grid = np.arange(size) - (size - 1) / 2
        scale = -0.5 / self.sigmas[:, None] ** 2
        along_x = np.exp(scale * (grid - x[..., None, None]) ** 2)
        along_y = np.exp(scale * (grid - y[..., None, None]) ** 2)
        weights = self.fractions / (2 * np.pi * self.sigmas**2)
        return np.einsum("k,...ky,...kx->...yx", weights, along_y, along_x, optimize=True)

    def profile(self, radius: ArrayLike) -> np.ndarray:
        """Give the surface brightness of a point source of unit flux.

        Parameters
        ----------
        radius : float or array-like
            Distance from the source [arcsec].

        Returns
        -------
        numpy.ndarray
            Counts per native pixel, same shape as ``radius``.
        """
        r2 = (np.asarray(radius, dtype=np.float64)[..., None] / PIXEL_SCALE) ** 2
        weights = self.fractions / (2 * np.pi * self.sigmas**2)
        return (weights * np.exp(-r2 / (2 * self.sigmas**2))).sum(-1)

    def encircled_energy(self, radius: ArrayLike) -> np.ndarray:
        """Give the share of all light within a circle.

        Parameters
        ----------
        radius : float or array-like
            Radius of the circle [arcsec].

        Returns
        -------
        numpy.ndarray
            Between 0 and 1, same shape as ``radius``.
        """
        r2 = (np.asarray(radius, dtype=np.float64)[..., None] / PIXEL_SCALE) ** 2
        return 1 - (self.fractions * np.exp(-r2 / (2 * self.sigmas**2))).sum(-1)


PSFS: dict[str, PSF] = {
    "W1": PSF(np.array([0.5207, 0.3985, 0.0531, 0.0277]), np.array([2.401, 3.666, 6.756, 8.588])),
    "W2": PSF(np.array([0.4044, 0.4987, 0.0969]), np.array([2.620, 3.662, 7.078])),
    "W3": PSF(np.array([0.0606, 0.6872, 0.1247, 0.1275]), np.array([2.075, 4.482, 8.021, 13.963])),
    "W4": PSF(np.array([0.1772, 0.8228]), np.array([4.063, 10.547])),
}
"""The effective PSF of each band.

Fitted by ``benchmarks/fit_psf.py`` to empirical Atlas PSFs: medians of 685, 700, 609 and 87 bright stars,
sampled 4 x finer than the Atlas, within 24 arcsec, by least squares with a free centre and sky.

==== ============================ ============================ ================ =======================
Band Largest residual [% of peak] Azimuthal mean [% of peak]   Encircled energy Light outside 24 arcsec
==== ============================ ============================ ================ =======================
W1   3.8                          0.12                         within 0.2 %     0.5 %
W2   4.1                          0.16                         within 0.2 %     0.5 %
W3   4.7                          0.3                          within 0.1 %     7 %
W4   3.3                          1.0                          within 0.2 %     21 %
==== ============================ ============================ ================ =======================

The largest residual is the PSF's true shape (a little elliptical, of threefold symmetry), which no circular
model follows. Encircled energy is the share of
all light within 4 to 24 arcsec, once the sky of the box, a free parameter, is taken off.

The box ends before the wings do, so the total is not in it. W1 and W2 are held at the AllWISE corrections
of the 8.25 arcsec aperture (0.222, 0.280 mag), W4 at 0.616 mag in 16.5 arcsec [1]_. With these and the
published 0.665 mag of W3, real unsaturated FGK stars have W1-W2 = -0.03, as they should, but W2-W3 from
-0.03 to -0.1 where 0.04 is right. The known calibration offsets of Atlas aperture magnitudes (W1..W4 +0.034,
+0.041, -0.030, +0.029 mag [2]_) say the same: 0.07 mag in W2-W3. W3 is therefore held at 0.735 mag; the
missing light is its broadest component, of a width that the data choose. W4's wings rest on few stars:
trust them to 10 %.

References
----------
.. [1] Cutri et al. 2013, Explanatory Supplement to the AllWISE Data Release Products, and Cutri et al. 2012,
   WISE All-Sky Release Explanatory Supplement, section IV.4.c.
.. [2] Jarrett et al. 2013, AJ, 145, 6.
"""
