"""The student against the totals of its table, and at the scale it is made for."""

import pytest
import torch
from torch import nn

from astro_iicnet.models import build_model


def totals(model: nn.Module, size: int) -> tuple[int, int]:
    """Parameters, and convolution and linear multiply-adds from the shapes that pass."""
    counted = []

    def count(layer, inputs, output):
        weights_of_one = layer.weight[0].numel()
        counted.append(output.numel() * weights_of_one)

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, size, size))
    return sum(parameter.numel() for parameter in model.parameters()), sum(counted)


def test_totals_of_the_table():
    assert totals(build_model("student"), 36) == (659_955, 41_537_472)


@pytest.mark.parametrize(("bands", "size"), [(3, 36), (4, 36), (3, 41), (3, 80)])
def test_bands_and_sizes(bands, size):
    model = build_model("student", in_channels=bands).eval()
    images = torch.randn(2, bands, size, size)
    with torch.inference_mode():
        assert model.embed(images).shape == (2, 128)
        assert torch.isfinite(model(images)).all()


def test_it_learns_what_is_in_the_middle():
    """Spots of two widths are told apart after a few steps."""
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    model = build_model("student", n_classes=2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    axis = torch.arange(36) - 17.5
    radius = axis[:, None] ** 2 + axis**2

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(2, (32,), generator=generator)
        width = 2.0 + 2.0 * labels[:, None, None, None]
        spots = torch.exp(-radius / (2 * width**2))
        return spots + 0.3 * torch.randn(32, 3, 36, 36, generator=generator), labels

    for _ in range(15):
        images, labels = batch()
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    images, labels = batch()
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean()
    assert right > 0.9
