"""IICnet, the infrared image classification network."""

from torch import Tensor, nn

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models.layers import CBAM, RFB, conv_bn


class IICnet(nn.Module):
    """Galaxy, quasar or star from a WISE image of 50 arcsec on a side.

    A reconstruction of the network of Zhao et al. (2023), not the authors' code: the plainest
    network found that satisfies every sentence of their text and gives their totals. The stride
    of the first convolution and the channel numbers are not stated there; they follow from the
    totals.

    ================================================== ============= ========== ===========
    Layer                                              Output        Parameters   Mult-adds
    ================================================== ============= ========== ===========
    Conv 5x5, stride 2, BN, ReLU                       64 x 40 x 40       4,928   7,680,000
    RFB branch 1: 1x1, ReLU; 3x3 rate 1, BN            8 x 40 x 40        1,112   1,740,800
    RFB branch 2: 1x1, ReLU; 3x3, BN, ReLU; 3x3 rate 3 8 x 40 x 40        1,704   2,662,400
    RFB branch 3: 1x1, ReLU; 5x5, BN, ReLU; 3x3 rate 5 8 x 40 x 40        2,728   4,300,800
    RFB merge 1x1                                      64 x 40 x 40       1,600   2,457,600
    RFB shortcut 1x1, sum, ReLU                        64 x 40 x 40       4,160   6,553,600
    CBAM, 64 to 4 to 64; 7x7                           64 x 40 x 40         610     157,824
    Max-pool 2x2                                       64 x 20 x 20
    Conv 3x3, BN, ReLU                                 128 x 20 x 20     73,984  29,491,200
    Max-pool 2x2                                       128 x 10 x 10
    Conv 3x3, BN, ReLU                                 128 x 10 x 10    147,712  14,745,600
    Conv 3x3, BN, ReLU                                 256 x 10 x 10    295,424  29,491,200
    Conv 3x3, BN, ReLU                                 512 x 10 x 10  1,180,672 117,964,800
    Max-pool 2x2                                       512 x 5 x 5
    CBAM, 512 to 32 to 512; 7x7                        512 x 5 x 5       32,866      67,986
    Global mean, linear                                3                  1,539       1,536
    Total                                                             1,749,039 217,315,346
    ================================================== ============= ========== ===========

    The published 218.66 M operations count also 4 per element of each batch normalisation
    (1,228,800) and the two average pools of the attention (115,776): 218,659,922 in all.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image. Four bands give 1,750,639 parameters.
    n_classes : int, default 3
        Logits that come out.
    first_kernel : {5, 3}, default 5
        Kernel size of the first convolution [px]; 3 is the variant that the paper compares with.

    Raises
    ------
    IICnetError
        If the first kernel is another.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 3.1, Figs. 7, 8 (first kernel), 9, 10 and Table 3
    (doi:10.1088/1674-4527/acd67e).
    """

    def __init__(self, in_channels: int = 3, n_classes: int = 3, first_kernel: int = 5) -> None:
        super().__init__()
        if first_kernel not in (3, 5):
            raise IICnetError(f"first_kernel={first_kernel!r}: expected 5, or 3 to compare with.")
        self.features = nn.Sequential(
            *conv_bn(in_channels, 64, first_kernel, stride=2),
            nn.ReLU(),
            RFB(64),
            CBAM(64),
            nn.MaxPool2d(2),
            *conv_bn(64, 128, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            *conv_bn(128, 128, 3),
            nn.ReLU(),
            *conv_bn(128, 256, 3),
            nn.ReLU(),
            *conv_bn(256, 512, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            CBAM(512),
        )
        self.head = nn.Linear(512, n_classes)
        self._initialise()

    def _initialise(self) -> None:
        """He initialisation for what feeds a ReLU; attention gates keep PyTorch's, near 1/2."""
        gates = {id(m) for cbam in self.modules() if isinstance(cbam, CBAM) for m in cbam.modules()}
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and id(module) not in gates:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def embed(self, x: Tensor) -> Tensor:
        """The features that the last layer sees.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) preprocessed images, H and W from 32 to 128.

        Returns
        -------
        torch.Tensor
            (N, 512).
        """
        features: Tensor = self.features(x).mean(dim=(2, 3))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) preprocessed images, H and W from 32 to 128.

        Returns
        -------
        torch.Tensor
            (N, n_classes), in the order of `astro_iicnet.labels.CLASSES`.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits
