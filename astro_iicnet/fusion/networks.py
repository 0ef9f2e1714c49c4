"""The colour network and the image + colour network."""

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.fusion.colours import Magnitudes
from astro_iicnet.labels import Status
from astro_iicnet.models import ARCHITECTURES as IMAGE_ARCHITECTURES
from astro_iicnet.models import IICnet
from astro_iicnet.models import build_model as build_image_model

FEATURES: tuple[str, ...] = ("magnitudes", "colours")
"""What the colour network may look at: magnitudes and colours, or colours alone."""


class ColorNet(nn.Module):
    """Galaxy, quasar or star from magnitudes and colours.

    Of B bands it takes B magnitudes and B - 1 colours of neighbouring bands, standardised by constants that
    are saved with the weights. Beside each stand two numbers: whether it is known, and whether an
    upper limit enters it. What is not known is put at the mean, which by the first number is not taken
    for a measurement; a limit enters with its value. Two linear layers (64 and 128), each with BatchNorm
    and ReLU, give the features; the sizes are ours, for the paper does not give them.

    Parameters
    ----------
    in_channels : int, default 3
        Bands, in the order of their wavelengths.
    n_classes : int, default 3
        Logits that come out.
    features : {"magnitudes", "colours"}, default "magnitudes"
        "colours" leaves out the magnitudes: the brightness is then not seen.

    Raises
    ------
    IICnetError
        If there are no such features, or less than two bands.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 4 and Fig. 16 (doi:10.1088/1674-4527/acd67e).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, in_channels: int = 3, n_classes: int = 3, features: str = "magnitudes") -> None:
        super().__init__()
        if features not in FEATURES:
            raise IICnetError(unknown_name("features", features, FEATURES))
        if in_channels < 2:
            raise IICnetError(f"in_channels={in_channels!r}: expected at least 2 bands, for a colour.")
        self.features = features
        n = in_channels - 1 + (in_channels if features == "magnitudes" else 0)
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.layers = nn.Sequential(
            nn.Linear(3 * n, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
        )
        self.head = nn.Linear(128, n_classes)

    def fit_standardisation(self, photometry: Tensor) -> None:
        """Take mean and scatter of each feature from a training set.

        Parameters
        ----------
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Raises
        ------
        IICnetError
            If a feature is known in less than two rows.
        """
        values, _ = self._features(photometry)
        known = torch.isfinite(values)
        if int(known.sum(0).min()) < 2:
            raise IICnetError(
                f"Known in the rows for training: {known.sum(0).tolist()} values of the features. Expected "
                "two or more of each: give more sources, or leave a band out."
            )
        self.mean.copy_(values.nanmean(0))
        self.scale.copy_((values - self.mean).square().nanmean(0).sqrt().clamp_min(1e-3))

    def is_known(self, photometry: Tensor) -> Tensor:
        """Tell for which sources there is anything to look at.

        Parameters
        ----------
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Returns
        -------
        torch.Tensor
            (N,) bool, true where at least one magnitude or colour (of ``features``) is known.
        """
        values, _ = self._features(photometry)
        return torch.isfinite(values).any(dim=1)

    def embed(self, photometry: Tensor) -> Tensor:
        """The features that the last layer sees.

        Parameters
        ----------
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Returns
        -------
        torch.Tensor
            (N, 128).
        """
        values, limits = self._features(photometry)
        known = torch.isfinite(values)
        standard = torch.where(known, (values - self.mean) / self.scale, 0)
        found: Tensor = self.layers(torch.cat([standard, known, limits], dim=1))
        return found

    def forward(self, photometry: Tensor) -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Returns
        -------
        torch.Tensor
            (N, n_classes), in the order of `astro_iicnet.labels.CLASSES`.
        """
        logits: Tensor = self.head(self.embed(photometry))
        return logits

    def _features(self, photometry: Tensor) -> tuple[Tensor, Tensor]:
        """Values, NaN where not known, and whether a limit is in them, as numbers."""
        mag, limit = photometry[:, 0], photometry[:, 1]
        values, limits = [mag[:, :-1] - mag[:, 1:]], [torch.maximum(limit[:, :-1], limit[:, 1:])]
        if self.features == "magnitudes":
            values, limits = [mag, *values], [limit, *limits]
        values_all = torch.cat(values, dim=1)
        return values_all, torch.where(torch.isfinite(values_all), torch.cat(limits, dim=1), 0)


