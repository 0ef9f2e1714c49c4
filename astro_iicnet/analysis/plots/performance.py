"""Figures of how good a classification is."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from astro_iicnet.analysis.metrics import accuracy_by_magnitude, expected_calibration_error
from astro_iicnet.analysis.plots.style import CLASS_COLOURS, CLASS_MARKERS, add_legend, filled, get_axes
from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.labels import CLASSES

_QUANTITIES = ("accuracy", "loss")


def plot_confusion_matrix(matrix: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix in the paper's layout: row predicted, column true.

    Parameters
    ----------
    matrix : array-like
        (3, 3) counts, as `~astro_iicnet.analysis.metrics.confusion_matrix` gives them. The shade is the
        share of the true class.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If it is not 3 x 3.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 18.
    """
    counts = np.asarray(matrix)
    size = len(CLASSES)
    if counts.shape != (size, size):
        raise IICnetError(f"The confusion matrix has shape {counts.shape}: expected ({size}, {size}).")
    ax = get_axes(ax)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{100 * share[row, column]:.1f} %"
        colour = "white" if share[row, column] > 0.5 else "black"
        ax.text(column, row, text, ha="center", va="center", color=colour)
    ticks = range(size)
    ax.set(xticks=ticks, yticks=ticks, xticklabels=CLASSES, yticklabels=CLASSES)
    ax.set(xlabel="true class", ylabel="predicted class")
    ax.tick_params(length=0)
    return ax


