"""A colour network, trained on simulated colours, on real ones, sample by sample.

    python benchmarks/real_colours.py DATA WEIGHTS.safetensors [...] [--half 1]

DATA is the folder with ``labelled_colours.parquet``: real sources with a secure class, in samples of which
each is selected in its own way. So nothing is averaged over them: printed for each sample are the number of
sources, the share whose class is right, and the shares of the three answers. For comparison, the share that
the cuts of Stern et al. 2012 and Mateos et al. 2012 take for quasars.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table

from astro_iicnet.fusion import cuts
from astro_iicnet.fusion.colours import Magnitudes, make_magnitudes
from astro_iicnet.fusion.networks import photometry_tensor
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.magnitudes import MeasuredSources, magnitude_logits
from astro_iicnet.weights.load import load_weights

NAMES = {"GALAXY": "galaxy", "QSO": "quasar", "STAR": "star"}


def read(path: Path, half: int) -> tuple[Table, Magnitudes]:
    """The sources of one half, and their magnitudes."""
    table = Table.read(path)
    table = table[np.asarray(table["half"]) == half]

    def columns(name: str) -> np.ndarray:
        values = [np.ma.filled(np.ma.asarray(table[name.format(n)], float), np.nan) for n in (1, 2, 3)]
        return np.stack(values, axis=1)

    limit = columns("w{}ul") == 1
    return table, make_magnitudes(("W1", "W2", "W3"), columns("w{}"), columns("w{}err"), limit)


def main() -> None:
    """Read, classify, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--half", type=int, default=1)
    options = parser.parse_args()
    table, magnitudes = read(options.data / "labelled_colours.parquet", options.half)
    samples = np.array([f"{NAMES[c]} {s}" for c, s in zip(table["cls"], table["source"], strict=True)])
    photometry = photometry_tensor(magnitudes)
    answers = {}
    for name in options.weights:
        weights = load_weights(name)
        if weights.record["architecture"] != "color":
            parser.error(f"{name}: expected weights of a colour network")
        nothing = photometry.new_empty(len(table), 0)
        sources = MeasuredSources(nothing, photometry, None, nothing)
        known = weights.model.is_known(photometry).numpy()
        answers[weights.name] = np.where(known, magnitude_logits(weights.model, sources).argmax(axis=1), -1)
    for name, answer in answers.items():
        out = Table(names=["sample", "n", "right", *CLASSES, "unknown"], dtype=[str, int] + [float] * 5)
        for sample in np.unique(samples):
            rows = samples == sample
            shares = [float((answer[rows] == code).mean()) for code in (0, 1, 2, -1)]
            out.add_row((sample, rows.sum(), shares[CLASSES.index(sample.split()[0])], *shares))
        print(f"\n{name}, half {options.half}")
        out.round(4)
        out.pprint_all()
    w1, w2, w3 = magnitudes.mag.T
    chosen = {"Stern 2012": cuts.stern_2012(w1, w2), "Mateos 2012": cuts.mateos_2012(w1, w2, w3)}
    print("\nshare taken for quasars by cuts")
    for name, found in chosen.items():
        for sample in np.unique(samples):
            print(f"{name:12s} {sample:50s} {found[samples == sample].mean():.4f}")


if __name__ == "__main__":
    main()
