"""Photometry against injected truth, photutils, and real Atlas pixels."""

import time

import numpy as np
import pytest
from astropy.io import fits
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import gaussian_filter

from astro_iicnet.allwise.bands import BANDS, zero_points
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import ImagesError
from astro_iicnet.labels import Flag
from astro_iicnet.photometry import colours, measure

SIZE = 41
W123 = ("W1", "W2", "W3")
ALL = tuple(BANDS)

# Widths [px] and amplitudes [DN] of Gaussian-smoothed white noise, measured on blank real sky.
NOISE_WIDTHS = (0.7, 1.85, 5.0, 14.0)
NOISE = {
    "W1": (0.024, 0.041, 0.059, 0.084),
    "W2": (0.007, 0.050, 0.063, 0.072),
    "W3": (0.025, 0.343, 0.370, 0.040),
}


def make_cutouts(pixels, offset=None, bands=W123):
    n = len(pixels)
    offset = np.zeros((n, 2)) if offset is None else offset
    return Cutouts(
        np.asarray(pixels, np.float32), np.asarray(offset, np.float32), tuple(bands), zero_points(bands),
        np.zeros(n, np.uint8), np.full(n, "1210p015_ac51"),
    )  # fmt: skip


def point(band, flux, x=0.0, y=0.0):
    """A point source as a plain sum over Gaussians, pixel by pixel."""
    row, column = np.indices((SIZE, SIZE)) - SIZE // 2
    r2 = (column - x) ** 2 + (row - y) ** 2
    psf = BANDS[band].psf
    parts = zip(psf.fractions, psf.sigmas, strict=True)
    return flux * sum(f / (2 * np.pi * s**2) * np.exp(-r2 / (2 * s**2)) for f, s in parts)


def correlated_noise(band, n, rng):
    pixels = np.zeros((n, SIZE, SIZE))
    for width, amplitude in zip(NOISE_WIDTHS, NOISE[band], strict=True):
        white = rng.normal(size=(n, SIZE + 40, SIZE + 40))
        smooth = gaussian_filter(white, (0, width, width), mode="wrap", truncate=3)[:, 20:-20, 20:-20]
        pixels += amplitude * smooth * 2 * np.sqrt(np.pi) * width
    return pixels


def flag(photometry, bit):
    return (photometry.flags & bit) > 0


@pytest.fixture(scope="module")
def noisy():
    """400 point sources from 2 mag above to 1 below the depth on correlated noise, and their fluxes."""
    rng = np.random.default_rng(7)
    n = 400
    offset = rng.uniform(-0.5, 0.5, (n, 2))
    truth, pixels = np.empty((n, 3)), np.empty((n, 3, SIZE, SIZE))
    for i, name in enumerate(W123):
        band = BANDS[name]
        truth[:, i] = 10 ** (-0.4 * (rng.uniform(band.depth - 2, band.depth + 1, n) - band.zero_point))
        pixels[:, i] = correlated_noise(name, n, rng) + band.background[1]
        pixels[:, i] += [point(name, f, *xy) for f, xy in zip(truth[:, i], offset, strict=True)]
    return measure(make_cutouts(pixels, offset)), truth


@pytest.fixture(scope="module")
def bright():
    """Four unsaturated sources in all bands at awkward offsets, hardly any noise."""
    rng = np.random.default_rng(1)
    offset = np.array([[0, 0], [0.5, -0.5], [-0.31, 0.17], [0.02, 0.49]])
    flux = np.array([5000.0, 2000.0, 4000.0, 300.0])
    pixels = [[point(b, f, *xy) + 100 for b, f in zip(ALL, flux, strict=True)] for xy in offset]
    return make_cutouts(pixels + rng.normal(0, 1e-4, (4, 4, SIZE, SIZE)), offset, ALL), flux


