"""Weights of networks with magnitudes, through the doors of `astro_iicnet.weights`."""

import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.networks import ColorNet
from astro_iicnet.weights.load import load_weights, new_weights, save_weights

PHOTOMETRY = torch.tensor([[[15.0, 14.0, 11.0], [0, 0, 0]], [[15.0, 14.0, float("nan")], [0, 0, 0]]])
IMAGES = torch.linspace(-1, 1, 2 * 3 * 80 * 80).reshape(2, 3, 80, 80)


@pytest.mark.parametrize(
    ("architecture", "options", "inputs", "data"),
    [
        ("color", {}, ("magnitudes",), (PHOTOMETRY,)),
        ("color", {"features": "colours"}, ("magnitudes",), (PHOTOMETRY,)),
        ("fusion", {"first_kernel": 3}, ("image", "magnitudes"), (IMAGES, PHOTOMETRY)),
        ("iicnet", {}, ("image",), (IMAGES,)),
    ],
    ids=["color", "colours only", "fusion", "image"],
)
def test_weights_come_back_as_they_were_saved(tmp_path, architecture, options, inputs, data):
    weights = new_weights("test-v1", architecture=architecture, seed=2, **options)
    color = getattr(weights.model, "color", weights.model)
    if isinstance(color, ColorNet):
        color.fit_standardisation(PHOTOMETRY[:1].repeat(50, 1, 1) + torch.randn(50, 2, 3))
    path = save_weights(tmp_path / "test-v1.safetensors", weights)
    loaded = load_weights(path)
    assert loaded.record["architecture"] == architecture
    assert loaded.record["options"].items() >= options.items()
    assert loaded.inputs == weights.inputs == inputs
    torch.testing.assert_close(loaded.model(*data), weights.model.eval()(*data))


def test_an_unknown_option_is_named():
    with pytest.raises(IICnetError, match="'features'"):
        new_weights("test-v1", architecture="fusion", feature="colours")
