"""Building blocks of IICnet: the receptive field block and the attention module."""

import torch
from torch import Tensor, nn


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """Bias-free convolution with same padding, then batch normalisation.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel : int
        Kernel size [px], odd.
    stride, dilation : int, default 1
        As in `torch.nn.Conv2d`.

    Returns
    -------
    list of torch.nn.Module
        The two layers, to be unpacked into a `torch.nn.Sequential`.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]


class RFB(nn.Module):
    """Receptive field block: three views of growing reach, merged and added to a shortcut.

    Each branch reduces the channels with a 1x1 convolution and ends in a 3x3 convolution of
    rate 1, 3 or 5; the rates after a kernel of the same size mimic the way receptive fields
    grow with eccentricity.

    Parameters
    ----------
    channels : int, default 64
        Channels in and out.
    branch_channels : int, default 8
        Channels inside each branch.

    References
    ----------
    Liu, Huang & Wang 2018, ECCV, arXiv:1711.07767; used by Zhao et al. 2023, RAA 23, 085010
    (doi:10.1088/1674-4527/acd67e), Sec. 3.1 and Fig. 9.
    """

    def __init__(self, channels: int = 64, branch_channels: int = 8) -> None:
        super().__init__()
        width = branch_channels

        def branch(*layers: nn.Module) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(), *layers)

        self.branches = nn.ModuleList(
            [
                branch(*conv_bn(width, width, 3)),
                branch(*conv_bn(width, width, 3), nn.ReLU(), *conv_bn(width, width, 3, dilation=3)),
                branch(*conv_bn(width, width, 5), nn.ReLU(), *conv_bn(width, width, 3, dilation=5)),
            ]
        )
        self.merge = nn.Conv2d(3 * width, channels, 1)
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Look at ``x`` with three reaches.

        Parameters
        ----------
        x : torch.Tensor
            (N, channels, H, W).

        Returns
        -------
        torch.Tensor
            (N, channels, H, W), not negative.
        """
        merged = self.merge(torch.cat([branch(x) for branch in self.branches], dim=1))
        return torch.relu(merged + self.shortcut(x))


class CBAM(nn.Module):
    """Convolutional block attention module: weigh the channels, then the places.

    Parameters
    ----------
    channels : int
        Channels in and out.
    reduction : int, default 16
        The hidden layer of the channel attention has ``channels // reduction`` units.
    kernel : int, default 7
        Kernel size of the spatial attention [px].

    References
    ----------
    Woo et al. 2018, ECCV, arXiv:1807.06521; Zhao et al. 2023 (doi:10.1088/1674-4527/acd67e),
    Eq. 1 (channels) and Eq. 2 (places).
    """

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh ``x``.

        Parameters
        ----------
        x : torch.Tensor
            (N, channels, H, W).

        Returns
        -------
        torch.Tensor
            (N, channels, H, W).
        """
        pooled = torch.stack([self.average_pool(x), self.max_pool(x)]).flatten(2)
        x = x * torch.sigmoid(self.mlp(pooled).sum(0))[:, :, None, None]
        places = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(places))
