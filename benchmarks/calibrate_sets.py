"""Table of scores for prediction sets, and the coverage of the sets on fresh sources.

    python benchmarks/calibrate_sets.py [--weights NAME [NAME ...]] [--n 20000] [--write]

Simulated sources in equal numbers of each class, with seeds of their own: one lot to make the table, one to
test it. Printed is, for each coverage asked for, the share of sources whose set holds the true class, of all
and by class, the mean number of classes in a set, and the share of sets of no, one, two and three classes.
With --write the table goes into the record of the weights in the registry of the package.
"""

import argparse
import json

import numpy as np
from astropy.table import Table

from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.labels import CLASSES
from astro_iicnet.prediction_sets import SEPARATOR, find_thresholds, prediction_sets
from astro_iicnet.training.calibration import tabulate_scores
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights.registry import REGISTRY_FILE, get_record

TABLE_SEED, TEST_SEED = 2_000_004, 2_000_005
COVERAGES = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99, 0.999)


def judge(classifier: IICnetClassifier, cutouts: Cutouts, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 3) and labels (N,) of the sources that can be judged."""
    probabilities = classifier.predict_proba(cutouts)
    known = np.isfinite(probabilities[:, 0])
    return probabilities[known], class_labels(table)[known]


def write(name: str, scores: dict) -> None:
    """Put the table into the record of the registry."""
    content = json.loads(REGISTRY_FILE.read_text(encoding="utf-8"))
    for record in content["weights"]:
        if record["name"] == name:
            record["set_scores"] = scores
    REGISTRY_FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Simulate, tabulate, test, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", nargs="+", help="names of the registry")
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lots = {}
    for name in options.weights or [get_record()["name"]]:
        classifier = IICnetClassifier(name)
        bands = classifier.weights_.bands
        if bands not in lots:
            lots[bands] = [simulate_dataset(options.n, seed=s, bands=bands) for s in (TABLE_SEED, TEST_SEED)]
        to_tabulate, to_test = lots[bands]
        scores = tabulate_scores(*judge(classifier, *to_tabulate))
        if options.write:
            write(name, scores)
        test(get_record(name) | {"set_scores": scores}, *judge(classifier, *to_test))


def test(record: dict, probabilities: np.ndarray, labels: np.ndarray) -> None:
    """Print how often the sets hold the true class, and how large they are."""
    rows = []
    for coverage in COVERAGES:
        found = prediction_sets(probabilities, find_thresholds(record, coverage))
        sets = [text.split(SEPARATOR) if text else [] for text in found]
        right = np.array([CLASSES[label] in names for label, names in zip(labels, sets, strict=True)])
        sizes = np.array([len(names) for names in sets])
        row = {"asked": coverage, "found": right.mean()}
        row |= {name: right[labels == index].mean() for index, name in enumerate(CLASSES)}
        row["mean size"] = sizes.mean()
        row |= {f"of {size}": np.mean(sizes == size) for size in range(len(CLASSES) + 1)}
        rows.append(row)
    table = Table(rows=rows)
    for column in table.colnames[1:]:
        table[column].format = ".4f"
    print(f"{record['name']}: table of {record['set_scores']['n']} sources, coverage on {len(labels)} others")
    table.pprint_all()


if __name__ == "__main__":
    main()
