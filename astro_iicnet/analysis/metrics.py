"""How good a classification is, in the paper's terms and by brightness."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix as _sklearn_confusion_matrix
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES


def classification_metrics(labels: ArrayLike, probabilities: ArrayLike) -> Table:
    """Metrics per class, each class against the rest, as in the paper's Table 2.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices, in the order of `~astro_iicnet.labels.CLASSES`.
    probabilities : array-like
        (N, 3) probabilities; the class is the one with the highest.

    Returns
    -------
    `~astropy.table.Table`
        One row per class: ``class``, ``n`` (true members), ``precision``, ``recall``,
        ``specificity``, ``f1``, ``accuracy`` (one against the rest) and ``auc``, as fractions;
        NaN where a metric has no meaning. ``meta`` has for the whole ``n``, ``accuracy``, its 95 %
        interval ``accuracy_low`` and ``accuracy_high``, ``calibration_error`` and
        ``confusion_matrix``.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or labels or probabilities are not such.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Table 2. Its F1 of galaxy and star (94.3, 94.5) follow from
    the rounded precision and recall; from its confusion matrix (Fig. 18) they are 94.2 and 94.6.
    """
    labels, probabilities = _check(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    classes = np.arange(len(CLASSES))
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=np.nan
    )
    matrix = confusion_matrix(labels, predicted)
    total = matrix.sum()
    false_positive = matrix.sum(axis=1) - matrix.diagonal()
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    with np.errstate(invalid="ignore"):
        specificity = 1 - false_positive / (total - matrix.sum(axis=0))
    right = int(matrix.trace())
    low, high = wilson_interval(right, int(total))
    columns = {
        "class": list(CLASSES),
        "n": n,
        "precision": precision,
        "recall": recall,
        "specificity": specificity,
        "f1": f1,
        "accuracy": 1 - wrong / total,
        "auc": [_auc(labels == index, probabilities[:, index]) for index in classes],
    }
    meta = {
        "n": int(total),
        "accuracy": right / int(total),
        "accuracy_low": low,
        "accuracy_high": high,
        "calibration_error": expected_calibration_error(labels, probabilities),
        "confusion_matrix": matrix.tolist(),
    }
    return Table(columns, meta=meta)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike) -> np.ndarray:
    """Count true and predicted classes in the paper's layout: row predicted, column true.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    predicted : array-like
        (N,) predicted label indices.

    Returns
    -------
    numpy.ndarray
        (3, 3) int64, in the order of `~astro_iicnet.labels.CLASSES`.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 18; scikit-learn's layout is the transpose.
    """
    return _sklearn_confusion_matrix(labels, predicted, labels=np.arange(len(CLASSES))).T


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, *, n_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over equal-width bins of confidence.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities; the confidence is the highest of a row.
    n_bins : int, default 15
        Number of bins between 0 and 1; a bin holds its upper edge.

    Returns
    -------
    float
        The error, weighted by the number of rows in each bin; 0 is perfect.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or labels or probabilities are not such.

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, Eq. 3.
    """
    labels, probabilities = _check(labels, probabilities)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(labels))


def bootstrap_intervals(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Table:
    """Intervals for the metrics of `classification_metrics`, by bootstrap over the sources.

    All these metrics follow from the nine counts of the confusion matrix, so that resampling the
    sources is drawing the counts from a multinomial distribution.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities.
    n_resamples : int, default 2000
        Number of resamples.
    level : float, default 0.95
        Share of the resamples within the interval.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    `~astropy.table.Table`
        One row per class: ``class``, and ``<metric>_low`` and ``<metric>_high`` for precision,
        recall, specificity, f1 and accuracy; NaN where a class is absent. ``meta`` has
        ``accuracy_low`` and ``accuracy_high`` of the whole.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or labels or probabilities are not such.

    References
    ----------
    Efron 1979, Ann. Stat. 7, 1 (percentile intervals).
    """
    labels, probabilities = _check(labels, probabilities)
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1))
    n = len(labels)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, matrix.ravel() / n, size=n_resamples).reshape(-1, *matrix.shape)
    diagonal = np.diagonal(drawn, axis1=1, axis2=2)
    predicted, true = drawn.sum(axis=2), drawn.sum(axis=1)
    with np.errstate(invalid="ignore"):
        metrics = {
            "precision": diagonal / predicted,
            "recall": diagonal / true,
            "specificity": 1 - (predicted - diagonal) / (n - true),
            "f1": 2 * diagonal / (predicted + true),
            "accuracy": 1 - (predicted + true - 2 * diagonal) / n,
        }
    tails = [(1 - level) / 2, (1 + level) / 2]
    table = Table({"class": list(CLASSES)})
    for name, values in metrics.items():
        table[f"{name}_low"], table[f"{name}_high"] = np.quantile(values, tails, axis=0)
    low, high = np.quantile(diagonal.sum(axis=1) / n, tails)
    table.meta = {"accuracy_low": float(low), "accuracy_high": float(high), "level": level}
    return table


