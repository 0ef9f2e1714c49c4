"""Errors, warnings, and the message for a wrong name."""

import warnings

import pytest
from astropy.utils.exceptions import AstropyWarning

from astro_iicnet import exceptions
from astro_iicnet.exceptions import FileSkippedWarning, IICnetError, unknown_name


@pytest.mark.parametrize("name", ["SourcesError", "ImagesError", "WeightsError"])
def test_errors_share_a_base(name):
    error = getattr(exceptions, name)
    assert issubclass(error, IICnetError)
    assert issubclass(error, ValueError)


def test_warnings_are_astropy_warnings():
    with pytest.warns(AstropyWarning, match="left out"):
        warnings.warn("left out", FileSkippedWarning, stacklevel=1)


def test_unknown_name_offers_the_closest():
    message = unknown_name("band", "W11", ["W1", "W2", "galex"])
    assert "band 'W11'" in message
    assert "'W1', 'W2', 'galex'" in message
    assert message.endswith("Did you mean 'W1'?")


def test_unknown_name_without_a_close_one():
    message = unknown_name("weights", 7, iter(["alpha"]))
    assert message == "Unknown weights 7: expected one of 'alpha'."
