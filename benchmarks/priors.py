"""What priors= does for a list with other class fractions than the training set: 90 % stars.

    python benchmarks/priors.py [--weights NAME_OR_PATH] [--n 10000]

Simulated sources, of which 6 % are galaxies, 4 % quasars and 90 % stars. Printed are accuracy with its 95 %
interval, log loss, expected calibration error, and precision (P) and recall (R) of each class, of the
probabilities as they come and of those with these priors; and how many sources have a probability of 0.95 or
more to be a quasar, and how many of those are one.
"""

import argparse

import numpy as np
from astropy.table import Table

from astro_iicnet.analysis.metrics import classification_metrics
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.labels import CLASSES
from astro_iicnet.priors import read_priors, reweight
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import load_weights

SEED = 9_200_001
FRACTIONS = {"galaxy": 0.06, "quasar": 0.04, "star": 0.9}


def main() -> None:
    """Simulate, classify, reweight, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--n", type=int, default=10_000)
    options = parser.parse_args()
    priors = read_priors(FRACTIONS)
    cutouts, truth = simulate_dataset(options.n, seed=SEED, fractions=tuple(priors))
    plain = IICnetClassifier(options.weights).predict_proba(cutouts)
    known = np.isfinite(plain[:, 0])
    plain, labels = plain[known], class_labels(truth)[known]
    training = np.array(load_weights(options.weights).record["training_fractions"])
    rows = []
    for name, found in (("as they come", plain), ("with priors", reweight(plain, priors, training))):
        metrics = classification_metrics(labels, found)
        meta = metrics.meta
        row = {"probabilities": name, "accuracy": meta["accuracy"]}
        row |= {"low": meta["accuracy_low"], "high": meta["accuracy_high"]}
        row["log loss"] = -np.log(found[np.arange(len(labels)), labels].clip(1e-12)).mean()
        row["ECE"] = meta["calibration_error"]
        for index, label in enumerate(CLASSES):
            row |= {f"{label} P": metrics["precision"][index], f"{label} R": metrics["recall"][index]}
        sure = found[:, CLASSES.index("quasar")] >= 0.95
        row |= {"sure quasars": int(sure.sum()), "true": int((labels[sure] == CLASSES.index("quasar")).sum())}
        rows.append(row)
    table = Table(rows=rows)
    for column in table.colnames[1:-2]:
        table[column].format = ".4f"
    print(f"{len(labels)} sources: {dict(zip(CLASSES, np.bincount(labels).tolist(), strict=True))}")
    table.pprint_all()


if __name__ == "__main__":
    main()