class Difference(NamedTuple):
    """Difference of two accuracies on the same sources, with an interval."""

    value: float
    low: float
    high: float


def paired_bootstrap(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Accuracy of one classification less that of another, on the same sources.

    Most sources are easy, or hard, for both; only those that one gets right and the other does not
    count, so that differences show that would be lost in the intervals of the two accuracies.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    first, second : array-like
        (N, 3) probabilities; row i of both is source i.
    n_resamples : int, default 10000
        Number of resamples of the sources.
    level : float, default 0.95
        Share of the resamples within the interval.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    Difference
        First less second, and its interval: a difference is real where that excludes 0.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or labels or probabilities are not such.

    References
    ----------
    Efron 1979, Ann. Stat. 7, 1 (percentile intervals).
    """
    truth, first = _check(labels, first)
    _, second = _check(labels, second)
    gain = (first.argmax(axis=1) == truth).astype(int) - (second.argmax(axis=1) == truth)
    n = len(gain)
    counts = np.bincount(gain + 1, minlength=3)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=n_resamples)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / n, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(gain.mean()), float(low), float(high))


def accuracy_by_magnitude(
    labels: ArrayLike, probabilities: ArrayLike, magnitudes: ArrayLike, edges: ArrayLike
) -> Table:
    """Accuracy in bins of magnitude, of all and of each class.

    Where classes differ in brightness, brightness alone tells them apart a little. Two numbers are
    free of that: ``balanced_accuracy`` in a bin, and ``meta["matched_accuracy"]``, the accuracy
    that is expected when every bin is thinned until all classes have as many members in it as the
    rarest.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities.
    magnitudes : array-like
        (N,) [mag]; rows with NaN, masked or outside the edges are left out.
    edges : array-like
        (M + 1,) [mag] rising edges; a bin holds its lower edge.

    Returns
    -------
    `~astropy.table.Table`
        M rows: ``low`` and ``high`` [mag], ``n``, ``accuracy``, its 95 % interval ``accuracy_low``
        and ``accuracy_high``, for each class ``n_<class>`` and ``recall_<class>``, and
        ``balanced_accuracy`` (mean of the recalls); NaN where a class has no members.

    Raises
    ------
    IICnetError
        If the shapes do not fit or the edges do not rise.
    """
    labels, probabilities = _check(labels, probabilities)
    magnitudes = np.ma.filled(np.ma.asarray(magnitudes, dtype=np.float64), np.nan)
    edges = np.asarray(edges, dtype=np.float64)
    if magnitudes.shape != labels.shape:
        raise IICnetError(f"{magnitudes.shape} magnitudes for {len(labels)} labels: expected one for each.")
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise IICnetError(f"Bin edges {edges.tolist()}: expected at least two, rising.")
    right = probabilities.argmax(axis=1) == labels
    rows = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (magnitudes >= low) & (magnitudes < high)
        rows.append({"low": low, "high": high, **_bin_row(labels[inside], right[inside])})
    table = Table(rows=rows)
    smallest = np.min([table[f"n_{name}"] for name in CLASSES], axis=0)
    balanced = np.where(smallest > 0, table["balanced_accuracy"], 0.0)
    table.meta["matched_accuracy"] = (
        float((smallest * balanced).sum() / smallest.sum()) if smallest.any() else math.nan
    )
    table.meta["matched_n"] = int(3 * smallest.sum())
    return table


def _bin_row(labels: np.ndarray, right: np.ndarray) -> dict[str, float]:
    n = len(labels)
    low, high = wilson_interval(int(right.sum()), n) if n else (math.nan, math.nan)
    row: dict[str, float] = {
        "n": n,
        "accuracy": float(right.mean()) if n else math.nan,
        "accuracy_low": low,
        "accuracy_high": high,
    }
    recalls = []
    for index, name in enumerate(CLASSES):
        members = right[labels == index]
        recalls.append(float(members.mean()) if len(members) else math.nan)
        row |= {f"n_{name}": len(members), f"recall_{name}": recalls[-1]}
    return row | {"balanced_accuracy": float(np.mean(recalls))}


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a fraction; sensible at 0 and 1 too.

    Parameters
    ----------
    successes : int
        Number of successes.
    n : int
        Number of trials, at least 1.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    low, high : float
        The interval.

    References
    ----------
    Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    fraction = successes / n
    middle = (fraction + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(fraction * (1 - fraction) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _auc(members: np.ndarray, scores: np.ndarray) -> float:
    return float(roc_auc_score(members, scores)) if members.any() and not members.all() else math.nan


def _check(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if labels.ndim != 1 or not len(labels) or probabilities.shape != (len(labels), len(CLASSES)):
        raise IICnetError(
            f"Labels {labels.shape} and probabilities {probabilities.shape}: expected (N,) and "
            f"(N, {len(CLASSES)}), N at least 1."
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise IICnetError(f"Labels must be whole numbers from 0 to {len(CLASSES) - 1}: {', '.join(CLASSES)}.")
    if not (np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)):
        raise IICnetError("Probabilities must be finite with row sums of 1: leave out rows without a class.")
    return labels, probabilities