def plot_roc(labels: ArrayLike, probabilities: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the ROC curve of each class against the rest, with the area under it.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes. A class that is absent, or alone, has no curve.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 14.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    ax = get_axes(ax)
    for index, (name, style) in enumerate(zip(CLASSES, ("-", "--", "-."), strict=True)):
        members = labels == index
        if members.any() and not members.all():
            false_positive, true_positive, _ = roc_curve(members, probabilities[:, index])
            area = roc_auc_score(members, probabilities[:, index])
            label = f"{name}, AUC {area:.3f}"
            ax.plot(false_positive, true_positive, style, color=CLASS_COLOURS[name], label=label)
    ax.plot([0, 1], [0, 1], ":", color="0.6", zorder=0)
    ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
    add_legend(ax, loc="lower right")
    return ax


def plot_reliability(
    labels: ArrayLike, probabilities: ArrayLike, *, n_bins: int = 15, ax: Axes | None = None
) -> Axes:
    """Draw how often the network is right against how sure it is.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities; the confidence is the highest of a row.
    n_bins : int, default 15
        Number of bins of equal width between 0 and 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with the expected calibration error in the legend.

    References
    ----------
    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, Fig. 1.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    ax = get_axes(ax)
    confidence = np.clip(probabilities.max(axis=1), 0, 1)
    right = probabilities.argmax(axis=1) == labels
    accuracy, mean_confidence = calibration_curve(right, confidence, n_bins=n_bins)
    error = expected_calibration_error(labels, probabilities, n_bins=n_bins)
    ax.plot([0, 1], [0, 1], ":", color="0.6", zorder=0)
    ax.plot(mean_confidence, accuracy, "o-", color="black", label=f"calibration error {error:.4f}")
    share = np.full(len(confidence), 1 / max(1, len(confidence)))
    bins = np.linspace(0, 1, n_bins + 1).tolist()
    ax.hist(confidence, bins=bins, weights=share, color="0.85", zorder=-1, label="share of the sources")
    ax.set(xlabel="confidence", ylabel="accuracy", xlim=(1 / len(CLASSES) - 0.03, 1), ylim=(0, 1.01))
    add_legend(ax, loc="upper left")
    return ax


def plot_accuracy_by_magnitude(
    labels: ArrayLike,
    probabilities: ArrayLike,
    magnitudes: ArrayLike,
    *,
    band: str = "W1",
    edges: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy and the recall of each class against magnitude.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities.
    magnitudes : array-like
        (N,) [mag]; rows with NaN, masked or outside the edges are left out.
    band : str, default "W1"
        For the axis label.
    edges : array-like, optional
        (M + 1,) [mag] rising edges. Default: whole magnitudes that hold 98 % of the rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; the bars of the accuracy are its 95 % interval.

    Raises
    ------
    IICnetError
        If the shapes do not fit or the edges do not rise.
    """
    values = filled(magnitudes)
    if edges is None:
        low, high = _range(values)
        edges = np.arange(np.floor(low), max(np.ceil(high), np.floor(low) + 1) + 1)
    table = accuracy_by_magnitude(labels, probabilities, values, edges)
    ax = _plot_binned(table, (table["low"] + table["high"]) / 2, get_axes(ax))
    ax.set_xlabel(f"{band} [mag, Vega]")
    return ax


def plot_accuracy_by_snr(
    labels: ArrayLike,
    probabilities: ArrayLike,
    snr: ArrayLike,
    *,
    band: str = "W1",
    edges: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy and the recall of each class against signal-to-noise ratio.

    Parameters
    ----------
    labels : array-like
        (N,) true label indices.
    probabilities : array-like
        (N, 3) probabilities.
    snr : array-like
        (N,) S/N; rows with NaN, masked or outside the edges are left out.
    band : str, default "W1"
        For the axis label.
    edges : array-like, optional
        (M + 1,) rising edges, all positive. Default: three a decade that hold 98 % of the rows.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; the bars of the accuracy are its 95 % interval.

    Raises
    ------
    IICnetError
        If the shapes do not fit or the edges do not rise.
    """
    values = filled(snr)
    if edges is None:
        low, high = np.log10(_range(np.where(values > 0, values, np.nan)))
        first = np.floor(3 * low)
        edges = 10 ** (np.arange(first, max(np.ceil(3 * high), first + 1) + 1) / 3)
    table = accuracy_by_magnitude(labels, probabilities, values, edges)
    ax = _plot_binned(table, np.sqrt(table["low"] * table["high"]), get_axes(ax))
    ax.set(xlabel=f"S/N in {band}", xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=20))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def plot_learning_curves(
    history: Table, *, quantity: str = "accuracy", label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a training: loss or accuracy against epoch, of training and validation.

    Parameters
    ----------
    history : `~astropy.table.Table`
        What `~astro_iicnet.training.loop.train` gave, or its file of the ending ``.history.ecsv``.
    quantity : {"accuracy", "loss"}, default "accuracy"
        What to draw.
    label : str, optional
        Name of the network, where several share the axes; then only the validation is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If there is no such quantity, or the table is no history.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 13 (one network) and Fig. 15 (several).
    """
    if quantity not in _QUANTITIES:
        raise IICnetError(unknown_name("quantity", quantity, _QUANTITIES))
    names = [f"validation_{quantity}"] if label else [f"train_{quantity}", f"validation_{quantity}"]
    missing = [name for name in ("epoch", *names) if name not in history.colnames]
    if missing:
        raise IICnetError(
            f"The table has no column {', '.join(missing)}, only {', '.join(history.colnames)}: expected "
            "the history of a training."
        )
    ax = get_axes(ax)
    for name in names:
        style: dict[str, Any] = (
            {} if label else {"color": "black" if name.startswith("validation") else "0.6"}
        )
        ax.plot(history["epoch"], history[name], ".-", label=label or name.split("_")[0], **style)
    ax.set(xlabel="epoch", ylabel=quantity)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(ax)
    return ax


def _range(values: np.ndarray) -> tuple[float, float]:
    """Between which values all but 1 % at each end lie."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise IICnetError("No finite value among the magnitudes or S/N: there is nothing to draw.")
    low, high = np.quantile(finite, [0.01, 0.99])
    return float(low), float(high)


def _plot_binned(table: Table, middle: np.ndarray, ax: Axes) -> Axes:
    """Accuracy with its interval and recalls of the classes, bins as points."""
    full = np.asarray(table["n"]) > 0
    table, middle = table[full], np.asarray(middle)[full]
    accuracy = np.asarray(table["accuracy"])
    below, above = accuracy - table["accuracy_low"], table["accuracy_high"] - accuracy
    # Rounding may leave an end of the interval on the wrong side at 0 and 1.
    error = np.clip([below, above], 0, None)
    ax.errorbar(middle, accuracy, error, fmt="D-", color="black", capsize=2, label="all, accuracy", zorder=3)
    for name in CLASSES:
        recall = np.asarray(table[f"recall_{name}"])
        style: dict[str, Any] = {"color": CLASS_COLOURS[name], "marker": CLASS_MARKERS[name]}
        ax.plot(middle, recall, "--", markersize=4, label=f"{name}, recall", **style)
    ax.set(ylabel="fraction right", ylim=(None, 1.02))
    add_legend(ax)
    return ax
