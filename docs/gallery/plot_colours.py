"""
Colours and cuts
================

Astronomers select quasars and other active nuclei by cuts in the plane of WISE colours. Here two of the cuts
are held against the network, on simulated sources.
"""

import matplotlib.pyplot as plt
import numpy as np

from astro_iicnet import IICnetClassifier
from astro_iicnet.analysis.plots import plot_colour_plane
from astro_iicnet.analysis.report import CUTS
from astro_iicnet.fusion.cuts import mateos_2012, stern_2012
from astro_iicnet.photometry.measurement import colours, measure
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset

cutouts, truth = simulate_dataset(450, seed=21, workers=1)
labels = class_labels(truth)
found = IICnetClassifier().predict(cutouts)
photometry = measure(cutouts)
colour = colours(photometry)

# %%
# The same sources twice: with their true class, and with the class that the network gives them. Colours are
# measured from the pixels that the network sees. Marks are faint where a magnitude is an upper limit, mostly
# in W3: these sources may lie further to the left. The cut of Stern et al. (2012) takes what lies above its
# line, that of Mateos et al. (2012) what lies in its wedge.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), sharex=True, sharey=True, layout="constrained")
for ax, classes, title in zip(axes, (labels, found), ("true class", "class of the network"), strict=True):
    plot_colour_plane(*colour.value.T, classes, limits=colour.limit.any(axis=1), cuts=CUTS, ax=ax)
    ax.set(title=title, ylim=(-0.7, 2.9))
plt.show()

# %%
# Of the quasars, how many does each find (completeness); and of what it finds, how much is a quasar (purity)?
# Class fractions are equal here. On the sky quasars are rare, and the purity of all three is lower.

w1, w2, w3 = photometry.mag.T
is_quasar = labels == 1
selections = {
    "Stern et al. 2012": stern_2012(w1, w2),
    "Mateos et al. 2012": mateos_2012(w1, w2, w3),
    "network": np.ma.filled(found == "quasar", False),
}
print(f"{'':<20} completeness  purity")
for name, chosen in selections.items():
    print(f"{name:<20} {chosen[is_quasar].mean():12.2f}  {is_quasar[chosen].mean():6.2f}")

# %%
# What the cuts lose:

outside = ~selections["Stern et al. 2012"] & ~selections["Mateos et al. 2012"]
lost = is_quasar & outside
n_found = (lost & selections["network"]).sum()
print(f"{lost.sum()} quasars lie outside both cuts; the network finds {n_found} of them")
