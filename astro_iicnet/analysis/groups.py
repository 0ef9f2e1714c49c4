"""What is wrong and what is doubtful, sorted: groups of the misclassified, and outliers."""

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from astro_iicnet.analysis.metrics import classification_metrics
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES, Flag
from astro_iicnet.photometry.measurement import Photometry, measure
from astro_iicnet.results import LOW_CONFIDENCE

EMPTY_CENTRE = -1
"""Group of the misclassified without a source in the centre."""

_BANDS = ("W1", "W2", "W3")


def group_misclassified(
    cutouts: Cutouts, labels: ArrayLike, probabilities: ArrayLike, *, n_groups: int = 3, seed: int = 0
) -> Table:
    """Sort the misclassified into groups by k-means, those with an empty centre apart.

    The features are the inverse hyperbolic sine of the S/N in W1, W2 and W3 and the differences of
    neighbouring bands, all standardised: brightness and colour, defined for the faintest too. Groups are
    numbered by brightness, the darkest first, as in the paper: dark (galaxies and quasars confused), of
    complex colours, bright (galaxies and stars confused).

    Parameters
    ----------
    cutouts : Cutouts
        N sources with W1, W2 and W3.
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities, finite.
    n_groups : int, default 3
        Groups of those with a source in the centre; fewer if they are fewer.
    seed : int, default 0
        Of the starts of k-means.

    Returns
    -------
    `~astropy.table.Table`
        One row for each misclassified source: ``row`` (index of the source), ``true``, ``found``,
        ``probability`` (of the class found), ``group`` (`EMPTY_CENTRE`, or from 0) and ``snr_w1``.

    Raises
    ------
    IICnetError
        If the shapes do not fit, a band is missing or ``n_groups`` is below 1.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 5.1 and Fig. 19.
    """
    if n_groups < 1:
        raise IICnetError(f"n_groups is {n_groups}: expected at least 1.")
    labels, probabilities = _check(cutouts, labels, probabilities)
    rows = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    found = measure(cutouts[rows].select_bands(_BANDS))
    groups = np.full(len(rows), EMPTY_CENTRE)
    seen = np.flatnonzero(found.flags & Flag.NO_CENTRAL_SOURCE == 0)
    if len(seen):
        groups[seen] = _k_means(_features(found)[seen], n_groups, seed)
    names = np.array(CLASSES)
    return Table(
        {
            "row": rows,
            "true": names[labels[rows]],
            "found": names[probabilities[rows].argmax(axis=1)],
            "probability": probabilities[rows].max(axis=1),
            "group": groups,
            "snr_w1": found.snr[:, 0],
        }
    )


def find_outliers(
    labels: ArrayLike, probabilities: ArrayLike, *, threshold: float = LOW_CONFIDENCE
) -> np.ndarray:
    """Find the sources that are classified rightly, but without confidence.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities, finite.
    threshold : float, default 0.6
        The highest probability of an outlier is below it.

    Returns
    -------
    numpy.ndarray
        (M,) int: which of the N they are, the least certain first.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or labels or probabilities are not such.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 5.2, Figs. 20 and 21.
    """
    classification_metrics(labels, probabilities)
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    highest = probabilities.max(axis=1)
    rows = np.flatnonzero((probabilities.argmax(axis=1) == labels) & (highest < threshold))
    return rows[np.argsort(highest[rows], kind="stable")]


def _check(cutouts: Cutouts, labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    classification_metrics(labels, probabilities)
    if len(labels) != len(cutouts):
        raise IICnetError(f"{len(labels)} labels for {len(cutouts)} cutouts: expected one for each.")
    return labels, probabilities


def _features(found: Photometry) -> np.ndarray:
    """Brightness and colours (N, 5); a band that was not measured counts as without light."""
    light = np.arcsinh(np.nan_to_num(found.snr))
    return np.concatenate([light, light[:, :-1] - light[:, 1:]], axis=1)


def _k_means(features: np.ndarray, n_groups: int, seed: int) -> np.ndarray:
    """Groups of rows (N,), numbered by mean brightness in W1."""
    n_groups = min(n_groups, len(np.unique(features, axis=0)))
    fit = KMeans(n_groups, n_init=10, random_state=seed).fit(StandardScaler().fit_transform(features))
    brightness = [features[fit.labels_ == group, 0].mean() for group in range(n_groups)]
    number = np.empty(n_groups, dtype=int)
    number[np.argsort(brightness)] = np.arange(n_groups)
    return number[fit.labels_]
