"""The figures of a run, each beside the paper's number where it has one."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.table import Table

from astro_iicnet.analysis.features import feature_maps
from astro_iicnet.analysis.groups import EMPTY_CENTRE, find_outliers, group_misclassified
from astro_iicnet.analysis.plots import (
    compose_rgb,
    plot_accuracy_by_magnitude,
    plot_accuracy_by_snr,
    plot_colour_plane,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_maps,
    plot_montage,
    plot_reliability,
    plot_rgb_histogram,
    plot_roc,
    plot_snr,
)
from astro_iicnet.analysis.plots.comparisons import plot_accuracies, plot_accuracy_by_size, save_panels
from astro_iicnet.analysis.report import CUTS
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.experiments import paper
from astro_iicnet.experiments.networks import load_network, probabilities_of
from astro_iicnet.experiments.plans import IICNET
from astro_iicnet.experiments.run import BANDS, Run
from astro_iicnet.labels import CLASSES
from astro_iicnet.photometry.measurement import Photometry, colours, measure
from astro_iicnet.results import LOW_CONFIDENCE
from astro_iicnet.weights import Weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels = Mapping[str, Callable[..., Any]]

_SHOWN = 6  # pictures of a group
_WIDE = (5.8, 1.5)  # inch, a row of such pictures
_CURVES = "os^DvPX"
# Tol's "bright" set: apart for colour-blind readers.
_CURVE_COLOURS = ("black", "#EE6677", "#228833", "#4477AA", "#CCBB44", "#66CCEE", "#AA3377")


class _Tested(NamedTuple):
    """The test set as IICnet saw it."""

    cutouts: Cutouts
    labels: np.ndarray
    probabilities: np.ndarray
    photometry: Photometry

    @property
    def right(self) -> np.ndarray:
        """(N,) bool: of the class that was found."""
        return self.probabilities.argmax(axis=1) == self.labels

    @property
    def plane(self) -> np.ndarray:
        """(N, 2) W1-W2 and W2-W3 [mag, Vega], measured from the pixels."""
        return colours(self.photometry).value[:, :2]

    @property
    def limits(self) -> np.ndarray:
        """(N,) bool: one of these magnitudes is an upper limit."""
        return np.asarray(self.photometry.upper_limit[:, :3].any(axis=1))


def draw_figures(run: Run, tables: Mapping[str, Table]) -> list[Path]:
    """Draw what a run has data for, as PNG files.

    Parameters
    ----------
    run : Run
        Its folder gets a folder ``figures``. Figures of the sample are of its test set; they are drawn
        if IICnet is trained.
    tables : mapping of str to `~astropy.table.Table`
        Tables of the experiments by name; those without a figure are passed over.

    Returns
    -------
    list of pathlib.Path
        The files, those of tables first.
    """
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    written = []
    for name, table in tables.items():
        written += _draw_table(folder, name, table)
    predictions = run.folder / "networks" / IICNET.name / "test.ecsv"
    if predictions.exists():
        cutouts, _ = run.part(run.split.test, BANDS)
        probabilities = probabilities_of(Table.read(predictions))
        tested = _Tested(cutouts, run.labels[run.split.test], probabilities, measure(cutouts))
        written += _draw_performance(folder, tested)
        written += _draw_sample(folder, tested)
        # Kept probabilities of a run on another machine come without the network.
        if (predictions.parent / "weights.safetensors").exists():
            written += _draw_examples(folder, tested, load_network(run, IICNET.name))
        written += _draw_wrong(folder, tested)
        written += _draw_outliers(folder, tested)
    return written


def _save(folder: Path, name: str, panels: Panels, **options: Any) -> list[Path]:
    return [save_panels(folder / f"{name}.png", panels, **options)] if panels else []


def _draw_table(folder: Path, name: str, table: Table) -> list[Path]:
    """What a table of the experiments shows, if anything."""
    if name == "confusion_matrix":
        return _draw_confusion(folder, table)
    if name == "learning_curves":
        return _draw_curves(folder, table)
    if not {"network", "accuracy_low"} <= set(table.colnames):
        return []
    numbers = [table[key] for key in ("accuracy", "accuracy_low", "accuracy_high")]
    papers = table["paper_accuracy"] if "paper_accuracy" in table.colnames else None
    if name == "input_size":
        title = "IICnet, accuracy against input size (paper: Fig. 12)"
        panel = partial(plot_accuracy_by_size, table["size"], *numbers, paper=papers)
        return _save(folder, name, {title: panel}, size=(5.4, 3.8))
    panel = partial(plot_accuracies, list(table["network"]), *numbers, paper=papers)
    title = f"Accuracy{_FIGURES.get(name, '')}"
    return _save(folder, name, {title: panel}, size=(6, 1.3 + 0.27 * len(table)))


_FIGURES = {
    "networks": " (paper: Fig. 15a)",
    "first_kernel": ", first kernel 5x5 and 3x3 (paper: Fig. 8)",
    "recipes": ", calibrated flux and the paper's 8 bits",
    "bands": ", W1 to W3 and W1 to W4 (paper: Fig. 15b)",
    "photometry": ", images and magnitudes (paper: Figs. 16 and 17)",
}


def _draw_confusion(folder: Path, table: Table) -> list[Path]:
    panels: dict[str, Callable[..., Any]] = {}
    for who, prefix in (("This run", ""), ("Paper, Fig. 18", "paper_")):
        matrix = np.stack([table[f"{prefix}{name}"] for name in CLASSES], axis=1)
        right = 100 * np.trace(matrix) / matrix.sum()
        title = f"{who}: {right:.1f} % of {matrix.sum():,} right"
        panels[title] = partial(plot_confusion_matrix, matrix)
    return _save(folder, "confusion_matrix", panels, size=(3.8, 3.6))


def _draw_curves(folder: Path, table: Table) -> list[Path]:
    mine = table[table["network"] == IICNET.name]
    own: Panels = {
        f"IICnet, {quantity} (paper: Fig. 13)": partial(plot_learning_curves, mine, quantity=quantity)
        for quantity in ("accuracy", "loss")
    }
    every: Panels = {
        title: partial(_plot_all_curves, table, quantity)
        for title, quantity in (
            (f"Validation accuracy (paper, Fig. 15a: IICnet {paper.ACCURACY}, dotted)", "accuracy"),
            ("Validation loss", "loss"),
        )
    }
    return [*_save(folder, "training", own), *_save(folder, "learning_curves", every, size=(4.9, 3.6))]


def _plot_all_curves(table: Table, quantity: str, *, ax: "Axes") -> "Axes":
    """One curve per network."""
    names = list(dict.fromkeys(table["network"]))
    for name in names:
        plot_learning_curves(table[table["network"] == name], quantity=quantity, label=name, ax=ax)
    for line, colour, mark in zip(ax.lines, _CURVE_COLOURS, _CURVES, strict=False):
        line.set(color=colour, marker=mark, markersize=4)
    legend = ax.get_legend()
    if quantity == "accuracy" and legend is not None:
        ax.axhline(paper.ACCURACY, color="0.5", linestyle=":")
        legend.remove()
    else:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return ax


def _draw_performance(folder: Path, tested: _Tested) -> list[Path]:
    judged = tested.labels, tested.probabilities
    roc = {"IICnet (paper, Fig. 14: area above 0.99 for each)": partial(plot_roc, *judged)}
    reliable = {"IICnet, reliability": partial(plot_reliability, *judged)}
    bright: dict[str, Callable[..., Any]] = {}
    for title, plot, values in (
        ("IICnet, against magnitude", plot_accuracy_by_magnitude, tested.photometry.mag[:, 0]),
        ("IICnet, against signal-to-noise ratio", plot_accuracy_by_snr, tested.photometry.snr[:, 0]),
    ):
        if np.isfinite(values).any():
            bright[title] = partial(plot, *judged, values, band=tested.photometry.bands[0])
    return [
        *_save(folder, "roc", roc),
        *_save(folder, "reliability", reliable),
        *_save(folder, "brightness", bright),
    ]


def _draw_sample(folder: Path, tested: _Tested) -> list[Path]:
    found, labels = tested.photometry, tested.labels
    ratios = {"Test set (paper: Fig. 2)": partial(plot_snr, found.snr, found.bands)}
    pictures = compose_rgb(tested.cutouts, channels=BANDS[:3])
    values: Panels = {
        f"{name}: W1 red, W2 green, W3 blue": partial(plot_rgb_histogram, pictures[labels == index])
        for index, name in enumerate(CLASSES)
    }
    w1_w2, w2_w3 = tested.plane.T
    plane = partial(plot_colour_plane, w1_w2, w2_w3, labels, limits=tested.limits, cuts=CUTS)
    return [
        *_save(folder, "snr", ratios),
        *_save(folder, "rgb_histograms", values, size=(3.4, 3), n_columns=3),
        *_save(folder, "colour_plane", {"Test set (paper: Fig. 6)": plane}, size=(5.6, 4.6)),
    ]


def _draw_examples(folder: Path, tested: _Tested, weights: Weights) -> list[Path]:
    """Of each class the one of which the network is surest."""
    own = np.where(tested.labels[:, None] == np.arange(len(CLASSES)), tested.probabilities, -1)
    rows = own.argmax(axis=0)
    cutouts, numbers = tested.cutouts[rows], own.max(axis=0)
    titles = [
        f"{name}: {p:.4f} (paper {theirs:.4f})"
        for name, p, theirs in zip(CLASSES, numbers, paper.TABLE_4, strict=True)
    ]
    montage = partial(plot_montage, cutouts, probabilities=tested.probabilities[rows], titles=titles)
    layers, pictures = feature_maps(weights, cutouts), compose_rgb(cutouts)
    maps: Panels = {
        name: partial(plot_maps, {"picture": pictures[k]} | {layer: layers[layer][k] for layer in layers})
        for k, name in enumerate(CLASSES)
    }
    return [
        *_save(
            folder,
            "examples",
            {"Probability of the true class (paper: Fig. 4, Table 4)": montage},
            size=(6.6, 2.8),
        ),
        *_save(folder, "feature_maps", maps, size=(6.4, 1.9), n_columns=1),
    ]


def _draw_wrong(folder: Path, tested: _Tested) -> list[Path]:
    """Groups of the misclassified; above each picture the true class, below the one that was found."""
    table = group_misclassified(tested.cutouts, tested.labels, tested.probabilities)
    panels: dict[str, Callable[..., Any]] = {}
    for (group, words), theirs in zip(_GROUPS.items(), paper.GROUPS, strict=True):
        rows = np.asarray(table["row"][table["group"] == group])
        if len(rows):
            title = f"{words}: {len(rows)} of {len(table)} (paper: {theirs} of {sum(paper.GROUPS)})"
            panels[title] = _montage(tested, rows[:_SHOWN])
    return _save(folder, "misclassified", panels, size=_WIDE, n_columns=1)


_GROUPS = {0: "The darkest", 1: "Between", 2: "The brightest", EMPTY_CENTRE: "No source in the centre"}


def _draw_outliers(folder: Path, tested: _Tested) -> list[Path]:
    """Right, but without confidence."""
    rows = find_outliers(tested.labels, tested.probabilities)
    if not len(rows):
        return []
    counts = f"{len(rows)} of {int(tested.right.sum())} right ones below {LOW_CONFIDENCE}"
    w1_w2, w2_w3 = tested.plane.T
    marked = np.isin(np.arange(len(tested.labels)), rows)
    plane = {
        f"{counts} (paper, Fig. 20: {paper.OUTLIERS})": partial(
            plot_colour_plane, w1_w2, w2_w3, tested.labels, limits=tested.limits, marked=marked
        )
    }
    pictures = {f"{counts}: the least certain (paper: Fig. 21)": _montage(tested, rows[:_SHOWN])}
    return [
        *_save(folder, "outliers", plane, size=(5.6, 4.6)),
        *_save(folder, "outlier_pictures", pictures, size=_WIDE),
    ]


def _montage(tested: _Tested, rows: np.ndarray) -> Callable[..., Any]:
    titles = [CLASSES[label] for label in tested.labels[rows]]
    options = {"probabilities": tested.probabilities[rows], "titles": titles, "n_columns": _SHOWN}
    return partial(plot_montage, tested.cutouts[rows], **options)
