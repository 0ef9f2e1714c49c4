"""
A list dominated by stars
=========================

The network has learnt from as many galaxies as quasars as stars. Of the sources in this list nine in ten are
stars. Priors tell the network so, and prediction sets say what it cannot decide.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_iicnet import CLASSES, IICnetClassifier
from astro_iicnet.prediction_sets import find_thresholds, prediction_sets
from astro_iicnet.priors import read_priors, reweight
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset

# %%
# Simulated cutouts stand in for the list. With positions it is
# ``classify(my_list, priors=fractions, coverage=0.95)``; the functions below do the same to probabilities
# that you have already.

fractions = {"galaxy": 0.06, "quasar": 0.04, "star": 0.90}
priors = read_priors(fractions)
cutouts, truth = simulate_dataset(500, seed=31, fractions=tuple(priors), workers=1)
classifier = IICnetClassifier()
plain = classifier.predict_proba(cutouts)
keep = np.isfinite(plain[:, 0])
plain, labels = plain[keep], class_labels(truth)[keep]

# %%
# Of the few stars that the network takes for galaxies or quasars there are many here, because there are so
# many stars. Priors weigh each probability with how often the class occurs.

record = classifier.weights_.record
with_priors = reweight(plain, priors, np.array(record["training_fractions"]))
answers = {"true": labels, "as they come": plain.argmax(axis=1), "with priors": with_priors.argmax(axis=1)}
print(f"{'':<13}", *(f"{name:>7}" for name in CLASSES), "  of the quasars found are true")
for name, answer in answers.items():
    n_found = np.bincount(answer, minlength=3)
    true = np.mean(labels[answer == 1] == 1)
    print(f"{name:<13}", *(f"{n:7d}" for n in n_found), f"{true:10.0%}")

# %%
# So the numbers of galaxies and quasars come nearer to the true ones. The price is completeness: a doubtful
# source is called a star.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for shift, (name, answer), colour in zip((-1, 0, 1), answers.items(), ("k", "0.7", "tab:blue"), strict=True):
    n_found = np.bincount(answer, minlength=3)
    bars = axes[0].bar(np.arange(3) + 0.27 * shift, n_found, width=0.25, color=colour, label=name)
    axes[0].bar_label(bars, fontsize=8)
axes[0].set(xticks=range(3), xticklabels=CLASSES, ylabel="number of sources", yscale="log", ylim=(1, 3000))
axes[0].legend(ncols=3, loc="upper center")

# %%
# A prediction set holds all classes that the source may have. The thresholds are such that of each
# class the coverage asked for has the true class in its set; so the sets do not depend on the
# mixture, nor on priors. The more is asked for, the more sets hold two classes or all three.

levels = (0.8, 0.9, 0.95, 0.99)
sets = [prediction_sets(plain, find_thresholds(record, level)) for level in levels]
sizes = np.array([[sum(filter(None, (c in text for c in CLASSES))) for text in found] for found in sets])
bottom = np.zeros(len(levels))
for size, colour in zip(range(4), ("white", "tab:green", "tab:orange", "tab:red"), strict=True):
    share = np.mean(sizes == size, axis=1)
    axes[1].bar([f"{level:g}" for level in levels], share, bottom=bottom, color=colour, ec="k", label=size)
    bottom += share
axes[1].set(xlabel="coverage asked for", ylabel="share of sources", ylim=(0, 1.25))
axes[1].legend(title="classes in the set", ncols=4, loc="upper center")
plt.show()
for level, found in zip(levels, sets, strict=True):
    held = np.mean([CLASSES[label] in text for label, text in zip(labels, found, strict=True)])
    print(f"asked {level:g}, found {held:.3f}")
