"""The six peers: sizes against publications, and the doors of IICnet."""

import importlib

import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models import build_model
from astro_iicnet.models.counting import count_multiply_adds, count_parameters

PEERS = ["vgg16", "googlenet", "resnet34", "mobilenet_v1", "efficientnet_v2_s", "repvgg"]

try:
    import timm  # noqa: F401
    import torchvision  # noqa: F401

    WHY_NOT = None
except (ImportError, RuntimeError) as error:
    WHY_NOT = str(error)
needs_libraries = pytest.mark.skipif(WHY_NOT is not None, reason=f"extra 'train': {WHY_NOT}")


@needs_libraries
@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        # The paper's Table 3 to its last digit, in millions. Its 1.59 G and 587.94 M hold normalisation too.
        ("vgg16", 134.27, 15466.18),
        ("googlenet", 5.98, 1581.65),
        ("mobilenet_v1", 3.22, 567.72),
        # As published for 1000 classes, less the classes that are not there.
        ("resnet34", (21_797_672 - 997 * 513) / 1e6, 3664.0 - 0.8),
        ("efficientnet_v2_s", (21_458_488 - 997 * 1281) / 1e6, None),
    ],
)
def test_published_sizes(name, parameters, multiply_adds):
    model = build_model(name)
    assert count_parameters(model) / 1e6 == pytest.approx(parameters, abs=0.005)
    if multiply_adds is not None:
        assert count_multiply_adds(model, size=224) / 1e6 == pytest.approx(multiply_adds, abs=1.0)


@needs_libraries
@pytest.mark.parametrize("name", PEERS)
def test_the_doors_of_iicnet(name):
    torch.manual_seed(0)
    model = build_model(name, in_channels=4, n_classes=5).eval()
    with torch.inference_mode():
        for size in (64, 128):
            x = torch.randn(1, 4, size, size)
            expected = model.embed(x) @ model.head.weight.T + model.head.bias
            assert expected.shape == (1, 5)
            torch.testing.assert_close(model(x), expected)


@needs_libraries
@pytest.mark.parametrize("name", PEERS)
def test_every_parameter_learns(name):
    """Four bands, so that the first convolution is the one put in."""
    torch.manual_seed(0)
    model = build_model(name, in_channels=4).to(memory_format=torch.channels_last)
    # Stochastic depth leaves out blocks in training.
    for layer in model.modules():
        if type(layer).__name__ == "StochasticDepth":
            layer.p = 0.0
    torch.nn.functional.cross_entropy(model(torch.randn(3, 4, 64, 64)), torch.arange(3)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    assert next(iter(gradients.values())).abs().max() > 0


@needs_libraries
@pytest.mark.parametrize("name", PEERS)
def test_precision_on_a_cpu(name):
    """bfloat16 where the caller asks for it; RepVGG not, for its training would crash."""
    torch.manual_seed(0)
    model = build_model(name).to(memory_format=torch.channels_last).eval()
    x = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert model.embed(x).dtype == (torch.float32 if name == "repvgg" else torch.bfloat16)


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_library_is_named(name, monkeypatch):
    def nothing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", nothing)
    with pytest.raises(IICnetError, match=r"pip install 'astro_iicnet\[train\]'"):
        build_model(name)
