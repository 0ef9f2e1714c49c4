"""Figures of what a sample is: its place on the sky, colours, S/N and probabilities."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from astro_iicnet.analysis.plots.style import (
    BAND_COLOURS,
    CLASS_COLOURS,
    CLASS_MARKERS,
    UNKNOWN,
    add_legend,
    class_indices,
    filled,
    get_axes,
)
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES

Cuts = Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]

_WIDE = 60.0  # deg: a sample that reaches further is drawn on the whole sky
_CROWD = 5000  # points: beyond, they are dots of a bitmap


def plot_colour_plane(
    w1_w2: ArrayLike,
    w2_w3: ArrayLike,
    classes: ArrayLike,
    *,
    limits: ArrayLike | None = None,
    marked: ArrayLike | None = None,
    cuts: Cuts | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw W1-W2 against W2-W3, each class in its colour.

    Parameters
    ----------
    w1_w2, w2_w3 : array-like
        (N,) colours [mag, Vega]; rows with NaN are left out.
    classes : array-like
        (N,) names of `~astro_iicnet.labels.CLASSES` or label indices; masked, empty or negative where
        unknown.
    limits : array-like, optional
        (N,) bool: colours of which a magnitude is an upper limit; they are drawn faint. Default: none.
    marked : array-like, optional
        (N,) bool: which are ringed, as the outliers of the paper's Fig. 20. Default: none.
    cuts : mapping of str to callable, optional
        Name -> function of the two colours that tells which points a cut selects, as in
        ``{"Stern 2012": lambda w1_w2, w2_w3: w1_w2 >= 0.8}``; their borders are drawn. Default: none.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If the lengths differ or there is no such class.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Figs. 6 and 20.
    """
    y, x = filled(w1_w2), filled(w2_w3)
    indices = class_indices(classes)
    faint = np.zeros(len(x), dtype=bool) if limits is None else np.asarray(limits, dtype=bool)
    rings = np.zeros(len(x), dtype=bool) if marked is None else np.asarray(marked, dtype=bool)
    _check_lengths({"w1_w2": y, "w2_w3": x, "classes": indices, "limits": faint, "marked": rings})
    ax = get_axes(ax)
    finite = np.isfinite(x) & np.isfinite(y)
    _plot_classes(x, y, np.where(finite, indices, -2), ax, faint)
    rings = np.flatnonzero(rings & finite)
    if len(rings):
        options: dict[str, Any] = {"s": 70, "facecolors": "none", "edgecolors": "black", "zorder": 3}
        ax.scatter(x[rings], y[rings], label=f"marked ({len(rings)})", **options)
    if finite.any():
        # A few wild colours of faint sources would squeeze all the others.
        low, high = np.quantile([x[finite], y[finite]], [0.005, 0.995], axis=1)
        # Above, there is room for the legend.
        top = high[1] + 0.3 + 0.3 * (high[1] - low[1])
        ax.set(xlim=(low[0] - 0.3, high[0] + 0.3), ylim=(low[1] - 0.3, top))
    for style, (name, selects) in zip(("-", "--", ":", "-."), (cuts or {}).items(), strict=False):
        _plot_border(selects, style, name, ax)
    ax.set(xlabel="W2 $-$ W3 [mag, Vega]", ylabel="W1 $-$ W2 [mag, Vega]")
    add_legend(ax, loc="upper left", ncols=2)
    return ax


