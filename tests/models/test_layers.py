"""The building blocks against what their definitions say."""

import pytest
import torch

from astro_iicnet.models.layers import CBAM, RFB


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(1)


def _reach(layer: torch.nn.Module, size: int = 41) -> int:
    """Farthest input pixel [px] that the middle output pixel of a layer depends on."""
    x = torch.randn(1, 64, size, size, requires_grad=True)
    layer.eval()(x)[0, :, size // 2, size // 2].sum().backward()
    used = x.grad.abs().sum((0, 1)).nonzero() - size // 2
    return int(used.abs().max())


def test_rfb_branches_reach_as_far_as_their_kernels():
    """3x3; 3x3 then rate 3; 5x5 then rate 5: 1, 1 + 3 and 2 + 5 px from the middle."""
    assert [_reach(branch) for branch in RFB().branches] == [1, 4, 7]


def test_rfb_keeps_the_shape_and_is_not_negative():
    y = RFB()(torch.randn(2, 64, 9, 11))
    assert y.shape == (2, 64, 9, 11)
    assert y.min() == 0


def test_rfb_shortcut_passes_by_the_branches():
    block = RFB().eval()
    torch.nn.init.zeros_(block.merge.weight)
    torch.nn.init.zeros_(block.merge.bias)
    x = torch.randn(1, 64, 5, 5)
    expected = torch.einsum("oi,nihw->nohw", block.shortcut.weight[:, :, 0, 0], x)
    expected = torch.relu(expected + block.shortcut.bias[:, None, None])
    torch.testing.assert_close(block(x), expected)


def test_cbam_follows_the_two_equations_of_the_paper():
    """Eq. 1: sigmoid(MLP(avg) + MLP(max)); Eq. 2: sigmoid(conv7([avg; max])). Written out plainly."""
    block = CBAM(32)
    x = torch.randn(3, 32, 6, 8)
    first, last = block.mlp[0].weight, block.mlp[2].weight
    gate = torch.sigmoid(
        torch.relu(x.mean((2, 3)) @ first.T) @ last.T + torch.relu(x.amax((2, 3)) @ first.T) @ last.T
    )
    y = x * gate[:, :, None, None]
    places = torch.stack([y.mean(1), y.max(1).values], 1)
    patches = torch.nn.functional.unfold(places, 7, padding=3)
    gate = torch.sigmoid(block.spatial.weight.flatten(1) @ patches).view(3, 1, 6, 8)
    torch.testing.assert_close(block(x), y * gate)


def test_cbam_of_zero_weights_halves_twice():
    block = CBAM(16)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(block(x), x / 4)
