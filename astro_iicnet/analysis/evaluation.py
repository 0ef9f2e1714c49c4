"""Labelled cutouts and what weights say of them, as one page of HTML."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from astropy.table import Table

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
    plot_accuracy_by_magnitude,
    plot_accuracy_by_snr,
    plot_confusion_matrix,
    plot_probabilities,
    plot_reliability,
    plot_roc,
    plot_snr,
)
from astro_iicnet.analysis.report import PICTURES, colour_figure, montage
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.colours import make_magnitudes
from astro_iicnet.labels import CLASSES
from astro_iicnet.photometry.measurement import Photometry, measure
from astro_iicnet.results import LOW_CONFIDENCE

_SHOWN = 12
_BANDS = ("W1", "W2", "W3")


def evaluation_report(
    cutouts: Cutouts,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    title: str = "Evaluation",
    about: Mapping[str, Any] | None = None,
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

    Returns
    -------
    str
        HTML, with all figures inside.

    Raises
    ------
    IICnetError
        If the shapes do not fit, or no source has a class.
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
        side_by_side(_performance(metrics, labels, probabilities, found)),
        heading("The sample"),
        side_by_side(_sample(labels, probabilities, found)),
        *_pictures(cutouts, labels, probabilities),
    ]
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


def _sample(labels: np.ndarray, probabilities: np.ndarray, found: Photometry) -> list[str]:
    figures = [
        draw(plot_probabilities, probabilities, caption="Probability of the class found."),
        draw(plot_snr, found.snr, found.bands, caption="Signal-to-noise ratio, measured from the pixels."),
    ]
    if set(_BANDS) <= set(found.bands):
        columns = [found.bands.index(band) for band in _BANDS]
        mag, error, limit = (value[:, columns] for value in (found.mag, found.mag_err, found.upper_limit))
        magnitudes = make_magnitudes(_BANDS, mag, error, limit)
        figures.append(colour_figure(magnitudes, labels, "measured from the pixels, by true class."))
    return figures


def _pictures(cutouts: Cutouts, labels: np.ndarray, probabilities: np.ndarray) -> list[str]:
    """The surest of the wrong, and the least certain of the right."""
    if not set(_BANDS) <= set(cutouts.bands):
        return []
    highest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    wrong = np.flatnonzero(~right)
    doubtful = np.flatnonzero(right & (highest < LOW_CONFIDENCE))
    wrong = wrong[np.argsort(-highest[wrong], kind="stable")]
    doubtful = doubtful[np.argsort(highest[doubtful], kind="stable")]
    groups = {
        f"{len(wrong):,} are wrong; those of which the network is surest:": wrong,
        f"{len(doubtful):,} are right with a probability below {LOW_CONFIDENCE}:": doubtful,
    }
    parts = [heading("What they look like"), paragraph(f"{PICTURES} The first word is the true class.")]
    for words, rows in groups.items():
        rows = rows[:_SHOWN]
        titles = [f"{CLASSES[labels[row]]}, found" for row in rows]
        parts += [paragraph(words), montage(cutouts[rows], probabilities[rows], titles)]
    return parts


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
