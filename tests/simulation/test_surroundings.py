"""The simulated sky behind the sources against what real AllWISE images show."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from astro_iicnet.allwise.bands import AUTOCORRELATION_LAGS, BANDS
from astro_iicnet.simulation.render import band_flux, point_sources
from astro_iicnet.simulation.surroundings import (
    NOISE,
    background,
    correlated_field,
    draw_neighbours,
    noise_field,
)

SIZE = 201


def sky_statistics(image, lags=AUTOCORRELATION_LAGS):
    """Robust sigma and autocorrelation of the pixels within 3 sigma, written apart from the package."""
    above = image - np.median(image)
    sigma = 1.4826 * np.median(np.abs(above))
    keep = np.abs(above) < 3 * sigma
    sky = above - above[keep].mean()
    found = []
    for lag in lags:
        pairs = [
            (sky[:, lag:] * sky[:, :-lag])[keep[:, lag:] & keep[:, :-lag]].mean(),
            (sky[lag:] * sky[:-lag])[keep[lag:] & keep[:-lag]].mean(),
        ]
        found.append(np.mean(pairs) / sky[keep].var())
    return sigma, np.array(found)


def blank_sky(band, rng, scenes=6):
    axis = np.arange(SIZE, dtype=np.float32) - SIZE // 2
    around = draw_neighbours(scenes, SIZE + 24, np.full(scenes, 3.0), rng)
    flux = band_flux(around[band.lower()], band)
    sky = point_sources(axis, around["x"], around["y"], flux, band, np.ones((scenes, 2), np.float32))
    return sky + noise_field(scenes, SIZE, band, np.ones(scenes), rng)


@pytest.mark.parametrize("band", ["W1", "W2", "W3", "W4"])
def test_sky_has_the_measured_noise_and_autocorrelation(band, rng):
    scenes = [sky_statistics(scene) for scene in blank_sky(band, rng)]
    sigma = np.mean([s for s, _ in scenes])
    low, high = BANDS[band].noise_range
    assert 0.85 * low < sigma < 1.15 * high
    assert_allclose(np.mean([a for _, a in scenes], axis=0), BANDS[band].autocorrelation, atol=0.08)


@pytest.mark.parametrize("band", ["W1", "W2", "W3", "W4"])
def test_sky_is_like_a_real_field(band, rng, shared_data):
    (path,) = (shared_data / "fields").glob(f"field_a-{band.lower()}-int-3.fits")
    sigma, correlation = sky_statistics(fits.getdata(path).astype(float))
    scenes = [sky_statistics(scene) for scene in blank_sky(band, rng)]
    assert_allclose(np.mean([s for s, _ in scenes]), sigma, rtol=0.15)
    assert_allclose(np.mean([a for _, a in scenes], axis=0), correlation, atol=0.06)


@pytest.mark.parametrize("sigma", [0.7, 1.85, 5.0])
def test_correlated_field_has_unit_variance_and_a_gaussian_correlation(sigma, rng):
    fields = correlated_field(400, 41, sigma, rng)
    assert_allclose(fields.var(), 1, rtol=0.06)
    for lag in (1, 2, 4):
        along_x = (fields[:, :, lag:] * fields[:, :, :-lag]).mean()
        along_y = (fields[:, lag:] * fields[:, :-lag]).mean()
        expected = np.exp(-(lag**2) / (4 * sigma**2))
        assert_allclose([along_x, along_y], expected, atol=0.06)


def test_noise_scales_with_depth(rng):
    depth = np.repeat([1.0, 2.0], 200)
    fields = noise_field(400, 41, "W2", depth, rng)
    expected = np.sqrt(np.square(NOISE["W2"].amplitudes).sum())
    assert_allclose(fields[:200].std(), expected, rtol=0.1)
    assert_allclose(fields[200:].std() / fields[:200].std(), 2, rtol=0.1)


def test_background_lies_in_the_measured_range(rng):
    for name, band in BANDS.items():
        level = np.median(background(500, 41, name, np.ones(500), rng), axis=(1, 2))
        low, high = band.background
        clean = 10 * band.noise
        assert np.mean((level > low - clean) & (level < high + clean)) > 0.97
        assert_allclose(np.median(level), (low + high) / 2, rtol=0.1)


def test_neighbours_follow_the_counts(rng):
    extent, scenes = 200.0, 2000
    found = draw_neighbours(scenes, extent, np.ones(scenes), rng)
    degrees2 = scenes * (extent * 1.375 / 3600) ** 2
    # star and galaxy counts at W1 = 16.5, log10 per square degree and magnitude, interpolated by hand
    density = np.count_nonzero((found["w1"] > 16) & (found["w1"] < 17)) / degrees2
    assert_allclose(density, 10**3.18 + 10**3.30, rtol=0.05)
    inside = np.isfinite(found["w1"])
    assert np.abs(found["x"][inside]).max() <= extent / 2
    crowded = draw_neighbours(scenes, extent, np.full(scenes, 8.0), rng)
    bright = [np.count_nonzero(f["w1"] < 13) for f in (found, crowded)]
    assert_allclose(bright[1] / bright[0], 8, rtol=0.35)
