"""Labelled cutouts and what weights say of them, as one page of HTML."""

from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from astro_iicnet.analysis.groups import EMPTY_CENTRE, find_outliers, group_misclassified
from astro_iicnet.analysis.metrics import classification_metrics
from astro_iicnet.analysis.page import (
    describe,
    draw,
    footer,
    heading,
    make_page,
    make_table,
    paragraph,
    side_by_side,
    tiles,
)
from astro_iicnet.analysis.plots import (
    compose_rgb,
    plot_accuracy_by_magnitude,
    plot_accuracy_by_snr,
    plot_attribution,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_maps,
    plot_probabilities,
    plot_reliability,
    plot_rgb_histogram,
    plot_roc,
    plot_snr,
)
from astro_iicnet.analysis.report import PICTURES, colour_figure, montage
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.colours import Magnitudes, make_magnitudes
from astro_iicnet.labels import CLASSES
from astro_iicnet.photometry.measurement import Photometry, measure
from astro_iicnet.results import LOW_CONFIDENCE

if TYPE_CHECKING:
    from astro_iicnet.weights import Weights

_SHOWN = 12
_PER_GROUP = 6
_PICTURED = 1000  # sources of a class whose pixels are counted
_ROW_SIZE = (5.4, 1.75)  # inch, of maps side by side
_BANDS = ("W1", "W2", "W3")


