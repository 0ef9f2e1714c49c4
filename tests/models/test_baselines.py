"""The six peers: sizes against publications, and the doors of IICnet."""

import importlib

import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models import build_model
from astro_iicnet.models.counting import count_multiply_adds, count_parameters

PEERS = ["vgg16", "googlenet", "resnet34", "mobilenet_v1", "efficientnet_v2_s", "repvgg"]

try:
    import timm
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
def test_the_first_1x1_convolution_of_repvgg_is_that_of_timm():
    """Same values and gradients as with stride 2, on contiguous images, where torch can be trusted."""
    torch.manual_seed(0)
    layer = build_model("repvgg").body.stem.conv_1x1.conv
    strided = torch.nn.Conv2d(3, 64, 1, stride=2, bias=False)
    strided.load_state_dict(layer.state_dict())
    theirs = timm.create_model("repvgg_a2", num_classes=0).stem.conv_1x1.conv
    assert (theirs.weight.shape, theirs.stride) == (layer.weight.shape, strided.stride)
    for size in (64, 81):
        x = torch.randn(2, 3, size, size)
        torch.testing.assert_close(layer(x), strided(x))
        gradients = [torch.autograd.grad(one(x).square().sum(), one.weight)[0] for one in (layer, strided)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)


@needs_libraries
@pytest.mark.parametrize("autocast", [False, True])
def test_repvgg_trains_in_the_order_of_the_training_loop(autocast):
    """With a strided layer in its place this overwrote memory and ended the process."""
    torch.manual_seed(0)
    model = build_model("repvgg").to(memory_format=torch.channels_last)
    for _ in range(2):
        x = torch.randn(12, 3, 80, 80).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(model(x).float(), torch.arange(12) % 3)
        model.zero_grad()
        loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_library_is_named(name, monkeypatch):
    def nothing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", nothing)
    with pytest.raises(IICnetError, match=r"pip install 'astro_iicnet\[train\]'"):
        build_model(name)
