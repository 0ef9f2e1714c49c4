"""
Classify the simulated field
============================

The package holds a small simulated field with sources of known class. It is classified here, and the
network's word is compared with the truth. The default weights never saw this field, but they are trained on
the same simulation: real sources are a harder test.
"""

import matplotlib.pyplot as plt
import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet import CLASSES, IICnetClassifier, SimulatedSky
from astro_iicnet.simulation.field import example_sources

# %%
# The example list, as ``astro-iicnet example`` writes it, holds a few positions outside the field as well.

sources = example_sources()
table = IICnetClassifier().classify(sources, images="simulated", progress=False)
table["id", "true_class", "iicnet_class", "iicnet_p_quasar", "iicnet_status"][-8:].pprint()

# %%
# Rows are the true classes, columns what the network says.

known = table[table["iicnet_status"] == "ok"]
counts = np.array(
    [[np.sum((known["true_class"] == t) & (known["iicnet_class"] == c)) for c in CLASSES] for t in CLASSES]
)
print("true \\ found", *CLASSES)
for name, row in zip(CLASSES, counts, strict=True):
    print(f"{name:>12}", *(f"{n:{len(c)}d}" for n, c in zip(row, CLASSES, strict=True)))

# %%
# The surest source of each class, in the three bands that the network sees.

bands = ("W1", "W2", "W3")
surest = [np.argmax(known[f"iicnet_p_{name}"]) for name in CLASSES]
coords = SkyCoord(known["ra"][surest], known["dec"][surest], unit="deg")
cutouts = SimulatedSky().fetch(coords, bands)

figure, axes = plt.subplots(3, 3, figsize=(6, 6.4), layout="constrained")
for i, name in enumerate(CLASSES):
    for j, band in enumerate(bands):
        low, high = np.nanpercentile(cutouts.pixels[i, j], [1, 99.7])
        axes[i, j].imshow(cutouts.pixels[i, j], origin="lower", vmin=low, vmax=high, cmap="inferno")
        axes[i, j].set(xticks=[], yticks=[], title=band if i == 0 else "")
    axes[i, 0].set_ylabel(f"{name}, p = {known[f'iicnet_p_{name}'][surest[i]]:.2f}")
plt.show()
