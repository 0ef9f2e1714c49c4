"""
How good a classification is
============================

Fresh simulated cutouts are classified with the default weights, and the figures of
`astro_iicnet.analysis.plots` show how well. A few hundred sources are too few for fine differences;
``astro-iicnet evaluate --report`` makes a page of such figures for any labelled set.
"""

import matplotlib.pyplot as plt

from astro_iicnet import IICnetClassifier
from astro_iicnet.analysis.metrics import confusion_matrix
from astro_iicnet.analysis.plots import (
    plot_accuracy_by_magnitude,
    plot_colour_plane,
    plot_confusion_matrix,
    plot_reliability,
    plot_roc,
    plot_snr,
)
from astro_iicnet.analysis.report import CUTS
from astro_iicnet.photometry.measurement import colours, measure
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset

cutouts, table = simulate_dataset(450, seed=11, workers=1)
labels = class_labels(table)
probabilities = IICnetClassifier().predict_proba(cutouts)
photometry = measure(cutouts)

# %%
# Right and wrong. In the confusion matrix a row is what was predicted and a column what is true, as in the
# paper.

figure, axes = plt.subplots(2, 2, figsize=(9.5, 8), layout="constrained")
plot_confusion_matrix(confusion_matrix(labels, probabilities.argmax(axis=1)), ax=axes[0, 0])
plot_roc(labels, probabilities, ax=axes[0, 1])
plot_reliability(labels, probabilities, n_bins=8, ax=axes[1, 0])
plot_accuracy_by_magnitude(labels, probabilities, photometry.mag[:, 0], ax=axes[1, 1])
plt.show()

# %%
# The sample: colours measured from the same pixels, by true class, with the cuts that astronomers use, and
# signal-to-noise ratios. Faint marks are upper limits.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
colour = colours(photometry)
limits = colour.limit.any(axis=1)
plot_colour_plane(*colour.value.T, labels, limits=limits, cuts=CUTS, ax=axes[0])
plot_snr(photometry.snr, cutouts.bands, ax=axes[1])
plt.show()