class FusionNet(nn.Module):
    """Galaxy, quasar or star from the image and the magnitudes together.

    The 512 features of `~astro_iicnet.models.iicnet.IICnet` and the 128 of `ColorNet` go side by side into
    one linear layer.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image, and of the magnitudes.
    n_classes : int, default 3
        Logits that come out.
    features : {"magnitudes", "colours"}, default "magnitudes"
        See `ColorNet`.
    first_kernel : {5, 3}, default 5
        See `~astro_iicnet.models.iicnet.IICnet`.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 4 and Fig. 16 (doi:10.1088/1674-4527/acd67e).
    """

    def __init__(
        self,
        in_channels: int = 3,
        n_classes: int = 3,
        features: str = "magnitudes",
        first_kernel: int = 5,
    ) -> None:
        super().__init__()
        self.image = IICnet(in_channels, n_classes, first_kernel)
        self.color = ColorNet(in_channels, n_classes, features)
        self.head = nn.Linear(self.image.head.in_features + self.color.head.in_features, n_classes)

    def start_from(self, image: nn.Module, color: nn.Module) -> None:
        """Take over trained networks; until it is trained on, this network answers as the image network.

        Parameters
        ----------
        image : torch.nn.Module
            An `~astro_iicnet.models.iicnet.IICnet` with the same options.
        color : torch.nn.Module
            A `ColorNet` with the same options.

        Raises
        ------
        IICnetError
            If a network has other options.
        """
        try:
            self.image.load_state_dict(image.state_dict())
            self.color.load_state_dict(color.state_dict())
        except RuntimeError as error:
            raise IICnetError(
                f"The networks to start from do not fit: {error}. Expected an IICnet and a ColorNet with "
                "the same options."
            ) from None
        n = self.image.head.in_features
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.weight[:, :n] = self.image.head.weight
            self.head.bias.copy_(self.image.head.bias)

    def join(self, embedding: Tensor, photometry: Tensor) -> Tensor:
        """Logits from the features of an image and the magnitudes.

        Parameters
        ----------
        embedding : torch.Tensor
            (N, 512) of ``image.embed``.
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Returns
        -------
        torch.Tensor
            (N, n_classes).
        """
        logits: Tensor = self.head(torch.cat([embedding, self.color.embed(photometry)], dim=1))
        return logits

    def forward(self, x: Tensor, photometry: Tensor) -> Tensor:
        """Logits of the classes.

        Parameters
        ----------
        x : torch.Tensor
            (N, in_channels, H, W) preprocessed images.
        photometry : torch.Tensor
            (N, 2, in_channels) of `photometry_tensor`.

        Returns
        -------
        torch.Tensor
            (N, n_classes), in the order of `astro_iicnet.labels.CLASSES`.
        """
        return self.join(self.image.embed(x), photometry)


ARCHITECTURES: dict[str, type[nn.Module]] = {"color": ColorNet, "fusion": FusionNet}
"""What weights may name as their architecture, beside those of `astro_iicnet.models`."""