def test_point_source_is_recovered_exactly(bright):
    cutouts, flux = bright
    result = measure(cutouts)
    np.testing.assert_allclose(result.flux, np.tile(flux, (4, 1)), rtol=4e-3)
    np.testing.assert_allclose(result.concentration, 0, atol=5e-3)
    np.testing.assert_allclose(result.mag, zero_points(ALL) - 2.5 * np.log10(result.flux), atol=1e-4)
    assert not result.upper_limit.any()
    assert (result.flags == 0).all()
    assert result.flags.dtype == np.uint8


def test_wrong_offset_is_seen(bright):
    cutouts, flux = bright
    wrong = make_cutouts(cutouts.pixels, -cutouts.offset, ALL)
    assert (measure(wrong).flux[1] < 0.97 * flux).all()


def test_flux_against_photutils_on_the_empirical_psf(shared_data):
    aperture = pytest.importorskip("photutils.aperture")
    rng = np.random.default_rng(3)
    offset = rng.uniform(-0.5, 0.5, (20, 2))
    grid = np.arange(SIZE) - SIZE // 2
    for number, (name, correction) in enumerate((("W1", 0.222), ("W2", 0.280)), start=1):
        image = fits.getdata(shared_data / "psf" / f"allwise_atlas_psf_w{number}_os4.fits").astype(float)
        fine = (np.arange(len(image)) - (len(image) - 1) / 2) / 4
        spline = RectBivariateSpline(fine, fine, image)
        inside = abs(grid) <= 17
        pixels = np.zeros((20, SIZE, SIZE))
        for stamp, (x, y) in zip(pixels, offset, strict=True):
            stamp[np.ix_(inside, inside)] = 1e4 * spline(grid[inside] - y, grid[inside] - x)
        result = measure(make_cutouts(pixels[:, None] + 3, offset, [name]))
        for stamp, (x, y), flux in zip(pixels, offset, result.flux[:, 0], strict=True):
            circle = aperture.CircularAperture((20 + x, 20 + y), 8.25 / 1.375)
            total = aperture.aperture_photometry(stamp, circle)["aperture_sum"][0] * 10 ** (0.4 * correction)
            assert flux == pytest.approx(total, rel=0.02)


def test_fluxes_are_unbiased_on_correlated_noise(noisy):
    result, truth = noisy
    good = result.snr > 10
    for i in range(3):
        ratio = result.flux[good[:, i], i] / truth[good[:, i], i]
        assert np.median(ratio) == pytest.approx(1, abs=0.02)


def test_pulls_have_unit_width_on_correlated_noise(noisy):
    result, truth = noisy
    pull = (result.flux - truth) / result.flux_err
    low, middle, high = np.percentile(pull, [15.87, 50, 84.13], axis=0)
    np.testing.assert_allclose((high - low) / 2, 1, atol=0.2)
    np.testing.assert_allclose(middle, 0, atol=0.2)


def test_limits_follow_allwise(noisy):
    result, truth = noisy
    assert 0.02 < result.upper_limit.mean() < 0.4
    np.testing.assert_array_equal(result.upper_limit, result.snr < 2)
    np.testing.assert_array_equal(np.isnan(result.mag_err), result.upper_limit)
    bound = np.maximum(result.flux, 0) + 2 * result.flux_err
    expected = zero_points(W123) - 2.5 * np.log10(bound)
    np.testing.assert_allclose(result.mag[result.upper_limit], expected[result.upper_limit], atol=1e-3)
    held = (truth < bound)[result.upper_limit]
    assert held.mean() > 0.9


