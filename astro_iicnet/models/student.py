"""A small network for the pixels as they are: the student of IICnet."""

import torch
from torch import Tensor, nn

from astro_iicnet.models.layers import conv_bn


class Student(nn.Module):
    """Galaxy, quasar or star from a WISE image at its native scale, quicker than IICnet.

    50 arcsec are 36 pixels of the Atlas; showing them as 80 x 80 adds work and no information. So the
    student takes 36 x 36 (a recipe of that size moves the target to the centre and leaves the scale
    alone). Its first layer halves the image, where the 6 arcsec of the PSF span four pixels, and the work
    goes into depth: plain 3x3 convolutions with shortcuts, the image halved twice more.

    ========================================== ============= ========== ==========
    Layer                                      Output        Parameters Mult-adds
    ========================================== ============= ========== ==========
    Conv 5x5, stride 2, BN, ReLU               48 x 18 x 18       3,696  1,166,400
    Residual block: twice conv 3x3, BN         48 x 18 x 18      41,664 13,436,928
    Conv 3x3, stride 2, BN, ReLU               96 x 9 x 9        41,664  3,359,232
    Residual block: twice conv 3x3, BN         96 x 9 x 9       166,272 13,436,928
    Conv 3x3, stride 2, BN, ReLU               128 x 5 x 5      110,848  2,764,800
    Residual block: twice conv 3x3, BN         128 x 5 x 5      295,424  7,372,800
    Global mean, linear                        3                    387        384
    Total                                                       659,955 41,537,472
    ========================================== ============= ========== ==========

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    References
    ----------
    He et al. 2016, CVPR, arXiv:1512.03385 (residual blocks).
    """

    def __init__(self, in_channels: int = 3, n_classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *conv_bn(in_channels, 48, 5, stride=2),
            nn.ReLU(),
            _Residual(48),
            *conv_bn(48, 96, 3, stride=2),
            nn.ReLU(),
            _Residual(96),
            *conv_bn(96, 128, 3, stride=2),
            nn.ReLU(),
            _Residual(128),
        )
        self.head = nn.Linear(128, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def embed(self, images: Tensor) -> Tensor:
        """What the network has seen, before it decides.

        Parameters
        ----------
        images : torch.Tensor
            (N, in_channels, size, size) network input, of any size.

        Returns
        -------
        torch.Tensor
            (N, 128).
        """
        return self.features(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        images : torch.Tensor
            (N, in_channels, size, size) network input, of any size.

        Returns
        -------
        torch.Tensor
            (N, n_classes).
        """
        return self.head(self.embed(images))


class _Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_bn(channels, channels, 3), nn.ReLU(), *conv_bn(channels, channels, 3))

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(images + self.body(images))
