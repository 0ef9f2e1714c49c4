"""What averaging over the eight orientations of an image gains, and how to average.

    python benchmarks/average.py [--weights NAME_OR_PATH] [--n 4000]

Fresh simulated sources in the class fractions of the paper. Printed are accuracy, log loss and expected
calibration error of one orientation, of the mean of the probabilities and of the probabilities of the mean
logits, and how many sources the average gets right that one orientation does not, and the other way round.
"""

import argparse

import numpy as np
import torch
from accuracy import PAPER_FRACTIONS
from astropy.table import Table
from scipy.special import softmax

from astro_iicnet.analysis.metrics import expected_calibration_error
from astro_iicnet.preprocessing import orientations
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import load_weights

SEED, BATCH = 9_100_001, 64


@torch.inference_mode()
def main() -> None:
    """Simulate, classify in all orientations, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--n", type=int, default=4000)
    options = parser.parse_args()
    cutouts, truth = simulate_dataset(options.n, seed=SEED, fractions=PAPER_FRACTIONS)
    labels = class_labels(truth)
    weights = load_weights(options.weights)
    logits = []
    for start in range(0, options.n, BATCH):
        rows = slice(start, start + BATCH)
        images = weights.preprocess(
            torch.from_numpy(cutouts.pixels[rows]), torch.from_numpy(cutouts.offset[rows])
        )
        logits.append(np.stack([weights.model(image).numpy() for image in orientations(images)]))
    scaled = np.concatenate(logits, axis=1).astype(float) / weights.record["temperature"]
    found = {
        "one orientation": softmax(scaled[0], axis=1),
        "mean of probabilities": softmax(scaled, axis=2).mean(axis=0),
        "mean of logits": softmax(scaled.mean(axis=0), axis=1),
    }
    summary = Table(
        names=["method", "accuracy", "log loss", "ECE", "gained", "lost"],
        dtype=[str, float, float, float, int, int],
    )
    before = found["one orientation"].argmax(axis=1) == labels
    for name, probabilities in found.items():
        right = probabilities.argmax(axis=1) == labels
        loss = -np.log(probabilities[np.arange(options.n), labels]).mean()
        error = expected_calibration_error(labels, probabilities)
        changed = (np.count_nonzero(right & ~before), np.count_nonzero(before & ~right))
        summary.add_row((name, right.mean(), loss, error, *changed))
    for column in ("accuracy", "log loss", "ECE"):
        summary[column].format = ".4f"
    print(f"{options.n} simulated sources, {weights.name}")
    summary.pprint_all()


if __name__ == "__main__":
    main()
