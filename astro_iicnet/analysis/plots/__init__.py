"""Figures: each function draws on the axes that it is given, or on the current ones, and returns them."""

from astro_iicnet.analysis.plots.comparisons import plot_accuracies, plot_accuracy_by_size, save_panels
from astro_iicnet.analysis.plots.performance import (
    plot_accuracy_by_magnitude,
    plot_accuracy_by_snr,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_reliability,
    plot_roc,
)
from astro_iicnet.analysis.plots.pictures import (
    compose_rgb,
    plot_attribution,
    plot_field,
    plot_maps,
    plot_montage,
    plot_rgb_histogram,
)
from astro_iicnet.analysis.plots.samples import (
    plot_colour_plane,
    plot_probabilities,
    plot_sky,
    plot_snr,
)
from astro_iicnet.analysis.plots.style import CLASS_COLOURS, CLASS_MARKERS

__all__ = [
    "CLASS_COLOURS",
    "CLASS_MARKERS",
    "compose_rgb",
    "plot_accuracies",
    "plot_accuracy_by_magnitude",
    "plot_accuracy_by_size",
    "plot_accuracy_by_snr",
    "plot_attribution",
    "plot_colour_plane",
    "plot_confusion_matrix",
    "plot_field",
    "plot_learning_curves",
    "plot_maps",
    "plot_montage",
    "plot_probabilities",
    "plot_reliability",
    "plot_rgb_histogram",
    "plot_roc",
    "plot_sky",
    "plot_snr",
    "save_panels",
]
