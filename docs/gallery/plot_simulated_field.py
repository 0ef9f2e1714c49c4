"""
From a list to classes
======================

The package holds a small simulated field with sources of known class. A list of its positions is classified
here; then come the rows that deserve a second look, and pictures of them. The default weights never saw this
field, but they are trained on the same simulation: real sources are a harder test.
"""

import matplotlib.pyplot as plt
import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet import CLASSES, Flag, IICnetClassifier
from astro_iicnet.analysis.plots import plot_montage
from astro_iicnet.cutouts import open_images
from astro_iicnet.results import PROBABILITY_COLUMNS, summarise
from astro_iicnet.simulation.field import example_sources

# %%
# The example list, as ``astro-iicnet example`` writes it, holds a few positions outside the field as well.
# With a list of yours and ``images="irsa"`` the same lines work on real pixels.

sources = example_sources()
table = IICnetClassifier().classify(sources, images="simulated", progress=False)
print(summarise(table))

# %%
# Every row of the list is there, in its order. Where there is no class, the status says why.

table["id", "true_class", "iicnet_class", "iicnet_p_quasar", "iicnet_status", "iicnet_flags"][-6:].pprint()

# %%
# ``iicnet_flags`` is a sum of flags. How often does each occur, and how often is the class right then?

known = table[table["iicnet_status"] == "ok"]
right = np.asarray(known["iicnet_class"] == known["true_class"])
flags = np.asarray(known["iicnet_flags"])
print(f"{'all':<20} {len(known):3d} rows, {right.sum():3d} right")
print(f"{'no flag':<20} {np.sum(flags == 0):3d} rows, {right[flags == 0].sum():3d} right")
for flag in Flag:
    has = (flags & flag) != 0
    print(f"{flag.name.lower():<20} {has.sum():3d} rows, {right[has].sum():3d} right")

# %%
# Rows are the true classes, columns what the network says.

print("true \\ found", *CLASSES)
for name in CLASSES:
    found = [np.sum((known["true_class"] == name) & (known["iicnet_class"] == other)) for other in CLASSES]
    print(f"{name:>12}", *(f"{n:{len(c)}d}" for n, c in zip(found, CLASSES, strict=True)))

# %%
# The twelve least certain sources, with the true class above and the network's word below. Most are
# faint, or next to something brighter.

probabilities = np.stack([known[name].filled() for name in PROBABILITY_COLUMNS], axis=1)
doubtful = np.argsort(probabilities.max(axis=1))[:12]
coords = SkyCoord(known["ra"][doubtful], known["dec"][doubtful], unit="deg")
cutouts = open_images("simulated").fetch(coords, ("W1", "W2", "W3"))

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
plot_montage(
    cutouts, probabilities=probabilities[doubtful], titles=list(known["true_class"][doubtful]), ax=ax
)
plt.show()
