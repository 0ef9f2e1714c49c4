"""Band facts against the real headers and against each other."""

import numpy as np
import pytest
from astropy.io import fits

from astro_iicnet.allwise.bands import AUTOCORRELATION_LAGS, BANDS, get_band, zero_points
from astro_iicnet.allwise.psf import PSFS
from astro_iicnet.exceptions import IICnetError


def test_names_and_order():
    assert tuple(BANDS) == ("W1", "W2", "W3", "W4")
    assert all(band.name == name and band.psf is PSFS[name] for name, band in BANDS.items())


def test_zero_points():
    result = zero_points(("W3", "W1"))
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, [18.0, 20.5])
    assert zero_points(()).shape == (0,)


def test_zero_points_are_those_of_the_headers(shared_data):
    for number, (name, band) in enumerate(BANDS.items(), start=1):
        header = fits.getheader(shared_data / "fields" / f"field_a-w{number}-int-3.fits")
        assert header["MAGZP"] == band.zero_point, name


@pytest.mark.parametrize("name", ["w1", "W5", 1, None, ["W1"]])
def test_unknown_band(name):
    with pytest.raises(IICnetError, match="Unknown band.*'W1', 'W2', 'W3', 'W4'"):
        get_band(name)


@pytest.mark.parametrize("band", BANDS.values(), ids=BANDS)
def test_facts_hang_together(band):
    low, high = band.noise_range
    assert low < band.noise < high
    assert band.background[0] < band.background[1]
    assert len(band.autocorrelation) == len(AUTOCORRELATION_LAGS)
    assert list(band.autocorrelation) == sorted(band.autocorrelation, reverse=True)
    assert band.saturation < band.depth
