"""How the cores of saturated stars, and the wings of bright ones, differ from the PSF.

Prints, by the magnitudes by which a star exceeds the brightest one that is whole, the medians and the
scatter of the parameters of `astro_iicnet.simulation.render.saturation_factor`, from which its table was
drawn by eye; and the light of unsaturated stars in rings over that of the simulated PSF, wings included,
which should be 1. Where little is lost the data do not fix the shape: below an excess of about 1.5 the
power, and below 0.4 the width, are those of a weak prior.

Usage: python benchmarks/fit_saturation.py DATA

DATA is a folder with ``real_stars.npz``, cutouts of Tycho stars; half 0 alone is looked at. A star is taken
to have the magnitude in W1 and W2 that it has in W3, where it is not saturated. K giants, of which there are
many, are 0.1 mag fainter in W2, so that what is kept in W2 is a tenth too low. Needs scipy.
"""

import argparse
from pathlib import Path

import numpy as np
from real_sky import total_flux
from scipy.optimize import least_squares

from astro_iicnet.allwise.bands import get_band, zero_points
from astro_iicnet.simulation.render import point_sources

BANDS = ("W1", "W2", "W3")
EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16])
"""Of the rings [px]."""
SKY = 20.0
"""Radius beyond which the sky is taken [px]."""
EXCESS = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3, 3.3, 3.6, 4, 4.6])
WHOLE = {"W1": (8.4, 9.0), "W2": (7.2, 8.2), "W3": (4.2, 6.2)}
"""Magnitudes of bright stars that are not saturated."""


def ring_ratios(stars, row, band, flux=None):
    """Median, in each ring, of a star over the simulated PSF; default ``flux`` [DN]: of 3 px."""
    image = stars["images"][row][int(band[1]) - 1].astype(float)
    axis = np.arange(image.shape[0], dtype=np.float32)
    x, y = np.full((1, 1), stars["target_x"][row]), np.full((1, 1), stars["target_y"][row])
    psf = point_sources(axis, x, y, np.ones((1, 1)), band, np.ones((1, 2), np.float32))[0]
    radius = np.hypot(axis - x[0], (axis - y[0])[:, None])
    image -= np.median(image[radius > SKY])
    psf = psf - np.median(psf[radius > SKY])
    if flux is None:
        flux = image[radius < 3].sum() / psf[radius < 3].sum()
    rings = [(radius >= low) & (radius < high) for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)]
    return np.array([np.median(image[ring]) / (flux * np.median(psf[ring])) for ring in rings])


def fit_core(ratios):
    """What is kept, width [px] and power, by robust least squares in the logarithm."""
    middle = (EDGES[1:] + EDGES[:-1]) / 2

    def residual(p):
        kept, width, power = np.exp(p)
        factor = 1 - (1 - kept) * np.exp(-((middle / width) ** power))
        prior = [(p[1] - 2.1) / 1.7, (p[2] - 0.9) / 0.7]
        return np.append(np.log(np.maximum(factor, 1e-4)) - np.log(np.maximum(ratios, 1e-3)), prior)

    low, high = [-6, 1, -0.2], [0, 3, 2.2]
    return np.exp(least_squares(residual, [-1, 2.1, 0.9], bounds=(low, high), loss="soft_l1", f_scale=0.1).x)


def scatter(values):
    """Standard deviation, from the median of the absolute differences."""
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    everything = dict(np.load(parser.parse_args().data / "real_stars.npz"))
    half = everything["half"] == 0
    stars = {k: v[half] if np.shape(v)[:1] == half.shape else v for k, v in everything.items()}
    _, flux, sky = total_flux(stars)
    mag = zero_points(BANDS) - 2.5 * np.log10(np.maximum(flux, 1e-3))
    clean = np.isfinite(stars["images"][:, :3]).all(axis=(1, 2, 3)) & (sky[:, 2] < 6)
    for band in ("W1", "W2"):
        whole = get_band(band).saturation + 0.25
        rows = np.flatnonzero(clean & (mag[:, 2] > 3.8) & (mag[:, 2] < whole) & (mag[:, 0] < 10))
        true = 10 ** (0.4 * (get_band(band).zero_point - mag[:, 2]))
        found = np.array([fit_core(ring_ratios(stars, row, band, true[row])) for row in rows])
        index = np.digitize(whole - mag[rows, 2], EXCESS)
        print(band, " excess  n  kept (scatter)  width [px] (scatter)  power")
        for i in range(1, len(EXCESS)):
            some = found[index == i]
            if len(some):
                logs = [f"{np.median(v):6.3f} ({scatter(np.log(v)):.2f})" for v in some.T]
                print(f"   {EXCESS[i - 1]:.1f}-{EXCESS[i]:.1f} {len(some):3d} ", "  ".join(logs))
    for band, (low, high) in WHOLE.items():
        k = int(band[1]) - 1
        rows = np.flatnonzero(
            clean & (mag[:, k] > low) & (mag[:, k] < high) & (sky[:, 2] < 3) & (mag[:, 0] < 9.2)
        )
        ratios = np.median([ring_ratios(stars, row, band) for row in rows], axis=0)
        print(f"{band}, {len(rows)} unsaturated stars, rings to {EDGES[1:].tolist()} px: {ratios.round(2)}")


if __name__ == "__main__":
    main()
