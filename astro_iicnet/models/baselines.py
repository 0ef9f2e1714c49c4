"""The six networks that the paper compares IICnet with, from torchvision and timm.

They start from random weights, take any number of bands and any input size, and have the doors of
`~astro_iicnet.models.iicnet.IICnet`. torchvision and timm come with the extra ``train`` and are
imported when a network is built.
"""

import importlib
from types import ModuleType

from torch import Tensor, nn

from astro_iicnet.exceptions import MissingLibraryError


class Baseline(nn.Module):
    """A network for pictures, cut before its last layer, and a new last layer.

    Parameters
    ----------
    body : torch.nn.Module
        (N, in_channels, H, W) images to (N, n_features).
    n_features : int
        Features that come out of the body.
    n_classes : int, default 3
        Logits that come out.
    """

    def __init__(self, body: nn.Module, n_features: int, n_classes: int = 3) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(n_features, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """The features that the last layer sees.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) preprocessed images.

        Returns
        -------
        torch.Tensor
            (N, n_features).
        """
        features: Tensor = self.body(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) preprocessed images.

        Returns
        -------
        torch.Tensor
            (N, n_classes), in the order of `astro_iicnet.labels.CLASSES`.
        """
        logits: Tensor = self.head(self.embed(x))
        return logits


def vgg16(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """VGG16 without batch normalisation, as torchvision has it.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        134,272,835 parameters and 15.47 G multiply-adds at 224 x 224: the paper's.

    Raises
    ------
    MissingLibraryError
        If torchvision is missing.

    References
    ----------
    Simonyan & Zisserman 2015, arXiv:1409.1556.
    """
    body = _library("torchvision").models.vgg16(weights=None)
    body.classifier[6] = nn.Identity()
    _set_channels(body, in_channels)
    return Baseline(body, 4096, n_classes)


def googlenet(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """GoogLeNet with batch normalisation, no auxiliary heads and true 5x5 branches.

    torchvision has 3x3 kernels where the publication has 5x5; the paper's totals need 5x5.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        5.98 M parameters and 1.58 G multiply-adds at 224 x 224: the paper's.

    Raises
    ------
    MissingLibraryError
        If torchvision is missing.

    References
    ----------
    Szegedy et al. 2015, arXiv:1409.4842.
    """
    network = _library("torchvision").models.googlenet
    body = network(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    for block in body.children():
        if hasattr(block, "branch3"):
            layer = block.branch3[1]
            old = layer.conv
            layer.conv = nn.Conv2d(old.in_channels, old.out_channels, 5, padding=2, bias=False)
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    body.fc = nn.Identity()
    _set_channels(body, in_channels)
    return Baseline(body, 1024, n_classes)


def resnet34(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """ResNet34, as torchvision has it.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        21.29 M parameters. The paper's 46.99 M fit a network with more channels, not this one.

    Raises
    ------
    MissingLibraryError
        If torchvision is missing.

    References
    ----------
    He et al. 2016, arXiv:1512.03385.
    """
    body = _library("torchvision").models.resnet34(weights=None)
    body.fc = nn.Identity()
    _set_channels(body, in_channels)
    return Baseline(body, 512, n_classes)


def mobilenet_v1(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """MobileNet v1 of width 1, from timm; its convolutions have biases, as the paper's totals need.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        3.22 M parameters: the paper's.

    Raises
    ------
    MissingLibraryError
        If timm is missing.

    References
    ----------
    Howard et al. 2017, arXiv:1704.04861.
    """
    body = _library("timm").create_model("mobilenetv1_100", in_chans=in_channels, num_classes=0)
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d):
            layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_channels))
    return Baseline(body, 1024, n_classes)


def efficientnet_v2_s(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """EfficientNetV2-S, as torchvision has it.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        20.18 M parameters. The paper's 24.18 M fit no published variant.

    Raises
    ------
    MissingLibraryError
        If torchvision is missing.

    References
    ----------
    Tan & Le 2021, arXiv:2104.00298.
    """
    body = _library("torchvision").models.efficientnet_v2_s(weights=None)
    body.classifier[1] = nn.Identity()
    _set_channels(body, in_channels)
    return Baseline(body, 1280, n_classes)


def repvgg(in_channels: int = 3, n_classes: int = 3) -> Baseline:
    """RepVGG-A2, from timm, with the branches that it is trained with.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.

    Returns
    -------
    Baseline
        26.8 M parameters. The paper's 30.07 M fit no published variant; A2 comes closest.

    Raises
    ------
    MissingLibraryError
        If timm is missing.

    References
    ----------
    Ding et al. 2021, arXiv:2101.03697.
    """
    body = _library("timm").create_model("repvgg_a2", in_chans=in_channels, num_classes=0)
    body.stem.conv_1x1.conv = _EverySecond(in_channels, 64, 1, bias=False)
    nn.init.kaiming_normal_(body.stem.conv_1x1.conv.weight, mode="fan_out", nonlinearity="relu")
    return Baseline(body, 1408, n_classes)


class _EverySecond(nn.Conv2d):
    """A 1x1 convolution of stride 2, as one of stride 1 on every second pixel.

    On a CPU, the weight gradient of the strided one overwrites memory where an image of few channels
    is in channels-last order (torch 2.13 and 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return super().forward(x[..., ::2, ::2])


def _library(name: str) -> ModuleType:
    """Import torchvision or timm, or say what is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        raise MissingLibraryError(
            f"This network comes from {name}, which cannot be imported ({error}): "
            "pip install 'astro_iicnet[train]'. torchvision must fit the version of torch."
        ) from error


def _set_channels(body: nn.Module, in_channels: int) -> None:
    """Give the first convolution another number of channels than a colour picture has."""
    first = next(layer for layer in body.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels == in_channels:
        return
    first.in_channels = in_channels
    first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, in_channels, *first.kernel_size))
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
