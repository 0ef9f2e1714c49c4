"""Fit the noise components of the simulation to blank sky of real AllWISE images.

    python benchmarks/fit_noise.py FOLDER

FOLDER holds Atlas cutouts of one field, ``*-w1-int-3.fits`` to ``*-w4-int-3.fits``.
Simulated sky (neighbours plus noise of unknown amplitudes) is compared with the real sky in two
statistics, the robust pixel scatter and the autocorrelation of what lies within 3 sigma, and
the amplitudes that bring both together are printed. No classifier is involved. The star density is
three times that of a high galactic latitude, which gives as many peaks above each of eight
thresholds (W1 = 16.6 to 12) as the real field at latitude +17 has; they are printed too.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy.ndimage import maximum_filter
from scipy.optimize import minimize

from astro_iicnet.simulation.render import band_flux, point_sources
from astro_iicnet.simulation.surroundings import NOISE, correlated_field, draw_neighbours

LAGS = (1, 2, 4, 8, 12)
CROWDING = 3.0
THRESHOLDS = (0.8, 1.3, 2.1, 3.3, 5.3, 8.4, 21.0, 50.0)


def sky_statistics(image: np.ndarray) -> np.ndarray:
    """Robust sigma [DN] and autocorrelation at `LAGS` of the pixels within 3 sigma."""
    above = image - np.nanmedian(image)
    sigma = 1.4826 * np.nanmedian(np.abs(above))
    sky = np.where(np.abs(above) < 3 * sigma, above, np.nan)
    sky -= np.nanmean(sky)
    variance = np.nanmean(sky**2)
    lagged = [
        (np.nanmean(sky[lag:] * sky[:-lag]) + np.nanmean(sky[:, lag:] * sky[:, :-lag])) / 2 for lag in LAGS
    ]
    return np.array([sigma, *(np.array(lagged) / variance)])


def count_peaks(image: np.ndarray) -> np.ndarray:
    """Local maxima (7 x 7 px) above each of `THRESHOLDS` [DN]."""
    above = image - np.nanmedian(image)
    peak = maximum_filter(above, 7) == above
    return np.array([np.count_nonzero(peak & (above > t)) for t in THRESHOLDS])


def fit_band(band: str, real: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Amplitudes for the kernels of `NOISE`, the real and the fitted statistics, the fitted peaks."""
    size, scenes = 261, 4
    axis = np.arange(size, dtype=np.float32) - size // 2
    around = draw_neighbours(scenes, size + 24, np.full(scenes, CROWDING), rng)
    flux = band_flux(around[band.lower()], band)
    stretch = np.ones((scenes, 2), np.float32)
    sources = point_sources(axis, around["x"], around["y"], flux, band, stretch)
    fields = np.stack([correlated_field(scenes, size, s, rng) for s in NOISE[band].sigmas])
    truth = sky_statistics(real)

    def statistics(log_amplitude: np.ndarray) -> np.ndarray:
        sky = sources + np.tensordot(np.exp(log_amplitude), fields, axes=1)
        return np.mean([sky_statistics(scene) for scene in sky], axis=0)

    def distance(log_amplitude: np.ndarray) -> float:
        found = statistics(log_amplitude)
        misfit = np.append(np.log(found[0] / truth[0]) * 3, (found - truth)[1:])
        return float((misfit**2).sum() + 1e-4 * np.maximum(log_amplitude - np.log(truth[0]), 0).sum())

    start = np.log(truth[0] * np.array([0.1, 0.5, 0.4, 0.3]))
    best = minimize(distance, start, method="Nelder-Mead", options={"maxiter": 600, "fatol": 1e-5})
    sky = sources + np.tensordot(np.exp(best.x), fields, axes=1)
    peaks = np.mean([count_peaks(scene) for scene in sky], axis=0)
    return np.exp(best.x), truth, statistics(best.x), peaks


def main() -> None:
    """Print the fit of each band."""
    rng = np.random.default_rng(1)
    for band in NOISE:
        (path,) = Path(sys.argv[1]).glob(f"*-{band.lower()}-int-3.fits")
        real = fits.getdata(path).astype(float)
        amplitudes, truth, found, peaks = fit_band(band, real, rng)
        print(band, "kernels", NOISE[band].sigmas, "amplitudes", amplitudes.round(4))
        print("   real  sigma, autocorrelation at", LAGS, truth.round(3))
        print("   model", found.round(3))
        print("   peaks above", THRESHOLDS, "real", count_peaks(real), "model", peaks.round(1))


if __name__ == "__main__":
    main()
