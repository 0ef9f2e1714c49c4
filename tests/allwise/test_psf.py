"""The Gaussian-mixture PSF against arithmetic, brute force and the empirical Atlas PSF."""

import numpy as np
import pytest
from astropy.io import fits

from astro_iicnet.allwise.psf import PIXEL_SCALE, PSF, PSFS

CENTRE = {"W1": (-0.016, -0.008), "W2": (-0.015, -0.003), "W3": (0.038, 0.099), "W4": (0.112, 0.153)}
MAX_RESIDUAL = {"W1": 0.038, "W2": 0.041, "W3": 0.047, "W4": 0.033}
RING_RESIDUAL = {"W1": 0.002, "W2": 0.002, "W3": 0.003, "W4": 0.010}
FWHM = {"W1": 8.7, "W2": 9.8, "W3": 11.9, "W4": 16.7}


@pytest.fixture(params=list(PSFS))
def band(request):
    return request.param


@pytest.fixture
def empirical(shared_data, band):
    """Radius [arcsec], Atlas PSF minus fitted sky, its scale to all light; within 24 arcsec."""
    data = fits.getdata(shared_data / "psf" / f"allwise_atlas_psf_{band.lower()}_os4.fits").astype(float)
    y, x = (np.indices(data.shape) - (data.shape[0] - 1) / 2) / 4
    radius = np.hypot(x - CENTRE[band][0], y - CENTRE[band][1]) * PIXEL_SCALE
    radius, data = radius[radius < 24], data[radius < 24]
    model = PSFS[band].profile(radius)
    (scale, sky), *_ = np.linalg.lstsq(np.stack([model, np.ones_like(model)], 1), data, rcond=None)
    return radius, data - sky, scale


def test_fractions_are_all_the_light(band):
    psf = PSFS[band]
    assert psf.fractions.sum() == pytest.approx(1, abs=1e-12)
    assert (psf.fractions > 0).all()
    assert psf.image(301).sum() == pytest.approx(1, abs=1e-6)


def test_image_is_profile_at_pixel_middles(band):
    psf, x, y = PSFS[band], np.array([0.3, -0.5]), np.array([-0.2, 0.4])
    images = psf.image(41, x, y)
    row, column = np.indices((41, 41)) - 20
    expected = psf.profile(PIXEL_SCALE * np.hypot(column - x[:, None, None], row - y[:, None, None]))
    np.testing.assert_allclose(images, expected, rtol=1e-10)


def test_image_moves_with_the_source():
    images = PSFS["W1"].image(41, [0, 3], [0, -2])
    np.testing.assert_allclose(images[1, 5:-5, 5:-5], images[0, 7:-3, 2:-8], rtol=1e-10)
    assert PSFS["W1"].image(40).shape == (40, 40)
    np.testing.assert_allclose(PSFS["W1"].image(40), PSFS["W1"].image(40)[::-1, ::-1])


def test_encircled_energy_is_the_integral_of_the_profile(band):
    psf, radius = PSFS[band], np.linspace(0, 30, 30001)
    rings = 2 * np.pi * radius / PIXEL_SCALE**2 * psf.profile(radius)
    brute = np.cumsum(rings) * (radius[1] - radius[0])
    np.testing.assert_allclose(psf.encircled_energy(radius[3000::3000]), brute[3000::3000], rtol=1e-3)
    assert psf.encircled_energy(0) == 0
    assert psf.encircled_energy(500) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "aperture", "correction"),
    [("W1", 8.25, 0.222), ("W2", 8.25, 0.280), ("W3", 8.25, 0.735), ("W4", 16.5, 0.616)],
)
def test_standard_aperture_holds_its_share(name, aperture, correction):
    share = PSFS[name].encircled_energy(aperture)
    assert -2.5 * np.log10(share) == pytest.approx(correction, abs=0.001)


def test_fwhm(band):
    radius = np.linspace(0, 15, 15001)
    profile = PSFS[band].profile(radius)
    half = radius[np.argmax(profile < profile[0] / 2)]
    # The published width of W4 was measured above a sky that still held its wings.
    assert 2 * half == pytest.approx(FWHM[band], rel=0.08 if band == "W4" else 0.03)


def test_coefficients_cannot_be_changed_by_accident():
    psf = PSF([0.4, 0.6], [2, 3])
    with pytest.raises(ValueError, match="read-only"):
        psf.fractions[0] = 1


def test_residual_against_the_empirical_psf(empirical, band):
    radius, data, scale = empirical
    residual = (data - scale * PSFS[band].profile(radius)) / data.max()
    assert abs(residual).max() < MAX_RESIDUAL[band]
    ring = (radius / PIXEL_SCALE).astype(int)
    means = np.bincount(ring, residual) / np.bincount(ring)
    assert abs(means).max() < RING_RESIDUAL[band]


def test_encircled_energy_against_the_empirical_psf(empirical, band):
    radius, data, scale = empirical
    for aperture in (4, 8.25, 12, 16.5, 20, 23.9):
        share = data[radius < aperture].sum() / 16 / scale
        assert share == pytest.approx(PSFS[band].encircled_energy(aperture), abs=0.003)


def test_residual_sees_a_wrong_width(empirical, band):
    radius, data, scale = empirical
    wrong = PSF(PSFS[band].fractions, 1.1 * PSFS[band].sigmas)
    assert abs(data - scale * wrong.profile(radius)).max() / data.max() > 2 * MAX_RESIDUAL[band]
