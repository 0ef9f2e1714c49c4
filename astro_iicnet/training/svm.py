"""A support vector machine on the features of a trained network."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch import nn

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES
from astro_iicnet.models.iicnet import IICnet
from astro_iicnet.models.svm import IICnetSVM, SVMHead
from astro_iicnet.training.loop import predict_logits
from astro_iicnet.weights import Weights


def fit_svm(
    weights: Weights,
    cutouts: Cutouts,
    labels: np.ndarray,
    *,
    n_components: int = 16,
    penalty: float = 1.0,
    device: str = "auto",
    seed: int = 0,
) -> Weights:
    """Put a support vector machine in place of the last layer of a trained network.

    The features are projected on principal components, which keeps the file small. The machine is
    fitted on four fifths of the sources; on the others, a multinomial logistic regression turns its
    decision values into logits, so that probabilities are calibrated.

    Parameters
    ----------
    weights : Weights
        A trained `~astro_iicnet.models.iicnet.IICnet`; it is not changed.
    cutouts : Cutouts
        N sources; best such that the network was not trained on.
    labels : numpy.ndarray
        (N,) label indices, in the fractions that the weights were trained on.
    n_components : int, default 16
        Principal components that the kernel sees.
    penalty : float, default 1
        Of sources on the wrong side, the C of scikit-learn.
    device : str, default "auto"
        Where the features are computed, see `~astro_iicnet.models.device.choose_device`.
    seed : int, default 0
        Of the split and the principal components.

    Returns
    -------
    Weights
        With the network `~astro_iicnet.models.svm.IICnetSVM`, on the CPU, for ``save_weights``. They
        have the name of the old ones with "-svm" at the end, and no metrics.

    Raises
    ------
    IICnetError
        If the network is not an IICnet, or a class has fewer than ten sources.
    """
    network = weights.model
    if type(network) is not IICnet:
        raise IICnetError(
            f"The weights {weights.name!r} are of the architecture {weights.record['architecture']!r}: "
            "expected 'iicnet'."
        )
    counts = np.bincount(labels, minlength=len(CLASSES))
    if counts.min() < 10:
        raise IICnetError(f"There are {counts.tolist()} sources of {', '.join(CLASSES)}: 10 each are needed.")
    found = _features(weights, cutouts, device)
    rows, others = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
    head = _fit_head(found[rows], labels[rows], n_components, penalty, seed)
    _calibrate(head, found[others], labels[others])
    return _join(weights, network, head)


def _features(weights: Weights, cutouts: Cutouts, device: str) -> np.ndarray:
    network = copy.deepcopy(weights.model)
    network.head = nn.Identity()
    return predict_logits(network, copy.deepcopy(weights.preprocess), cutouts, device=device)


def _fit_head(
    features: np.ndarray, labels: np.ndarray, n_components: int, penalty: float, seed: int
) -> SVMHead:
    """A head whose decision values are those of scikit-learn."""
    features = features.astype(np.float64)
    projection = PCA(n_components, svd_solver="full", random_state=seed).fit(features)
    projected = projection.transform(features)
    gamma = 1 / (n_components * float(projected.var()))
    machine = SVC(C=penalty, kernel="rbf", gamma=gamma, cache_size=500).fit(projected, labels)
    n_classes = len(machine.classes_)
    pairs = [(a, b) for a in range(n_classes) for b in range(a + 1, n_classes)]
    of_class = np.repeat(np.arange(n_classes), machine.n_support_)
    # scikit-learn keeps, for a support vector of class a, its coefficients against the other classes.
    coefficients = np.zeros((len(of_class), len(pairs)))
    for pair, (a, b) in enumerate(pairs):
        coefficients[of_class == a, pair] = machine.dual_coef_[b - 1, of_class == a]
        coefficients[of_class == b, pair] = machine.dual_coef_[a, of_class == b]
    arrays = {
        "mean": projection.mean_,
        "components": projection.components_,
        "support": machine.support_vectors_,
        "gamma": gamma,
        "coefficients": coefficients,
        "intercept": machine.intercept_,
    }
    head = SVMHead(features.shape[1], n_classes, n_components, len(of_class))
    for name, values in arrays.items():
        getattr(head, name).copy_(torch.as_tensor(values, dtype=torch.float32))
    return head


def _calibrate(head: SVMHead, features: np.ndarray, labels: np.ndarray) -> None:
    """Fit the map from decision values to logits."""
    with torch.no_grad():
        decided = head.decide(torch.from_numpy(features)).numpy()
    # Hardly any penalty: there are 12 numbers to fit.
    regression = LogisticRegression(C=1e3, max_iter=1000).fit(decided.astype(np.float64), labels)
    head.slope.copy_(torch.as_tensor(regression.coef_.T, dtype=torch.float32))
    head.bias.copy_(torch.as_tensor(regression.intercept_, dtype=torch.float32))


def _join(weights: Weights, network: IICnet, head: SVMHead) -> Weights:
    """Weights of the old features and the new head."""
    n_support, n_components = head.support.shape
    options = weights.record["options"] | {"n_components": n_components, "n_support": n_support}
    model = IICnetSVM(**options)
    model.features.load_state_dict(network.features.state_dict())
    model.head = head  # type: ignore[assignment]
    changes: dict[str, Any] = {
        "name": f"{weights.name}-svm",
        "architecture": "iicnet_svm",
        "options": options,
        "temperature": 1.0,
        "set_scores": None,
        "metrics": {},
    }
    return Weights(weights.record | changes, model.eval(), copy.deepcopy(weights.preprocess))