def test_colours(noisy):
    result, _ = noisy
    found = colours(result)
    assert found.names == ("W1-W2", "W2-W3")
    np.testing.assert_array_equal(found.value[:, 1], result.mag[:, 1] - result.mag[:, 2])
    expected = np.sqrt(result.mag_err[:, 0] ** 2 + result.mag_err[:, 1] ** 2)
    np.testing.assert_allclose(found.error[:, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(found.limit[:, 0], result.upper_limit[:, 0] | result.upper_limit[:, 1])


def test_extended_sources_are_less_concentrated():
    widths = (0.0, 1.0, 2.0, 3.0)
    pixels = [[gaussian_filter(point(b, 2000.0), w) for b in W123] for w in widths]
    noise = np.random.default_rng(2).normal(0, 1e-3, (4, 3, SIZE, SIZE))
    concentration = measure(make_cutouts(np.array(pixels) + noise)).concentration
    assert (np.diff(concentration, axis=0) > 0.03).all()
    np.testing.assert_allclose(concentration[0], 0, atol=0.005)


def test_missing_pixels_have_no_weight(bright):
    cutouts, flux = bright
    pixels = cutouts.pixels.copy()
    pixels[0, :, 18:20, 19] = np.nan
    pixels[1, 0, :, 23:] = np.nan
    pixels[2, 0] = np.nan
    pixels[3] = np.nan
    result = measure(make_cutouts(pixels, cutouts.offset, ALL))
    np.testing.assert_allclose(result.flux[:2], np.tile(flux, (2, 1)), rtol=5e-3)
    assert np.isnan(result.flux[2, 0])
    np.testing.assert_allclose(result.flux[2, 1:], flux[1:], rtol=4e-3)
    assert np.isnan(result.mag[3]).all()
    assert not result.upper_limit[3].any()
    assert (result.flags == Flag.MISSING_PIXELS).all()


def test_too_few_central_pixels_give_no_flux(bright):
    cutouts, _ = bright
    pixels = cutouts.pixels.copy()
    pixels[:, :, 17:24, 17:24] = np.nan
    result = measure(make_cutouts(pixels, cutouts.offset, ALL))
    assert np.isnan(result.flux[:, :2]).all()


def test_no_central_source():
    rng = np.random.default_rng(4)
    pixels = np.stack([correlated_noise(b, 60, rng) for b in W123], axis=1)
    pixels[:20, 0] += point("W1", 300.0)
    pixels[20:40, 0] += point("W1", 300.0, 4.0, 3.0)
    pixels[40:50, 2] += point("W3", 2000.0, 1.0, 0.5)
    found = flag(measure(make_cutouts(pixels)), Flag.NO_CENTRAL_SOURCE)
    assert not found[:20].any()
    assert found[20:40].mean() > 0.8
    assert not found[40:50].any()
    assert found[50:].mean() > 0.8


def test_brighter_neighbour():
    rng = np.random.default_rng(5)
    places = [(10, 0, 1500), (-11, 12, 1500), (10, 0, 700), (17, 16, 1500), (6, 6, 1500), (0, 0, 1500)]
    pixels = np.stack([correlated_noise(b, len(places), rng) for b in W123], axis=1)
    for cutout, (x, y, flux) in zip(pixels, places, strict=True):
        cutout[0] += point("W1", 1000.0) + point("W1", flux, x, y)
    found = flag(measure(make_cutouts(pixels)), Flag.BRIGHTER_NEIGHBOUR)
    np.testing.assert_array_equal(found, [True, True, False, False, True, False])


@pytest.mark.parametrize("magnitude", [5.5, 7.0, 8.0, 8.7])
def test_saturation_is_seen_through_a_depressed_core(magnitude):
    image = point("W1", 10 ** (-0.4 * (magnitude - 20.5)))
    image = np.where(image > 1740, 1740 - 0.2 * np.minimum(image - 1740, 5000), image)
    noise = np.random.default_rng(6).normal(0, 0.1, (1, 3, SIZE, SIZE))
    noise[0, 0] += image
    found = flag(measure(make_cutouts(noise)), Flag.SATURATED)
    assert found.tolist() == [magnitude < 8.3]


def test_empty_and_single_rows(bright):
    cutouts, flux = bright
    empty = measure(cutouts[:0])
    assert len(empty) == 0
    assert empty.mag.shape == (0, 4)
    assert colours(empty).value.shape == (0, 3)
    np.testing.assert_allclose(measure(cutouts[:1]).flux[0], flux, rtol=2e-3)


def test_bad_arguments():
    with pytest.raises(ImagesError, match="29 px"):
        measure(make_cutouts(np.zeros((1, 1, 29, 29)), bands=["W1"]))
    with pytest.raises(ImagesError, match="40 px"):
        measure(make_cutouts(np.zeros((1, 1, 40, 40)), bands=["W1"]))
    pixels = np.zeros((1, 1, SIZE, SIZE), np.float32)
    wrong = Cutouts(pixels, np.zeros((1, 2)), ("W9",), np.zeros(1), np.zeros(1), np.array([""]))
    with pytest.raises(ImagesError, match="Unknown band 'W9'"):
        measure(wrong)


def test_speed():
    pixels = np.random.default_rng(8).normal(size=(1024, 3, SIZE, SIZE)).astype(np.float32)
    cutouts = make_cutouts(pixels)
    measure(cutouts[:10])
    start = time.process_time()
    measure(cutouts)
    assert len(cutouts) / (time.process_time() - start) > 1500


@pytest.fixture(scope="module")
def real_stars(request):
    """Photometry of the real stars of half 1."""
    folder = request.getfixturevalue("shared_data")
    data = np.load(folder / "real_stars.npz")
    chosen = data["half"] == 1
    x, y = data["target_x"][chosen], data["target_y"][chosen]
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    images = data["images"][chosen]
    pixels = [im[:, r - 20 : r + 21, c - 20 : c + 21] for im, r, c in zip(images, row, column, strict=True)]
    return measure(make_cutouts(pixels, np.stack([x - column, y - row], axis=1), ALL))


def test_colours_of_real_stars(real_stars):
    clean = ~flag(real_stars, Flag.SATURATED) & (real_stars.snr[:, 0] > 20)
    value = colours(real_stars).value
    assert clean.sum() > 400
    assert np.median(value[clean, 0]) == pytest.approx(-0.04, abs=0.03)
    well_seen = clean & (real_stars.snr[:, 2] > 20)
    assert np.median(value[well_seen, 1]) == pytest.approx(0.05, abs=0.05)


def test_real_stars_are_points(real_stars):
    clean = ~flag(real_stars, Flag.SATURATED) & (real_stars.snr[:, 0] > 20)
    np.testing.assert_allclose(np.nanmedian(real_stars.concentration[clean, :3], axis=0), 0, atol=0.01)
    assert flag(real_stars, Flag.NO_CENTRAL_SOURCE)[clean].mean() < 0.03


def test_no_saturated_real_star_is_missed(real_stars):
    """W3, which does not saturate there, tells a star's W1, unless dust shines in W4."""
    w3, w4 = real_stars.mag[:, 2], real_stars.mag[:, 3]
    saturated = flag(real_stars, Flag.SATURATED)
    assert (w3 < 7.8).sum() > 80
    assert saturated[(w3 < 7.8) & (w3 - w4 < 0.8)].all()
    assert not saturated[w3 > 8.5].any()


def test_errors_on_real_blank_sky(shared_data):
    """Fluxes at blank places of a real field scatter as their errors say."""
    folder = shared_data / "fields"
    images = np.stack([fits.getdata(folder / f"field_a-w{i}-int-3.fits") for i in (1, 2, 3, 4)])
    windows = np.lib.stride_tricks.sliding_window_view(images, (SIZE, SIZE), axis=(1, 2))[:, ::8, ::8]
    pixels = windows.reshape(4, -1, SIZE, SIZE).swapaxes(0, 1)
    level = np.median(pixels, axis=(2, 3))
    blank = pixels[:, :, 14:27, 14:27].max(axis=(2, 3)) - level < 3.5 * np.array([0.15, 0.11, 0.5, 0.046])
    result = measure(make_cutouts(pixels, bands=ALL))
    for i in range(4):
        snr = result.snr[blank[:, i], i]
        assert np.std(snr) == pytest.approx(1, abs=0.3)
