"""One colour and one mark for each class, in every figure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.labels import CLASSES

CLASS_COLOURS: dict[str, str] = {"galaxy": "#BB5566", "quasar": "#004488", "star": "#DDAA33"}
"""Colour of each class: the "high-contrast" set of Paul Tol, apart for colour-blind readers and in grey too.

References
----------
P. Tol, "Colour Schemes", SRON/EPS/TN/09-002, issue 3.2, 2021.
"""

CLASS_MARKERS: dict[str, str] = {"galaxy": "o", "quasar": "s", "star": "^"}
"""Mark of each class where sources are points."""

BAND_COLOURS: dict[str, str] = {"W1": "#0077BB", "W2": "#33BBEE", "W3": "#EE7733", "W4": "#CC3311"}
"""Colour of each band, from Tol's "vibrant" set."""

UNKNOWN = "#8A8A8A"
"""Colour of what has no class."""


def get_axes(ax: Axes | None) -> Axes:
    """The axes to draw on.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        What the caller was given.

    Returns
    -------
    matplotlib.axes.Axes
        The same, or the current ones of pyplot.
    """
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def class_indices(classes: ArrayLike) -> np.ndarray:
    """Label indices from names or label indices.

    Parameters
    ----------
    classes : array-like
        (N,) names of `~astro_iicnet.labels.CLASSES`, or label indices; masked, empty or negative where
        there is no class.

    Returns
    -------
    numpy.ndarray
        (N,) int, -1 where there is no class.

    Raises
    ------
    IICnetError
        If one is neither.
    """
    masked: np.ma.MaskedArray = np.ma.asarray(classes)
    unknown = np.ma.getmaskarray(masked)
    values = np.ma.getdata(masked)
    if values.dtype.kind in "iu":
        if values.size and values[~unknown].max(initial=-1) >= len(CLASSES):
            largest = values[~unknown].max()
            raise IICnetError(f"Label {largest}: expected whole numbers below {len(CLASSES)}.")
        return np.where(unknown | (values < 0), -1, values).astype(int)
    names = np.char.strip(np.where(unknown, "", values.astype(str)))
    wrong = ~np.isin(names, [*CLASSES, ""])
    if wrong.any():
        raise IICnetError(unknown_name("class", str(names[wrong][0]), CLASSES))
    indices = np.full(names.shape, -1)
    for index, name in enumerate(CLASSES):
        indices[names == name] = index
    return indices


def filled(values: ArrayLike) -> np.ndarray:
    """Numbers with NaN where they are masked.

    Parameters
    ----------
    values : array-like
        Any shape.

    Returns
    -------
    numpy.ndarray
        float64 of that shape.
    """
    numbers: np.ma.MaskedArray = np.ma.asarray(values, dtype=np.float64)
    return np.ma.filled(numbers, np.nan)


def add_legend(ax: Axes, **options: Any) -> None:
    """Add a legend if there is anything to explain.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with what is drawn.
    **options
        As `matplotlib.axes.Axes.legend` takes them.
    """
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**options)
