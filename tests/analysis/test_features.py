"""Feature maps against the layers applied by hand; attribution against its axiom."""

import numpy as np
import pytest
import torch

from astro_iicnet.analysis.features import attribute, feature_maps
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import load_weights, new_weights


@pytest.fixture(scope="module")
def cutouts():
    return simulate_dataset(3, seed=4, workers=1)[0]


@pytest.fixture(scope="module")
def weights():
    return load_weights("iicnet-sim-v3")


def test_maps_are_those_of_the_layers(weights, cutouts):
    maps = feature_maps(weights, cutouts)
    assert list(maps) == ["conv1", "RFB", "CBAM"]
    layers = weights.model.features
    with torch.inference_mode():
        x = weights.preprocess(torch.from_numpy(cutouts.pixels), torch.from_numpy(cutouts.offset))
        conv, norm, relu, rfb, cbam = layers[:5]
        first = relu(norm(conv(x)))
        expected = {"conv1": first, "RFB": rfb(first), "CBAM": cbam(rfb(first))}
    for name, values in expected.items():
        assert maps[name].shape == (3, 16, 16)
        np.testing.assert_allclose(maps[name], values.mean(dim=1), atol=1e-5)
    # No hook is left behind.
    assert not any(layer._forward_hooks for layer in layers)


def test_other_architecture(cutouts):
    weights = new_weights("random-v1")
    weights.model.__class__ = torch.nn.Module
    with pytest.raises(IICnetError, match="'iicnet'"):
        feature_maps(weights, cutouts)


def test_missing_band(weights, cutouts):
    with pytest.raises(IICnetError, match="W3 is missing"):
        feature_maps(weights, cutouts.select_bands(("W1", "W2")))


def test_attribution_adds_up_to_the_score(weights, cutouts):
    pytest.importorskip("captum")
    found = attribute(weights, cutouts, classes=["star", "star", "quasar"], n_steps=50)
    with torch.inference_mode():
        x = weights.preprocess(torch.from_numpy(cutouts.pixels), torch.from_numpy(cutouts.offset))
        gain = weights.model(x) - weights.model(torch.zeros_like(x))
    expected = gain[torch.arange(3), torch.tensor([2, 2, 1])]
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), expected, rtol=0.1, atol=0.3)
    with pytest.raises(IICnetError, match="3 names"):
        attribute(weights, cutouts, classes=["sun"] * 3)


def test_attribution_without_captum(weights, cutouts, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(IICnetError, match="pip install .*analysis"):
        attribute(weights, cutouts)