def evaluation_report(
    cutouts: Cutouts,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    title: str = "Evaluation",
    about: Mapping[str, Any] | None = None,
    weights: "Weights | None" = None,
    history: Table | None = None,
) -> str:
    """Make a page of how good weights are on labelled cutouts.

    Parameters
    ----------
    cutouts : Cutouts
        N sources with at least W1; magnitudes and S/N are measured from their pixels.
    labels : numpy.ndarray
        (N,) true label indices.
    probabilities : numpy.ndarray
        (N, 3); rows with NaN have no class and are counted, not judged.
    title : str, default "Evaluation"
        Heading of the page.
    about : mapping, optional
        Facts about weights and data, plain data, for the end of the page. Default: none.
    weights : Weights, optional
        Those of the probabilities, as `~astro_iicnet.weights.load_weights` gives them: the page then shows
        what their layers make of one example of each class. Default: it does not.
    history : `~astropy.table.Table`, optional
        Their training, see `~astro_iicnet.analysis.plots.performance.plot_learning_curves`. Default: no
        learning curves.

    Returns
    -------
    str
        HTML, with all figures inside.

    Raises
    ------
    IICnetError
        If the shapes do not fit, no source has a class, or the history is none.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if labels.shape != (len(cutouts),) or probabilities.shape != (len(cutouts), len(CLASSES)):
        raise IICnetError(
            f"{len(cutouts)} cutouts, labels {labels.shape}, probabilities {probabilities.shape}: expected "
            "one label and three probabilities for each."
        )
    known = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    if not len(known):
        raise IICnetError("No source has a class: there is nothing to report.")
    n = len(cutouts)
    cutouts, labels, probabilities = cutouts[known], labels[known], probabilities[known]
    metrics = classification_metrics(labels, probabilities)
    found = measure(cutouts)
    parts = [
        *_headline(metrics, n),
        heading("Right and wrong"),
        side_by_side([*_performance(metrics, labels, probabilities, found), *_training(history)]),
        heading("The sample"),
        side_by_side(_sample(cutouts, labels, probabilities, found)),
    ]
    if set(_BANDS) <= set(cutouts.bands):
        parts += _examples(cutouts, labels, probabilities, weights)
        parts += _wrong(cutouts, labels, probabilities)
        parts += _doubtful(cutouts, labels, probabilities, _magnitudes(found))
    if about:
        parts += [heading("What was evaluated"), make_table(("", ""), describe(about))]
    return make_page(title, [*parts, footer(f"Page made by astro_iicnet {version('astro_iicnet')}.")])


def _headline(metrics: Table, n: int) -> list[str]:
    meta = metrics.meta
    numbers = {
        "accuracy": (f"{100 * meta['accuracy']:.2f} %", ""),
        "95 % interval": (f"{100 * meta['accuracy_low']:.2f} – {100 * meta['accuracy_high']:.2f} %", ""),
        "calibration error": (f"{meta['calibration_error']:.4f}", ""),
        "sources judged": (f"{meta['n']:,}", f"of {n:,}"),
    }
    rows = [[_plain(row[name]) for name in metrics.colnames] for row in metrics]
    text = (
        "Each class against the rest, as fractions; n counts the true members. An accuracy holds for a "
        "sample of these class sizes and this brightness only."
    )
    return [tiles(numbers, {}), make_table(metrics.colnames, rows), paragraph(text)]


def _performance(
    metrics: Table, labels: np.ndarray, probabilities: np.ndarray, found: Photometry
) -> list[str]:
    matrix = metrics.meta["confusion_matrix"]
    figures = [
        draw(plot_confusion_matrix, matrix, caption="Counts, and shares of the true class."),
        draw(plot_roc, labels, probabilities, caption="ROC of each class against the rest."),
        draw(
            plot_reliability,
            labels,
            probabilities,
            caption="How often the class is right against how probable it is said to be.",
        ),
    ]
    caption = (
        "{} Bars: 95 % interval of the accuracy. Classes differ in brightness: look at one bin at a time."
    )
    plots: tuple[tuple[Callable[..., Any], np.ndarray, str], ...] = (
        (plot_accuracy_by_magnitude, found.mag, "Against magnitude, measured from the pixels."),
        (plot_accuracy_by_snr, found.snr, "Against signal-to-noise ratio, measured from the pixels."),
    )
    for plot, values, words in plots:
        if np.isfinite(values[:, 0]).any():
            text, band = caption.format(words), found.bands[0]
            figures.append(draw(plot, labels, probabilities, values[:, 0], caption=text, band=band))
    return figures


def _training(history: Table | None) -> list[str]:
    if history is None:
        return []
    return [
        draw(plot_learning_curves, history, quantity=quantity, caption=f"The training: {quantity} by epoch.")
        for quantity in ("accuracy", "loss")
    ]


def _sample(cutouts: Cutouts, labels: np.ndarray, probabilities: np.ndarray, found: Photometry) -> list[str]:
    snr = "Signal-to-noise ratio, measured from the pixels; all below 0.1 is in the first bin."
    figures = [
        draw(plot_probabilities, probabilities, caption="Probability of the class found."),
        draw(plot_snr, found.snr, found.bands, caption=snr),
    ]
    if not set(_BANDS) <= set(found.bands):
        return figures
    figures.append(colour_figure(_magnitudes(found), labels, "measured from the pixels, by true class."))
    for index, name in enumerate(CLASSES):
        members = np.flatnonzero(labels == index)[:_PICTURED]
        if len(members):
            caption = f"Red (W3), green (W2) and blue (W1) in {len(members):,} pictures of the class {name}."
            figures.append(draw(plot_rgb_histogram, compose_rgb(cutouts[members]), caption=caption))
    return figures


def _magnitudes(found: Photometry) -> Magnitudes:
    columns = [found.bands.index(band) for band in _BANDS]
    mag, error, limit = (value[:, columns] for value in (found.mag, found.mag_err, found.upper_limit))
    return make_magnitudes(_BANDS, mag, error, limit)


def _examples(
    cutouts: Cutouts, labels: np.ndarray, probabilities: np.ndarray, weights: "Weights | None"
) -> list[str]:
    """Of each class the surest that is right, with what the layers make of it."""
    right = probabilities.argmax(axis=1) == labels
    members = [np.flatnonzero(right & (labels == index)) for index in range(len(CLASSES))]
    surest = [group[probabilities[group].max(axis=1).argmax()] for group in members if len(group)]
    rows = np.array(surest, dtype=int)
    if not len(rows):
        return []
    names = [CLASSES[label] for label in labels[rows]]
    numbers = [
        (name, *(f"{p:.6f}" for p in probabilities[row])) for name, row in zip(names, rows, strict=True)
    ]
    return [
        heading("One of each class"),
        paragraph(f"The surest that are right. {PICTURES}"),
        montage(cutouts[rows], probabilities[rows], ["right"] * len(rows)),
        make_table(("true class", *(f"p {name}" for name in CLASSES)), numbers),
        *([] if weights is None else _layers(weights, cutouts[rows], names)),
    ]


def _layers(weights: "Weights", examples: Cutouts, names: list[str]) -> list[str]:
    """Feature maps and attribution, or why there are none."""
    # Here, for it imports torch.
    from astro_iicnet.analysis.features import attribute, feature_maps

    figures, words = [], []
    pictures = compose_rgb(examples)
    try:
        maps = feature_maps(weights, examples)
        for i, name in enumerate(names):
            row = {"picture": pictures[i]} | {layer: values[i] for layer, values in maps.items()}
            caption = (
                f"The {name} and, for its inner 50 arcsec, the mean map after the first convolution, the "
                "receptive field block and the attention module."
            )
            figures.append(draw(plot_maps, row, caption=caption, size=_ROW_SIZE))
    except IICnetError as error:
        words.append(paragraph(str(error)))
    try:
        shares = attribute(weights, examples)
        for i, name in enumerate(names):
            caption = (
                f"The {name}: red pixels spoke for the class found, blue ones against it (integrated "
                "gradients against an empty image)."
            )
            figures.append(draw(plot_attribution, shares[i], weights.bands, caption=caption, size=_ROW_SIZE))
    except IICnetError as error:
        words.append(paragraph(str(error)))
    return [side_by_side(figures), *words]


def _wrong(cutouts: Cutouts, labels: np.ndarray, probabilities: np.ndarray) -> list[str]:
    """The misclassified in their groups, the surest first."""
    n = int(np.count_nonzero(probabilities.argmax(axis=1) != labels))
    if not n:
        return [heading("The wrong"), paragraph("0 are wrong.")]
    table = group_misclassified(cutouts, labels, probabilities)
    groups = sorted(set(table["group"].tolist()), key=lambda group: (group == EMPTY_CENTRE, group))
    rows, pictures = [], []
    for group in groups:
        part = table[table["group"] == group]
        part = part[np.argsort(-np.asarray(part["probability"]), kind="stable")]
        name = "empty centre" if group == EMPTY_CENTRE else str(group + 1)
        pairs = Counter(f"{row['true']} found {row['found']}" for row in part).most_common(2)
        confusions = ", ".join(f"{pair} {count:,}" for pair, count in pairs)
        rows.append((name, len(part), round(float(np.median(part["snr_w1"])), 1), confusions))
        shown = np.asarray(part["row"])[:_PER_GROUP]
        titles = [f"{CLASSES[labels[row]]}, found" for row in shown]
        words = "Without a source in the centre:" if group == EMPTY_CENTRE else f"Group {name}:"
        pictures += [paragraph(words), montage(cutouts[shown], probabilities[shown], titles)]
    text = (
        f"{n:,} are wrong. Those with a source in the centre are sorted by k-means on brightness and colour, "
        "the darkest group first; of each group those are shown of which the network is surest. The first "
        "word is the true class."
    )
    header = ("group", "sources", "median S/N in W1", "most frequent")
    return [heading("The wrong"), paragraph(text), make_table(header, rows), *pictures]


def _doubtful(
    cutouts: Cutouts, labels: np.ndarray, probabilities: np.ndarray, magnitudes: Magnitudes
) -> list[str]:
    """Those that are right without confidence, in pictures and on the plane of colours."""
    rows = find_outliers(labels, probabilities)
    words = f"{len(rows):,} are right with a probability below {LOW_CONFIDENCE}"
    if not len(rows):
        return [heading("The doubtful"), paragraph(f"{words}.")]
    marked = np.isin(np.arange(len(labels)), rows)
    figure = colour_figure(magnitudes, labels, "by true class, the doubtful ringed.", marked=marked)
    shown = rows[:_SHOWN]
    return [
        heading("The doubtful"),
        paragraph(f"{words}; the least certain of them:"),
        montage(cutouts[shown], probabilities[shown], ["right"] * len(shown)),
        side_by_side([figure]),
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
