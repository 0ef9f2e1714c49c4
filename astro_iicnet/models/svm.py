"""IICnet with a support vector machine in place of its last layer."""

import torch
from torch import Tensor, nn

from astro_iicnet.models.iicnet import IICnet


class SVMHead(nn.Module):
    """A support vector machine with a radial kernel, on principal components of features.

    All it knows are arrays, which `~astro_iicnet.training.svm.fit_svm` fills; nothing of it is trained by
    gradient. A new one gives the same logits for all features.

    Parameters
    ----------
    n_features : int
        Features that go in.
    n_classes : int
        Logits that come out.
    n_components : int
        Principal components that the kernel sees.
    n_support : int
        Support vectors.
    """

    mean: Tensor
    components: Tensor
    support: Tensor
    gamma: Tensor
    coefficients: Tensor
    intercept: Tensor
    slope: Tensor
    bias: Tensor

    def __init__(self, n_features: int, n_classes: int, n_components: int, n_support: int) -> None:
        super().__init__()
        n_pairs = n_classes * (n_classes - 1) // 2
        shapes = {
            "mean": (n_features,),
            "components": (n_components, n_features),
            "support": (n_support, n_components),
            "gamma": (),
            "coefficients": (n_support, n_pairs),
            "intercept": (n_pairs,),
            "slope": (n_pairs, n_classes),
            "bias": (n_classes,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def decide(self, features: Tensor) -> Tensor:
        """Decision values, one for each pair of classes; above 0 for the first of the pair.

        Parameters
        ----------
        features : torch.Tensor
            (N, n_features).

        Returns
        -------
        torch.Tensor
            (N, n_pairs), in the order (0, 1), (0, 2), (1, 2).
        """
        position = (features - self.mean) @ self.components.T
        distance = torch.cdist(position, self.support, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-self.gamma * distance**2) @ self.coefficients + self.intercept

    def forward(self, features: Tensor) -> Tensor:
        """Logits: a linear map of the decision values, fitted to give calibrated probabilities.

        Parameters
        ----------
        features : torch.Tensor
            (N, n_features).

        Returns
        -------
        torch.Tensor
            (N, n_classes).
        """
        return self.decide(features) @ self.slope + self.bias


class IICnetSVM(IICnet):
    """`IICnet` whose 512 features go to an `SVMHead`.

    Parameters
    ----------
    in_channels : int, default 3
        Bands of the image.
    n_classes : int, default 3
        Logits that come out.
    first_kernel : {5, 3}, default 5
        See `IICnet`.
    n_components, n_support : int, default 1
        See `SVMHead`.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 6, names a support vector machine on such features as future work.
    """

    def __init__(
        self,
        in_channels: int = 3,
        n_classes: int = 3,
        first_kernel: int = 5,
        n_components: int = 1,
        n_support: int = 1,
    ) -> None:
        super().__init__(in_channels, n_classes, first_kernel)
        n_features = self.head.in_features
        self.head = SVMHead(n_features, n_classes, n_components, n_support)  # type: ignore[assignment]