def build_model(architecture: str, **options: Any) -> nn.Module:
    """A fresh network of a named architecture, with or without magnitudes.

    Parameters
    ----------
    architecture : str
        One of `ARCHITECTURES` or of `astro_iicnet.models.ARCHITECTURES`.
    **options
        What the architecture takes, as in ``features="colours"``.

    Returns
    -------
    torch.nn.Module
        The network with random weights, in training mode.

    Raises
    ------
    IICnetError
        If there is no such architecture, or it has no such option.
    """
    if architecture in IMAGE_ARCHITECTURES:
        return build_image_model(architecture, **options)
    if architecture not in ARCHITECTURES:
        raise IICnetError(unknown_name("architecture", architecture, [*IMAGE_ARCHITECTURES, *ARCHITECTURES]))
    network = ARCHITECTURES[architecture]
    known = inspect.signature(network).parameters
    for option in options:
        if option not in known:
            raise IICnetError(unknown_name(f"option of {architecture}", option, known))
    return network(**options)


def photometry_tensor(magnitudes: Magnitudes) -> Tensor:
    """Magnitudes as the networks take them.

    Parameters
    ----------
    magnitudes : Magnitudes
        N sources in B bands.

    Returns
    -------
    torch.Tensor
        (N, 2, B) float32: the magnitude [Vega mag], NaN where not known; and 1 where it is an upper
        limit, else 0.
    """
    return torch.from_numpy(np.stack([magnitudes.mag, magnitudes.upper_limit.astype(np.float32)], axis=1))


def magnitude_status(model: nn.Module, magnitudes: Magnitudes) -> np.ndarray:
    """Say which sources a network can judge, as far as magnitudes are concerned.

    Parameters
    ----------
    model : torch.nn.Module
        A `ColorNet` or `FusionNet`.
    magnitudes : Magnitudes
        N sources.

    Returns
    -------
    numpy.ndarray
        (N,) uint8, the status of the magnitudes; ``MISSING_MAGNITUDES`` too where they hold nothing that the
        network looks at, as a colour.
    """
    color = model.color if isinstance(model, FusionNet) else model
    status = magnitudes.status.copy()
    if isinstance(color, ColorNet):
        known = color.is_known(photometry_tensor(magnitudes).to(color.mean.device)).cpu().numpy()
        status[(status == Status.OK) & ~known] = Status.MISSING_MAGNITUDES
    return status


def apply_network(model: nn.Module, x: Tensor | None, photometry: Tensor | None) -> Tensor:
    """Give any network what it looks at.

    Parameters
    ----------
    model : torch.nn.Module
        An image network, a `ColorNet` or a `FusionNet`.
    x : torch.Tensor or None
        (N, B, H, W) preprocessed images; a `ColorNet` needs none.
    photometry : torch.Tensor or None
        (N, 2, B) of `photometry_tensor`; an image network needs none.

    Returns
    -------
    torch.Tensor
        (N, n_classes) logits.
    """
    if isinstance(model, ColorNet):
        logits: Tensor = model(photometry)
    elif isinstance(model, FusionNet):
        logits = model(x, photometry)
    else:
        logits = model(x)
    return logits


def drop_bands(photometry: Tensor, generator: torch.Generator, share: float = 0.3) -> Tensor:
    """Make bands unknown at random, so that a network learns to do without them.

    Parameters
    ----------
    photometry : torch.Tensor
        (N, 2, B) of `photometry_tensor`, on the CPU.
    generator : torch.Generator
        Random numbers.
    share : float, default 0.3
        Share of sources that this may happen to. Each of their bands is lost with probability 1/2,
        but one that is known always stays.

    Returns
    -------
    torch.Tensor
        (N, 2, B), a copy.
    """
    n, _, n_bands = photometry.shape
    hit = torch.rand((n, 1), generator=generator) < share
    chance = torch.rand((n, n_bands), generator=generator)
    known = torch.isfinite(photometry[:, 0])
    kept = torch.where(known, chance, -1).argmax(dim=1, keepdim=True)
    lost = (hit & (chance < 0.5)).scatter(1, kept, False)
    mag = photometry[:, 0].masked_fill(lost, torch.nan)
    return torch.stack([mag, photometry[:, 1].masked_fill(lost, 0)], dim=1)
