"""Several weights on the same fresh simulated sources, each beside the first.

    python benchmarks/compare_weights.py NAME_OR_PATH [NAME_OR_PATH ...] [--n 20000]

The sources are drawn with a seed of their own in the class fractions of the paper; those that any of the
weights cannot judge are left out for all. Printed are accuracy with its 95 % interval, recall of each class,
log loss and expected calibration error (15 bins), and the accuracy less that of the first weights with its
95 % interval (paired bootstrap): a difference is real where the interval excludes 0. Last, the sources per
second from cutouts to probabilities, all weights in turns, and their ratio to the first (medians of rounds).
"""

import argparse
import time

import numpy as np
from astropy.table import Table
from sklearn.metrics import log_loss, recall_score

from astro_iicnet.analysis.metrics import expected_calibration_error, paired_bootstrap, wilson_interval
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset

PAPER_FRACTIONS = (7298 / 21736, 7215 / 21736, 7223 / 21736)
TEST_SEED = 9_000_011
ROUNDS, PER_ROUND = 7, 512


def sources_per_second(classifiers: list[IICnetClassifier], cutouts: Cutouts) -> np.ndarray:
    """Of each, (rounds, weights), after a round that does not count."""
    some = cutouts[:PER_ROUND]
    speeds = []
    for _ in range(ROUNDS + 1):
        times = [time.perf_counter()]
        for classifier in classifiers:
            classifier.predict_proba(some)
            times.append(time.perf_counter())
        speeds.append(len(some) / np.diff(times))
    return np.array(speeds[1:])


def main() -> None:
    """Simulate, classify with each, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--n", type=int, default=20_000)
    options = parser.parse_args()
    classifiers = {str(weights): IICnetClassifier(weights) for weights in options.weights}
    bands = sorted({band for one in classifiers.values() for band in one.weights_.bands})
    cutouts, table = simulate_dataset(
        options.n, seed=TEST_SEED, fractions=PAPER_FRACTIONS, bands=tuple(bands)
    )
    found = {name: one.predict_proba(cutouts) for name, one in classifiers.items()}
    known = np.all([np.isfinite(probabilities[:, 0]) for probabilities in found.values()], axis=0)
    labels = class_labels(table)[known]
    first = next(iter(found.values()))[known]
    speeds = sources_per_second(list(classifiers.values()), cutouts)
    rows = []
    for index, (name, probabilities) in enumerate(found.items()):
        asked = probabilities[known]
        chosen = asked.argmax(axis=1)
        low, high = wilson_interval(int((chosen == labels).sum()), len(labels))
        row = {"weights": classifiers[name].weights_.name, "accuracy": (chosen == labels).mean()}
        row |= {"low": low, "high": high}
        recalls = recall_score(labels, chosen, labels=range(len(CLASSES)), average=None)
        row |= dict(zip(CLASSES, recalls, strict=True))
        row |= {"log loss": log_loss(labels, asked), "ECE": expected_calibration_error(labels, asked)}
        row |= dict(
            zip(("gain", "gain low", "gain high"), paired_bootstrap(labels, asked, first), strict=True)
        )
        row["per second"] = np.median(speeds[:, index])
        row["ratio"] = np.median(speeds[:, index] / speeds[:, 0])
        rows.append(row)
    result = Table(rows=rows)
    for column in result.colnames[1:]:
        result[column].format = ".4f"
    result["per second"].format, result["ratio"].format = ".0f", ".2f"
    print(f"{len(labels)} of {options.n} simulated sources can be judged by all")
    result.pprint_all()


if __name__ == "__main__":
    main()
