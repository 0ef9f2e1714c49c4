"""Sersic profiles as Gaussian mixtures, against the exact encircled energy of scipy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gammainc, gammaincinv
from scipy.stats import ncx2

from astro_iicnet.simulation.sersic import sersic_mixture

# Grid values, and values between them, where the coefficients are interpolated.
INDICES = np.array([0.5, 0.52, 0.57, 0.65, 0.9, 1.0, 1.4, 2.2, 3.3, 4.0, 4.5, 5.5, 6.0])


def exact_energy(n, radius):
    """Graham & Driver 2005, eq. 2."""
    return gammainc(2 * n, gammaincinv(2 * n, 0.5) * radius ** (1 / n))


def energy(weights, sigmas, radius):
    return (weights * (1 - np.exp(-0.5 * (radius[:, None] / sigmas) ** 2))).sum(axis=1)


@pytest.mark.parametrize("n", INDICES)
def test_encircled_energy(n):
    radius = np.geomspace(0.03, 100, 300)
    weights, sigmas = sersic_mixture(n)
    error = np.abs(energy(weights[0], sigmas[0], radius) - exact_energy(n, radius))
    assert error.max() < 0.01


@pytest.mark.parametrize("n", [0.5, 1.0, 4.0, 6.0])
@pytest.mark.parametrize("half_light_radius", [0.3, 1.0, 6.0])
def test_encircled_energy_behind_the_psf(n, half_light_radius):
    """As W1 shows it: behind a Gaussian of 2.7 px, the error stays below 2 % of the light at all radii."""
    psf = 2.7
    radius = np.geomspace(0.1 * half_light_radius, 40 * half_light_radius, 40)
    weights, sigmas = sersic_mixture(n)
    model = energy(weights[0], np.hypot(sigmas[0] * half_light_radius, psf), radius)
    # A ring of radius s behind the Gaussian has the energy of a non-central chi-square.
    edges = np.concatenate([[0], np.geomspace(1e-4, 1e4, 801)])
    light = np.diff(exact_energy(n, edges))
    rings = half_light_radius * np.sqrt(edges[1:] * np.maximum(edges[:-1], 0.5 * edges[1:]))
    truth = (light * ncx2.cdf((radius[:, None] / psf) ** 2, 2, (rings / psf) ** 2)).sum(axis=1)
    assert np.abs(model - truth).max() < 0.02


def test_sum_order_and_shape():
    weights, sigmas = sersic_mixture(INDICES)
    assert weights.shape == sigmas.shape == (INDICES.size, 6)
    assert_allclose(weights.sum(axis=1), 1)
    assert (weights > 0).all()
    assert (np.diff(sigmas, axis=1) >= 0).all()


def test_gaussian_is_exact():
    """A Sersic profile of index 0.5 is a Gaussian with half its light within 1.1774 sigma."""
    _, sigmas = sersic_mixture(0.5)
    assert_allclose(sigmas, 1 / np.sqrt(2 * np.log(2)), rtol=1e-4)


def test_smooth_in_the_index():
    index = np.linspace(0.5, 6, 2000)
    weights, sigmas = sersic_mixture(index)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.03
    assert np.abs(np.diff(np.log(sigmas), axis=0)).max() < 0.12


@pytest.mark.parametrize("bad", [0.49, 6.01, np.nan, np.inf, [1.0, -1.0]])
def test_index_out_of_range(bad):
    with pytest.raises(ValueError, match="between 0.5 and 6.0"):
        sersic_mixture(bad)
