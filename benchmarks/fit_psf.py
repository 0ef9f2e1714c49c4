"""Fit the Gaussian-mixture PSF of each AllWISE band to the empirical Atlas PSF.

Prints the coefficients that `astro_iicnet.allwise.psf` holds, and how well they describe the data.

Usage: python benchmarks/fit_psf.py FOLDER

FOLDER holds ``allwise_atlas_psf_w{1..4}_os4.fits``, the empirical effective PSF (pixel-convolved, 4 x
oversampled) in a box of 36 px. The box is too small for the wings and its sky level is not exactly zero.
So the model is a mixture plus a constant sky, and the share of all light within the standard aperture is
held: at the AllWISE aperture corrections 0.222 and 0.280 mag in 8.25 arcsec for W1 and W2, 0.616 mag in
16.5 arcsec for W4, and at 0.735 mag in 8.25 arcsec for W3, with which unsaturated FGK stars have their
W2-W3 of 0.04 (the published 0.665 mag leaves them at -0.03). Needs scipy.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.optimize import least_squares

OVERSAMPLING = 4
PIXEL_SCALE = 1.375
APERTURES = {1: (8.25, 0.222), 2: (8.25, 0.280), 3: (8.25, 0.735), 4: (16.5, 0.616)}
COMPONENTS = {1: 4, 2: 3, 3: 4, 4: 2}
RADIUS = 24.0
"""Radius [arcsec] of the part of the box that is fitted."""


def mixture(r2, fractions, sigmas):
    """Surface brightness per native pixel of a unit-flux mixture at squared radius ``r2`` [px^2]."""
    s2 = np.square(sigmas)
    return (fractions / (2 * np.pi * s2) * np.exp(-r2[..., None] / (2 * s2))).sum(-1)


def unpack(p, k):
    """Parameters to (centre, scale, sky, fractions, sigmas)."""
    fractions = np.exp(p[4 : 4 + k] - p[4 : 4 + k].max())
    return p[:2], p[2], p[3], fractions / fractions.sum(), np.exp(p[4 + k :])


def encircled(radius, fractions, sigmas):
    """Share of the light within ``radius`` [px]."""
    return 1 - (fractions * np.exp(-(radius**2) / (2 * sigmas**2))).sum()


def fit(image, band):
    """Best mixture for one band and its residual image as a fraction of the peak."""
    k, (aperture, correction) = COMPONENTS[band], APERTURES[band]
    y, x = (np.indices(image.shape) - (image.shape[0] - 1) / 2) / OVERSAMPLING
    inside = np.hypot(x, y) * PIXEL_SCALE < RADIUS
    data, share = image / image.max(), 10 ** (-0.4 * correction)

    def residual(p):
        centre, scale, sky, fractions, sigmas = unpack(p, k)
        r2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        return scale * mixture(r2, fractions, sigmas) + sky - data

    def cost(p):
        _, _, _, fractions, sigmas = unpack(p, k)
        constraint = 1e4 * (encircled(aperture / PIXEL_SCALE, fractions, sigmas) - share)
        return np.append(residual(p)[inside], constraint)

    widths = np.geomspace(2.0, 12.0, k) * (1 if band < 4 else 1.7)
    start = np.r_[0, 0, 1 / data.max() * 60, 0, np.linspace(0, -2, k), np.log(widths)]
    low = np.r_[-1, -1, 0, -0.2, np.full(k, -12), np.full(k, np.log(1.2))]
    high = np.r_[1, 1, 1e4, 0.2, np.full(k, 12), np.full(k, np.log(30))]
    best = least_squares(cost, start, bounds=(low, high), x_scale="jac", max_nfev=400)
    return unpack(best.x, k), residual(best.x), inside, data


def radial_residual(error, inside, centre, shape):
    """Largest residual of the azimuthal mean in rings of one native pixel."""
    y, x = (np.indices(shape) - (shape[0] - 1) / 2) / OVERSAMPLING
    ring = np.hypot(x - centre[0], y - centre[1]).astype(int)
    rings = range(ring[inside].max())
    return max(abs(error[inside & (ring == i)].mean()) for i in rings)


def main():
    """Fit every band and print the coefficients."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for band in (1, 2, 3, 4):
        image = fits.getdata(folder / f"allwise_atlas_psf_w{band}_os4.fits").astype(float)
        (centre, scale, sky, fractions, sigmas), error, inside, data = fit(image, band)
        order = np.argsort(sigmas)
        share = np.round(fractions[order], 4)
        share[-1] = 1 - share[:-1].sum()
        print(f"W{band} fractions {np.round(share, 4).tolist()}")
        print(f"   sigmas    {np.round(sigmas[order], 3).tolist()} px")
        print(f"   centre {np.round(centre, 3)} px, sky {sky:+.4f} of the peak,", end=" ")
        print(f"all light / box {scale * OVERSAMPLING**2 / data.sum():.3f}")
        print(
            f"   residual of the peak: max {abs(error[inside]).max():.4f}, rms {error[inside].std():.4f},",
            end=" ",
        )
        print(f"azimuthal mean {radial_residual(error, inside, centre, data.shape):.4f}")


if __name__ == "__main__":
    main()
