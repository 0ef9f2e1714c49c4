"""
What the network sees
=====================

The simulated field in colour: 600 arcsec, as an archive gives by default, against the 50 arcsec that the
network sees; sources with their probabilities; and maps of the network's layers.
"""

import matplotlib.pyplot as plt
from astropy.coordinates import SkyCoord

from astro_iicnet import IICnetClassifier, SimulatedSky
from astro_iicnet.analysis.features import feature_maps
from astro_iicnet.analysis.plots import compose_rgb, plot_field, plot_maps, plot_montage, plot_rgb_histogram
from astro_iicnet.simulation.field import example_sources, simulated_field
from astro_iicnet.weights import load_weights

sources = example_sources()[:12]
coords = SkyCoord(sources["ra"], sources["dec"], unit="deg")
cutouts = SimulatedSky().fetch(coords, ("W1", "W2", "W3"))

# %%
# W3 is red, W2 green and W1 blue. Only the source in the middle of the small frame is classified.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
plot_field(simulated_field(), coords[5], width=600, ax=axes[0])
plot_field(simulated_field(), coords[5], width=50, ax=axes[1])
plt.show()

# %%
# Frame and words below: the class found. Words above: the true class.

probabilities = IICnetClassifier().predict_proba(cutouts)
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
plot_montage(cutouts, probabilities=probabilities, titles=list(sources["true_class"]), ax=ax)
plt.show()

# %%
# How often each brightness occurs in these pictures.

figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
plot_rgb_histogram(compose_rgb(cutouts), ax=ax)
plt.show()

# %%
# The mean over the channels after the first convolution, the receptive field block and the attention module.

maps = feature_maps(load_weights("iicnet-sim-v3"), cutouts[5:6])
figure, ax = plt.subplots(figsize=(9, 2.6), layout="constrained")
plot_maps({"picture": compose_rgb(cutouts[5:6])[0]} | {name: value[0] for name, value in maps.items()}, ax=ax)
plt.show()
