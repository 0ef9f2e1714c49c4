"""Rendered cutouts against scipy, photutils and the bright stars of AllWISE."""

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_allclose
from scipy.signal import fftconvolve

from astro_iicnet.allwise.bands import BANDS
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.simulation.render import (
    band_flux,
    blank_pixels,
    draw_crowding,
    extended_sources,
    point_sources,
    position_error,
    render,
    saturation_factor,
)

AXIS = np.arange(81, dtype=np.float32) - 40


def a_source(**columns):
    """One unresolved source, or whatever the columns say."""
    source = {
        "w1": 12.0, "w2": 12.0, "w3": 12.0, "w4": 12.0, "radius": 0.0, "sersic_n": 1.0,
        "axis_ratio": 1.0, "position_angle": 0.0,
    } | columns  # fmt: skip
    table = Table({name: [value] for name, value in source.items()})
    table["point_fraction"] = np.full((1, 4), 1.0 if source["radius"] == 0 else 0.0)
    return table


@pytest.mark.parametrize(("band", "total"), [("W1", 1.022), ("W2", 1.03), ("W3", 0.95), ("W4", 1.0)])
def test_a_point_source_is_the_psf_with_other_wings(band, total):
    """The core is that of the fitted PSF; the light of all Gaussians is in the widest field."""
    x, y, flux = (np.array([[v]]) for v in (0.3, -0.2, 100.0))
    image = point_sources(AXIS, x, y, flux, band, np.ones((1, 2), np.float32))[0]
    core = np.hypot(AXIS - 0.3, AXIS[:, None] + 0.2) < 4
    assert_allclose(image[core], 100 * BANDS[band].psf.image(81, 0.3, -0.2)[core], rtol=0.04)
    wide = np.arange(-100, 101, dtype=np.float32)
    assert point_sources(wide, x, y, flux, band, np.ones((1, 2), np.float32)).sum() == pytest.approx(
        100 * total, rel=1e-3
    )


@pytest.mark.parametrize(("band", "low", "high"), [("W1", 8.4, 9.0), ("W2", 7.2, 8.2), ("W3", 4.2, 6.2)])
def test_wings_are_those_of_real_stars(band, low, high, shared_data):
    """Bright unsaturated stars of half 1, in rings of two pixels, over the simulated PSF within 3 px."""
    stars = dict(np.load(shared_data / "real_stars.npz"))
    k = int(band[1]) - 1
    grid = np.arange(44, dtype=np.float32)
    ratios = []
    for row in np.flatnonzero(stars["half"] == 1):
        image = stars["images"][row, k].astype(float)
        x, y = (np.array([[stars[f"target_{axis}"][row]]]) for axis in "xy")
        psf = point_sources(grid, x, y, np.ones((1, 1)), band, np.ones((1, 2), np.float32))[0]
        radius = np.hypot(grid - x[0], (grid - y[0])[:, None])
        image -= np.median(image[radius > 20])
        psf -= np.median(psf[radius > 20])
        flux = image[radius < 3].sum() / psf[radius < 3].sum()
        if flux > 0 and low < BANDS[band].zero_point - 2.5 * np.log10(flux) < high:
            rings = [(radius >= r) & (radius < r + 2) for r in range(0, 16, 2)]
            ratios.append([np.median(image[ring]) / (flux * np.median(psf[ring])) for ring in rings])
    assert len(ratios) > 15
    assert_allclose(np.median(ratios, axis=0), 1, atol=0.1)


def test_flux_follows_from_the_zero_point():
    assert_allclose(band_flux(np.array([20.5, 18.0, np.inf]), "W1"), [1, 10, 0], rtol=1e-6)


def test_a_galaxy_is_a_sersic_profile_convolved_with_the_psf():
    """Against a sampled exponential disc and point source, five times finer, convolved by scipy."""
    fine, radius_px, ratio, angle = 5, 6.0, 0.5, np.radians(30)
    grid = np.arange(-60 * fine, 60 * fine + 1) / fine
    x, y = np.meshgrid(grid, grid)
    along = -x * np.sin(angle) + y * np.cos(angle)
    across = x * np.cos(angle) + y * np.sin(angle)
    disc = np.exp(-1.67835 * np.hypot(along, across / ratio) / radius_px)
    disc /= disc.sum()
    one = np.ones((1, 1))
    psf = point_sources(grid.astype(np.float32), 0 * one, 0 * one, one, "W2", np.ones((1, 2), np.float32))[0]
    smooth = fftconvolve(disc, psf, mode="same") / fine**2
    middle = len(grid) // 2
    expected = smooth[middle - 100 : middle + 101 : fine, middle - 100 : middle + 101 : fine] * fine**2
    source = a_source(radius=radius_px * 1.375, axis_ratio=ratio, position_angle=30.0)
    image = extended_sources(
        AXIS, source, np.zeros((1, 2), np.float32), np.ones(1), "W2", np.ones((1, 2), np.float32)
    )[0]
    inner = image[20:61, 20:61]
    assert_allclose(inner, expected, atol=0.03 * expected.max())
    assert_allclose(inner.sum(), expected.sum(), rtol=0.01)


