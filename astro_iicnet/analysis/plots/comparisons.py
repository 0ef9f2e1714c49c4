"""Figures of several networks beside each other, and what writes figures to a file."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from astro_iicnet.analysis.plots.style import add_legend, filled, get_axes
from astro_iicnet.exceptions import IICnetError

_PAPER = "#CC3311"
_INTERVAL = "this run,\n95 % interval"
_N_COLOURS = 256
_RC = {"font.size": 9, "font.family": "DejaVu Sans"}


def plot_accuracies(
    names: Sequence[str],
    accuracy: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    paper: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the accuracies of several networks with their intervals, the first on top.

    Parameters
    ----------
    names : sequence of str
        N names.
    accuracy : array-like
        (N,) fractions; those that are masked or NaN have a name and no point.
    low, high : array-like
        (N,) ends of the intervals.
    paper : array-like, optional
        (N,) what the paper has, masked or NaN where it has nothing. Default: nothing.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If the lengths differ.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Figs. 8, 15 and 17.
    """
    known, error, reference = _intervals(len(names), accuracy, low, high, paper)
    ax = get_axes(ax)
    place = np.arange(len(names))
    ax.errorbar(known, place, xerr=error, fmt="o", color="black", capsize=3, label=_INTERVAL)
    if np.isfinite(reference).any():
        ax.plot(reference, place, "D", color=_PAPER, fillstyle="none", label="paper")
    ax.set(yticks=place, yticklabels=names, ylim=(len(names) - 0.5, -0.5), xlabel="accuracy")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    add_legend(ax, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def plot_accuracy_by_size(
    sizes: ArrayLike,
    accuracy: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    paper: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy against the input size of a network.

    Parameters
    ----------
    sizes : array-like
        (N,) input sizes [px].
    accuracy : array-like
        (N,) fractions, masked or NaN where unknown.
    low, high : array-like
        (N,) ends of the intervals.
    paper : array-like, optional
        (N,) what the paper has, masked or NaN where it has nothing. Default: nothing.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If the lengths differ.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 12.
    """
    place = np.asarray(sizes)
    known, error, reference = _intervals(len(place), accuracy, low, high, paper)
    ax = get_axes(ax)
    ax.errorbar(place, known, yerr=error, fmt="o-", color="black", capsize=3, label=_INTERVAL)
    if np.isfinite(reference).any():
        ax.plot(place, reference, "D", color=_PAPER, fillstyle="none", label="paper")
    ax.set(xticks=place, xlabel="input size [px]", ylabel="accuracy")
    add_legend(ax)
    return ax


def save_panels(
    path: Path,
    panels: Mapping[str, Callable[..., Axes]],
    *,
    size: tuple[float, float] = (4.4, 3.6),
    n_columns: int = 2,
) -> Path:
    """Write a PNG file with one or several figures.

    Parameters
    ----------
    path : pathlib.Path
        The file; an older one is replaced, when the new one is whole.
    panels : mapping of str to callable
        Title -> function that takes ``ax=``, as those of `astro_iicnet.analysis.plots` do.
    size : tuple of float, default (4.4, 3.6)
        Width and height of each [inch].
    n_columns : int, default 2
        Figures in a row.

    Returns
    -------
    pathlib.Path
        The file.
    """
    n_columns = min(n_columns, len(panels))
    n_rows = -(-len(panels) // n_columns)
    temporary = path.with_name(f".{path.name}.part")
    # The user's own style may be dark, or need LaTeX.
    with style.context(["default", _RC]):
        figure = Figure(figsize=(n_columns * size[0], n_rows * size[1]), layout="constrained")
        for place, (title, plot) in enumerate(panels.items(), start=1):
            ax = plot(ax=figure.add_subplot(n_rows, n_columns, place))
            ax.set_title(title, fontsize="medium")
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100)
    # A palette makes pictures of noisy sky a third as large.
    picture = Image.open(stream).convert("RGB").quantize(_N_COLOURS, kmeans=1)
    picture.save(temporary, format="png", optimize=True)
    temporary.replace(path)
    return path


def _intervals(
    n: int, accuracy: ArrayLike, low: ArrayLike, high: ArrayLike, paper: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracies (N,), lengths of their bars (2, N), and the paper's (N,), NaN where unknown."""
    values = [filled(one) for one in (accuracy, low, high, np.full(n, np.nan) if paper is None else paper)]
    if any(one.shape != (n,) for one in values):
        shapes = ", ".join(str(one.shape) for one in values)
        raise IICnetError(f"Accuracies, intervals and the paper's of shapes {shapes}: expected ({n},) each.")
    known, below, above, reference = values
    # Rounding may leave an end of the interval on the wrong side at 0 and 1.
    return known, np.clip([known - below, above - known], 0, None), reference
