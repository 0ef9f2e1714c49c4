"""A support vector machine on the features of the network, beside its own last layer.

    python benchmarks/svm.py [--weights NAME_OR_PATH] [--n-train 10000] [--n 10000] [-o SVM.safetensors]

The machine is fitted on simulated sources that the network has not seen, and both are asked for the same
fresh ones, in equal numbers of each class. Printed are accuracy with its 95 % interval, log loss and expected
calibration error of both, how many sources only one of them gets right with the p-value of a sign test, and
what the machine adds to the size of the weights.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.table import Table
from scipy.stats import binomtest

from astro_iicnet.analysis.metrics import expected_calibration_error, wilson_interval
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.training.svm import fit_svm
from astro_iicnet.weights import load_weights, save_weights

TRAIN_SEED, TEST_SEED = 9_300_001, 9_300_002


def main() -> None:
    """Simulate, fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--n-train", type=int, default=10_000)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    weights = load_weights(options.weights)
    cutouts, table = simulate_dataset(options.n_train, seed=TRAIN_SEED)
    machine = fit_svm(weights, cutouts, class_labels(table))
    cutouts, table = simulate_dataset(options.n, seed=TEST_SEED)
    with TemporaryDirectory() as folder:
        path = save_weights(options.output or Path(folder, "svm.safetensors"), machine)
        size = path.stat().st_size
        found = {
            "last layer": IICnetClassifier(options.weights).predict_proba(cutouts),
            "support vectors": IICnetClassifier(path).predict_proba(cutouts),
        }
    known = np.isfinite(found["last layer"][:, 0])
    labels = class_labels(table)[known]
    rows, right = [], []
    for name, probabilities in found.items():
        probabilities = probabilities[known]
        right.append(probabilities.argmax(axis=1) == labels)
        low, high = wilson_interval(int(right[-1].sum()), len(labels))
        loss = -np.log(probabilities[np.arange(len(labels)), labels].clip(1e-12)).mean()
        error = expected_calibration_error(labels, probabilities)
        rows.append((name, right[-1].mean(), low, high, loss, error))
    summary = Table(rows=rows, names=["head", "accuracy", "low", "high", "log loss", "ECE"])
    for column in summary.colnames[1:]:
        summary[column].format = ".4f"
    summary.pprint_all()
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    p = binomtest(gained, max(gained + lost, 1)).pvalue
    print(f"only the support vectors right: {gained}, only the last layer: {lost}, p = {p:.2f}")
    extra = (size - weights.record["size"]) / 1e3
    print(f"{machine.record['options']['n_support']} support vectors, {extra:.0f} kB more")


if __name__ == "__main__":
    main()