def test_sources_lie_where_the_catalogue_says_within_the_position_error(rng):
    sources = Table(np.repeat(np.asarray(a_source(w1=10.0).as_array()), 600))
    pixels, offset = render(sources, rng, bands=("W1",))
    assert np.abs(offset).max() <= 0.5
    above = pixels[:, 0] - np.nanmedian(pixels[:, 0], axis=(1, 2), keepdims=True)
    grid = np.arange(41) - 20
    core = np.nan_to_num(above) * (np.hypot(*np.meshgrid(grid, grid)) < 6)
    x = (core.sum(axis=1) * grid).sum(axis=1) / core.sum(axis=(1, 2))
    shift = x - offset[:, 0]
    assert abs(np.median(shift)) < 0.03
    assert_allclose(np.percentile(shift, 84) * 1.375, 0.22, atol=0.06)


def test_position_errors_have_the_stated_rms_and_tail(rng):
    radius = np.hypot(*position_error(200_000, rng).T) * 1.375
    assert_allclose(np.median(radius), 0.3 / np.sqrt(2) * np.sqrt(2 * np.log(2)), rtol=0.06)
    assert radius.max() <= 2.0
    assert 0.02 < np.mean(radius > 1.0) < 0.05


@pytest.mark.parametrize(("low", "high"), [(3.8, 5.2), (5.2, 6.2), (6.2, 7.2), (7.2, 8.0)])
def test_saturated_cores_keep_what_those_of_real_stars_keep(low, high, rng, shared_data):
    """Light in W1 within 6 px over that of the PSF; half 1, whose W3, not saturated, gives the magnitude."""
    stars = dict(np.load(shared_data / "real_stars.npz"))
    grid = np.arange(44, dtype=np.float32)
    kept, mags = [], []
    for row in np.flatnonzero(stars["half"] == 1):
        x, y = (np.array([[stars[f"target_{axis}"][row]]]) for axis in "xy")
        radius = np.hypot(grid - x[0], (grid - y[0])[:, None])
        flux = []
        for k, band in ((0, "W1"), (2, "W3")):
            psf = point_sources(grid, x, y, np.ones((1, 1)), band, np.ones((1, 2), np.float32))[0]
            image = stars["images"][row, k] - np.nanmedian(stars["images"][row, k][radius > 20])
            psf -= np.median(psf[radius > 20])
            flux.append(np.nansum(image[radius < 6]) / psf[radius < 6].sum())
        mag = BANDS["W3"].zero_point - 2.5 * np.log10(max(flux[1], 1e-3))
        if low < mag < high:
            kept.append(flux[0] / band_flux(np.array(mag), "W1"))
            mags.append(mag)
    assert len(kept) > 5
    simulated = np.repeat(mags, 50)
    factor = saturation_factor(AXIS[34:47], np.zeros((len(simulated), 2), np.float32), simulated, "W1", rng)
    psf = BANDS["W1"].psf.image(13) * (np.hypot(AXIS[34:47], AXIS[34:47, None]) < 6)
    expected = (factor * psf).sum(axis=(1, 2)) / psf.sum()
    assert (factor > 0).all()
    # The dozen or so brightest of this half keep more than those that the table was drawn through.
    assert_allclose(np.median(expected), np.median(kept), rtol=0.2 if low > 6 else 0.35)


def test_saturation_takes_more_of_brighter_stars_and_spares_the_wings(rng):
    """Medians in the core and 20 px out, from a star that is whole to one 4.3 magnitudes beyond."""
    mags = np.repeat([9.0, 7.9, 7.1, 6.3, 5.5, 4.0], 300)
    factor = saturation_factor(AXIS[40:], np.zeros((len(mags), 2), np.float32), mags, "W1", rng)
    core, wing = (np.median(factor[:, 0, k].reshape(6, 300), axis=1) for k in (0, 20))
    assert core[0] == 1
    assert (np.diff(core) < -0.01).all()
    assert 0.01 < core[-1] < 0.03
    assert (wing > 0.99).all()


