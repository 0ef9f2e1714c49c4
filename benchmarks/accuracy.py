"""Accuracy on fresh simulated sources: the network beside what catalogue photometry can do.

    python benchmarks/accuracy.py [--weights NAME_OR_PATH] [--n 20000] [--n-train 100000]

Test and training sources are drawn with seeds of their own. The peers are gradient-boosted trees
(scikit-learn) on colours alone, and on magnitudes, errors, colours and concentration, all measured
from the same pixels that the network sees. Printed are the accuracy of each with its 95 % interval
and expected calibration error, metrics per class and confusion matrices, and, for the network,
accuracy by magnitude and the share of sources with each quality flag.
"""

import argparse

import numpy as np
from astropy.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from astro_iicnet.analysis.metrics import (
    accuracy_by_magnitude,
    classification_metrics,
    confusion_matrix,
    expected_calibration_error,
    wilson_interval,
)
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.labels import Flag
from astro_iicnet.photometry.measurement import colours, measure
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset

PAPER_FRACTIONS = (7298 / 21736, 7215 / 21736, 7223 / 21736)
TEST_SEED, TRAIN_SEED = 9_000_001, 9_000_002


def features(cutouts: Cutouts) -> tuple[np.ndarray, np.ndarray]:
    """Colours, (N, 2); and everything that was measured, (N, F)."""
    found = measure(cutouts)
    colour = colours(found)
    everything = (colour.value, colour.error, found.mag, found.mag_err, found.snr, found.flux)
    return colour.value, np.concatenate([*everything, found.concentration], axis=1)


def main() -> None:
    """Simulate, train the peers, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--n-train", type=int, default=100_000)
    options = parser.parse_args()
    cutouts, table = simulate_dataset(options.n, seed=TEST_SEED, fractions=PAPER_FRACTIONS)
    labels = class_labels(table)
    train, train_table = simulate_dataset(options.n_train, seed=TRAIN_SEED, fractions=PAPER_FRACTIONS)
    train_labels = class_labels(train_table)

    probabilities = IICnetClassifier(options.weights).predict_proba(cutouts)
    usable = np.isfinite(probabilities[:, 0])
    print(f"{np.count_nonzero(~usable)} of {len(labels)} sources have too few pixels and are left out")
    cutouts, table, labels, probabilities = (
        cutouts[usable],
        table[usable],
        labels[usable],
        probabilities[usable],
    )
    rows = [("network", probabilities)]
    names = ("boosted trees, colours", "boosted trees, all photometry")
    for name, known, asked in zip(names, features(train), features(cutouts), strict=True):
        for size in (options.n_train // 4, options.n_train):
            trees = HistGradientBoostingClassifier(max_iter=400, early_stopping=True, random_state=0)
            trees.fit(known[:size], train_labels[:size])
            rows.append((f"{name}, {size} for training", trees.predict_proba(asked)))
    summary = Table(
        names=["method", "accuracy", "low", "high", "ECE"], dtype=[str, float, float, float, float]
    )
    for name, found in rows:
        right = int((found.argmax(axis=1) == labels).sum())
        interval = wilson_interval(right, len(labels))
        summary.add_row((name, right / len(labels), *interval, expected_calibration_error(labels, found)))
    for column in summary.colnames[1:]:
        summary[column].format = ".4f"
    summary.pprint_all()
    for name, found in rows:
        print(f"\n{name}: metrics per class, and counts (row predicted, column true)")
        metrics = classification_metrics(labels, found)
        metrics.round(4)
        metrics.pprint_all()
        print(confusion_matrix(labels, found.argmax(axis=1)))
    print("\nnetwork, by W1 of the simulation")
    by_magnitude = accuracy_by_magnitude(
        labels, probabilities, table["w1"], [3, 7, 10, 12, 13, 14, 15, 16, 16.5, 18.5]
    )
    by_magnitude.round(4)
    by_magnitude.pprint_all()
    flags = measure(cutouts).flags
    shares = {
        flag.name: round(float(np.mean(flags & flag != 0)), 4) for flag in Flag if flag != Flag.LOW_CONFIDENCE
    }
    print("share of sources with each flag:", shares)
    print("accuracy with classes matched in W1:", round(by_magnitude.meta["matched_accuracy"], 4))


if __name__ == "__main__":
    main()