def plot_snr(
    snr: ArrayLike,
    bands: Sequence[str],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of the signal-to-noise ratio in each band.

    Parameters
    ----------
    snr : array-like
        (N, B) S/N, as `~astro_iicnet.photometry.measurement.measure` gives it; values below 0.1, negative
        ones among them, count in the first bin, NaN is left out.
    bands : sequence of str
        B band names.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If there is not one column for each band.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Fig. 2.
    """
    snr = np.asarray(snr, dtype=np.float64)
    if snr.ndim != 2 or snr.shape[1] != len(bands):
        raise IICnetError(f"S/N of shape {snr.shape}: expected (N, {len(bands)}) for {', '.join(bands)}.")
    ax = get_axes(ax)
    edges = np.logspace(-1, 2.5, 36)
    for column, (band, style) in enumerate(zip(bands, ("-", "--", "-.", ":"), strict=False)):
        values = snr[np.isfinite(snr[:, column]), column]
        clipped = np.clip(values, edges[0], edges[-1])
        share = np.full(len(values), 1 / max(1, len(values)))
        options: dict[str, Any] = {
            "color": BAND_COLOURS.get(band, UNKNOWN),
            "linestyle": style,
            "linewidth": 1.6,
        }
        ax.hist(clipped, bins=edges.tolist(), weights=share, histtype="step", label=band, **options)
    ax.set(xscale="log", xlabel="S/N", ylabel="share of the sources")
    add_legend(ax)
    return ax


def plot_probabilities(probabilities: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw the distribution of the highest probability of each source, class by class.

    Parameters
    ----------
    probabilities : array-like
        (N, 3) probabilities; masked or NaN rows are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes.

    Returns
    -------
    matplotlib.axes.Axes
        The axes: bars of the three classes on top of each other.

    Raises
    ------
    IICnetError
        If the shape is another.
    """
    values = filled(probabilities)
    if values.ndim != 2 or values.shape[1] != len(CLASSES):
        raise IICnetError(f"Probabilities of shape {values.shape}: expected (N, {len(CLASSES)}).")
    ax = get_axes(ax)
    values = values[np.isfinite(values).all(axis=1)]
    highest, found = values.max(axis=1, initial=0), np.argmax(values, axis=1)
    parts = [highest[found == index] for index in range(len(CLASSES))]
    colours = [CLASS_COLOURS[name] for name in CLASSES]
    # 14 bins from 0.3 to 1: no bin straddles 0.6, where a class counts as uncertain.
    ax.hist(parts, bins=np.linspace(0.3, 1, 15).tolist(), stacked=True, color=colours, label=CLASSES)
    ax.axvline(0.6, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel="probability of the class", ylabel="sources", xlim=(0.3, 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(ax, loc="upper left")
    return ax


def plot_sky(coords: SkyCoord, classes: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw where the sources of each class are on the sky, east to the left.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions; those with NaN are left out.
    classes : array-like
        (N,) names of `~astro_iicnet.labels.CLASSES` or label indices; masked, empty or negative where
        unknown.
    ax : matplotlib.axes.Axes, optional
        Where to draw: plain axes, or axes with ``projection="mollweide"`` for the whole sky. Default:
        the current axes of pyplot, where the current figure has none new ones, on the whole sky if the
        sources reach further than 60 deg.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    IICnetError
        If the lengths differ or there is no such class.
    """
    indices = class_indices(classes)
    ra, dec = np.atleast_1d(coords.icrs.ra.deg), np.atleast_1d(coords.icrs.dec.deg)
    _check_lengths({"coords": ra, "classes": indices})
    usable = np.isfinite(ra) & np.isfinite(dec)
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.gcf()
        wide = bool(usable.any()) and is_wide(coords)
        ax = figure.gca() if figure.axes else figure.add_subplot(projection="mollweide" if wide else None)
    if ax.name == "mollweide":
        return _plot_whole_sky(ra, dec, np.where(usable, indices, -2), ax)
    middle = _middle(ra[usable])
    # Right ascensions on both sides of 0 h belong together.
    x = middle + (ra - middle + 180) % 360 - 180
    _plot_classes(x, dec, np.where(usable, indices, -2), ax)
    if usable.any():
        ax.set_aspect(1 / max(0.02, np.cos(np.radians(np.median(dec[usable])))), adjustable="datalim")
    ax.xaxis.set_inverted(True)
    ax.ticklabel_format(useOffset=False)
    ax.set(xlabel="right ascension [deg]", ylabel="declination [deg]")
    add_legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)
    return ax


def is_wide(coords: SkyCoord) -> bool:
    """Whether positions spread so far that only a map of the whole sky shows them well.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions; those with NaN do not count.

    Returns
    -------
    bool
        True if one is more than 30 deg from the mean direction of all, or they have none.
    """
    vectors = np.atleast_2d(coords.icrs.cartesian.xyz.value.T)
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    if not len(vectors):
        return False
    mean = vectors.mean(axis=0)
    length = np.linalg.norm(mean)
    return bool(length < 0.1 or ((vectors @ mean) / length < np.cos(np.radians(_WIDE / 2))).any())


def _plot_whole_sky(ra: np.ndarray, dec: np.ndarray, indices: np.ndarray, ax: Axes) -> Axes:
    """On a Mollweide map centred on 180 deg, east to the left."""
    x = np.radians(180 - ra % 360)
    _plot_classes(x, np.radians(dec), indices, ax)
    ax.set_xticks(np.radians([-120, -60, 0, 60, 120]), ["300°", "240°", "180°", "120°", "60°"])
    ax.set_yticks(np.radians([-60, -30, 0, 30, 60]))
    ax.tick_params(labelsize="small")
    ax.grid(color="0.85", linewidth=0.5)
    add_legend(ax, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, frameon=False)
    return ax


def _middle(ra: np.ndarray) -> float:
    """Mean right ascension [deg], on the circle."""
    if not len(ra):
        return 0.0
    angles = np.radians(ra)
    return float(np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)


def _plot_classes(
    x: np.ndarray, y: np.ndarray, indices: np.ndarray, ax: Axes, faint: np.ndarray | None = None
) -> None:
    """Points by class, in an order that buries none; index -1 is unknown, -2 not drawn."""
    n = int((indices > -2).sum())
    crowd = n > _CROWD
    size = float(np.clip(6000 / max(n, 1), 6, 30))
    faint = np.zeros(len(x), dtype=bool) if faint is None else faint
    order = np.random.default_rng(0).permutation(len(x))
    for index, name in [(-1, "no class"), *enumerate(CLASSES)]:
        rows = order[indices[order] == index]
        if not len(rows):
            continue
        colour, marker = CLASS_COLOURS.get(name, UNKNOWN), CLASS_MARKERS.get(name, "x")
        options: dict[str, Any] = {"s": size, "marker": marker, "linewidths": 0.8 if marker == "x" else 0.0}
        for part, alpha in ((rows[~faint[rows]], 0.8), (rows[faint[rows]], 0.35)):
            ax.scatter(x[part], y[part], color=colour, alpha=alpha, rasterized=crowd, **options)
        ax.scatter([], [], s=24, color=colour, marker=marker, label=f"{name} ({len(rows)})")


def _plot_border(selects: Callable, style: str, name: str, ax: Axes) -> None:
    """Where a cut of the colours begins, within the view."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x, y = np.meshgrid(np.linspace(left, right, 600), np.linspace(bottom, top, 600))
    inside = np.asarray(selects(y, x), dtype=float)
    ax.contour(x, y, inside, levels=[0.5], colors="black", linestyles=style, linewidths=1)
    ax.plot([], [], style, color="black", linewidth=1, label=name)


def _check_lengths(arrays: dict[str, np.ndarray]) -> None:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise IICnetError(f"Lengths differ ({found}): expected one row for each source.")