def test_saturation_scatters_from_star_to_star(rng):
    mags = np.repeat([9.0, 7.0, 5.0], 500)
    factor = saturation_factor(AXIS[40:41], np.zeros((len(mags), 2), np.float32), mags, "W1", rng)
    spread = np.log(factor[:, 0, 0]).reshape(3, 500).std(axis=1)
    assert spread[0] == 0
    # 15 %, and 0.1 mag of excess where what is kept halves within one or two thirds of a magnitude.
    assert_allclose(spread[1:], [0.18, 0.18], atol=0.04)


def test_rows_keep_their_order_whatever_the_crowding(rng):
    w1 = np.linspace(9.5, 14, 300)
    sources = Table(np.repeat(np.asarray(a_source().as_array()), len(w1)))
    sources["w1"] = w1
    pixels, _ = render(sources, rng, bands=("W1",))
    peak = np.nanmax(pixels[:, 0, 17:24, 17:24], axis=(1, 2))
    assert np.corrcoef(-0.4 * w1, np.log10(peak))[0, 1] > 0.98


def test_crowding_reaches_as_far_as_asked(rng):
    usual, plane = draw_crowding(100_000, rng), draw_crowding(100_000, rng, densest=256)
    # One fifth is log-uniform from 2 to the densest: 4 of the 7 octaves to 256 lie above 16.
    assert usual.max() < 16
    assert 250 < plane.max() < 256
    assert_allclose([(usual > 4).mean(), (plane > 16).mean()], [0.2 * 2 / 3, 0.2 * 4 / 7], atol=0.005)
    for densest in (2, np.nan):
        with pytest.raises(IICnetError, match=f"densest={densest}: expected more than 2"):
            draw_crowding(1, rng, densest)


def test_rendering_repeats_with_the_seed():
    sources = Table(np.repeat(np.asarray(a_source().as_array()), 5))
    first, second = (render(sources, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (5, 3, 41, 41)
    assert first.dtype == np.float32


def test_missing_pixels_are_rare(rng):
    pixels = np.ones((20_000, 1, 41, 41), np.float32)
    blank_pixels(pixels, rng)
    touched = np.isnan(pixels).any(axis=(1, 2, 3))
    assert 0.009 < touched.mean() < 0.018
    assert not np.isnan(pixels).all(axis=(1, 2, 3)).any()


def test_stars_look_like_real_stars(rng, shared_data):
    """Weighted second moments of bright unsaturated stars, simulated and real (half 0)."""
    real = np.load(shared_data / "real_stars.npz")
    rows = real["half"] == 0
    grid = np.arange(44)
    pixels = real["images"][rows, 1].astype(float)
    x, y = real["target_x"][rows], real["target_y"][rows]
    found = _moments(pixels, grid - x[:, None], grid - y[:, None])
    sources = Table(np.repeat(np.asarray(a_source(w1=9.3, w2=9.3, w3=9.3).as_array()), 400))
    simulated, offset = render(sources, rng)
    expected = _moments(
        simulated[:, 1].astype(float), np.arange(41) - 20 - offset[:, :1], np.arange(41) - 20 - offset[:, 1:]
    )
    peak = np.nanmax(pixels, axis=(1, 2))
    good = np.isfinite(found).all(axis=0) & (peak > 150) & (peak < 1000)
    assert good.sum() > 100
    assert_allclose(np.median(expected[0]), np.median(found[0][good]), rtol=0.03)
    assert_allclose(np.median(expected[1]), np.median(found[1][good]), atol=0.02)


def _moments(pixels, dx, dy):
    """Gaussian-weighted size and ellipticity (xx - yy) / (xx + yy)."""
    weight = np.exp(-0.5 * (dx[:, None, :] ** 2 + dy[:, :, None] ** 2) / 3.0**2)
    light = weight * np.nan_to_num(pixels - np.nanpercentile(pixels, 20, axis=(1, 2), keepdims=True))
    total = light.sum(axis=(1, 2))
    xx = (light * dx[:, None, :] ** 2).sum(axis=(1, 2)) / total
    yy = (light * dy[:, :, None] ** 2).sum(axis=(1, 2)) / total
    return np.array([xx + yy, (xx - yy) / (xx + yy)])
