"""IICnet against the published totals, and as a network that can learn."""

import pytest
import torch
from torch import nn

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models import IICnet


def _multiply_adds(model: nn.Module, x: torch.Tensor) -> int:
    """Convolution and linear multiply-adds, from the shapes that pass through each layer."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            per_value = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        else:
            per_value = layer.in_features
        total += output.numel() * per_value

    hooks = [
        layer.register_forward_hook(count)
        for layer in model.modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(("bands", "parameters"), [(3, 1_749_039), (4, 1_750_639)])
def test_parameters(bands, parameters):
    assert sum(p.numel() for p in IICnet(in_channels=bands).parameters()) == parameters


def test_multiply_adds():
    assert _multiply_adds(IICnet(), torch.zeros(1, 3, 80, 80)) == 217_315_346


def test_sum_to_the_published_operations():
    """Batch normalisation at 4 per element and the two average pools make the paper's 218.66 M."""
    model = IICnet()
    extra = 0

    def count(layer, inputs, output):
        nonlocal extra
        if isinstance(layer, nn.BatchNorm2d):
            extra += 4 * output.numel()
        else:
            extra += inputs[0].numel() + output.numel()

    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.AdaptiveAvgPool2d)):
            layer.register_forward_hook(count)
    total = _multiply_adds(model, torch.zeros(1, 3, 80, 80)) + extra
    assert total == 218_659_922


@pytest.mark.parametrize("size", range(64, 129, 8))
def test_any_input_size(size):
    model = IICnet().eval()
    with torch.inference_mode():
        x = torch.randn(1, 3, size, size)
        assert model.embed(x).shape == (1, 512)
        assert torch.isfinite(model(x)).all()


def test_forward_is_the_head_on_the_embedding():
    model = IICnet(n_classes=5).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = model.embed(x) @ model.head.weight.T + model.head.bias
        assert expected.shape == (2, 5)
        torch.testing.assert_close(model(x), expected)


def test_rows_do_not_see_each_other_in_use():
    torch.manual_seed(0)
    model = IICnet().eval()
    x = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(x)[[2]], model(x[[2]]), rtol=1e-4, atol=1e-5)


def test_signal_neither_dies_nor_explodes_at_the_start():
    torch.manual_seed(0)
    model = IICnet()
    x = torch.randn(16, 3, 80, 80)
    model(x).square().mean().backward()
    gradients = [p.grad.norm() for p in model.parameters() if p.dim() == 4]
    assert model(x).std() > 0.01
    assert model(x).abs().max() < 20
    assert min(gradients) > 1e-5
    assert max(gradients) < 100


@pytest.mark.parametrize("autocast", [False, True])
def test_learns(autocast):
    """Which third of the image is bright: chance is a third."""
    torch.manual_seed(0)
    y = torch.arange(24) % 3
    x = torch.randn(24, 3, 64, 64)
    for row, label in zip(x, y, strict=True):
        row[:, 21 * label : 21 * label + 21] += 1
    model = IICnet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.4


def test_bfloat16_and_channels_last_change_little():
    torch.manual_seed(0)
    model = IICnet().eval()
    x = torch.randn(4, 3, 80, 80)
    with torch.inference_mode():
        exact = model(x).softmax(1)
        model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(x).softmax(1), exact, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x).float().softmax(1)
    assert (rough - exact).abs().max() < 0.02


def test_smaller_first_kernel():
    """Three bands: 64 kernels of 9 instead of 25 weights each, at 40 x 40 places."""
    model = IICnet(first_kernel=3)
    assert sum(p.numel() for p in model.parameters()) == 1_749_039 - 3 * 64 * 16
    assert _multiply_adds(model, torch.zeros(1, 3, 80, 80)) == 217_315_346 - 3 * 64 * 16 * 1600
    with pytest.raises(IICnetError, match="first_kernel=4: expected 5"):
        IICnet(first_kernel=4)
