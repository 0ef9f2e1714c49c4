"""Numbers of the paper that the experiments stand beside.

References
----------
Zhao et al. 2023, RAA 23, 085010 (doi:10.1088/1674-4527/acd67e).
"""

TABLE_2: dict[str, tuple[float, float, float]] = {
    "precision": (0.954, 0.966, 0.937),
    "recall": (0.932, 0.971, 0.954),
    "specificity": (0.977, 0.983, 0.968),
    "f1": (0.943, 0.968, 0.945),
    "accuracy": (0.962, 0.979, 0.964),
}
"""Galaxy, quasar and star, each against the rest."""

CONFUSION_MATRIX = ((680, 9, 24), (16, 700, 9), (34, 12, 689))
"""Fig. 18: row predicted, column true; the columns sum to the sizes of the validation set."""

TABLE_3: dict[str, tuple[float, float]] = {
    "iicnet": (1.75e6, 218.66e6),
    "vgg16": (134.27e6, 15.5e9),
    "googlenet": (5.98e6, 1.59e9),
    "resnet34": (46.99e6, 12.25e9),
    "mobilenet_v1": (3.22e6, 587.94e6),
    "efficientnet_v2_s": (24.18e6, 2.97e9),
    "repvgg": (30.07e6, 3.83e9),
}
"""Parameters and operations; the peers' are for 224 x 224, IICnet's for 80 x 80."""

ACCURACY = 0.9521
"""Of IICnet with W1-W3 at 80 x 80 (Fig. 12); no other network passes 95 % (Fig. 15a)."""

TABLE_4 = (0.999486, 0.975557, 0.999814)
"""Probability of the true class of an example galaxy, quasar and star (Fig. 4)."""

GROUPS = (37, 13, 45, 9)
"""The misclassified (Sec. 5.1): dark, of complex colours, bright, and without a source in the centre."""

OUTLIERS = 14
"""Classified rightly with a probability below 0.6 (Sec. 5.2)."""

SIZES: dict[str, int] = {name: 80 if name == "iicnet" else 224 for name in TABLE_3}
"""Input sizes of the networks in Table 3 [px]."""
