"""Sizes and costs, against sums by hand."""

import torch
from torch import nn

from astro_iicnet.fusion.networks import ColorNet, FusionNet
from astro_iicnet.models import IICnet
from astro_iicnet.models.counting import count_multiply_adds, count_parameters


def test_by_hand():
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),  # 4 x 4 places, 6 filters of 2 x 9
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),  # 6 filters of 9
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    assert count_multiply_adds(model, in_channels=2, size=8) == 16 * 6 * 18 + 16 * 6 * 9 + 18
    assert count_parameters(model) == (108 + 6) + 12 + (54 + 6) + (18 + 3)
    assert model.training


def test_iicnet_as_its_table_has_it():
    model = IICnet().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert count_multiply_adds(model) == 217_315_346
    assert count_parameters(model) == 1_749_039
    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_image_and_magnitudes():
    image, color, both = IICnet(), ColorNet(), FusionNet()
    alone = count_multiply_adds(color, inputs=("magnitudes",))
    assert alone == 15 * 64 + 64 * 128 + 128 * 3
    # One last layer in place of two: 512 and 128 features go into it.
    joint = count_multiply_adds(both, size=64, inputs=("image", "magnitudes"))
    assert joint == count_multiply_adds(image, size=64) + alone
