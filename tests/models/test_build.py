"""Networks by name."""

import pytest

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models import ARCHITECTURES, IICnet, build_model


def test_by_name():
    assert "iicnet" in ARCHITECTURES
    model = build_model("iicnet", in_channels=4, n_classes=2)
    assert isinstance(model, IICnet)
    assert model.features[0].in_channels == 4
    assert model.head.out_features == 2


def test_unknown_architecture():
    with pytest.raises(IICnetError, match=r"Unknown architecture 'iicnett'.*mean 'iicnet'"):
        build_model("iicnett")


def test_unknown_option():
    with pytest.raises(IICnetError, match=r"Unknown option of iicnet 'in_channel'.*mean 'in_channels'"):
        build_model("iicnet", in_channel=4)
