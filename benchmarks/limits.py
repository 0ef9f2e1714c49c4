"""Where weights fail, and how often: simulated sources, situation by situation.

    python benchmarks/limits.py [--weights NAME_OR_PATH] [--n 6000] [--per-kind 300] [--parts ...]

Each line is a group of sources with a true class: their number, the share of right answers, the share with
a probability below 0.6, and the shares of the three answers. The parts:

measured   fresh sources in the class fractions of the paper, by quality flag, S/N in W3, and beyond W1 = 16
kinds      sources of one kind, size or mixture, however rare they are in the sample
shifted    positions that miss the source by whole pixels, as after proper motion
crowded    stars added, in units of the number at high galactic latitude; training had up to 64
"""

import argparse

import numpy as np
from accuracy import PAPER_FRACTIONS
from astropy.table import Table

from astro_iicnet.allwise.bands import PIXEL_SCALE, zero_points
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.labels import CLASSES, Flag, Status
from astro_iicnet.photometry.measurement import Photometry, measure
from astro_iicnet.results import LOW_CONFIDENCE
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.render import band_flux, draw_stretch, point_sources, render
from astro_iicnet.simulation.surroundings import draw_neighbours
from astro_iicnet.training.datasets import class_labels

BANDS = ("W1", "W2", "W3")
SEED = 9_400_001
PARTS = ("measured", "kinds", "shifted", "crowded")
SHIFTS = (0, 1, 2, 3, 4)
"""Pixels of 1.375 arcsec."""
STARS = (0, 16, 32, 64)
BLEND = 6.0 / PIXEL_SCALE
"""Distance [px] within which a brighter neighbour would be listed instead of the source."""


def as_cutouts(pixels: np.ndarray, offset: np.ndarray) -> Cutouts:
    """Cutouts of whole rows in `BANDS`."""
    n = len(pixels)
    status = np.full(n, Status.OK, np.uint8)
    return Cutouts(pixels, offset, BANDS, zero_points(BANDS), status, np.full(n, ""))


def describe(group: str, labels: np.ndarray, probabilities: np.ndarray) -> tuple:
    """One line of the table."""
    best = probabilities.argmax(axis=1)
    right, low = (best == labels).mean(), (probabilities.max(axis=1) < LOW_CONFIDENCE).mean()
    return (group, len(labels), right, low, *((best == code).mean() for code in range(len(CLASSES))))


def show(title: str, rows: list[tuple]) -> None:
    """Print a table."""
    table = Table(rows=rows, names=["group", "n", "right", "unsure", *(f"-> {name}" for name in CLASSES)])
    for column in table.colnames[2:]:
        table[column].format = ".3f"
    print(f"\n{title}")
    table.pprint_all()


def measured_groups(table: Table, photometry: Photometry, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Rows by flag, S/N in W3 and magnitude."""
    flags, snr, names = photometry.flags, photometry.snr[:, 2], np.asarray(table["class"])
    groups = {"all": np.ones(len(table), bool), "no flag": flags == 0}
    groups |= {flag.name: flags & flag != 0 for flag in Flag if flag != Flag.LOW_CONFIDENCE}
    low = probabilities.max(axis=1) < LOW_CONFIDENCE
    groups |= {"LOW_CONFIDENCE": low, "no flag, not LOW_CONFIDENCE": (flags == 0) & ~low}
    for name in CLASSES:
        groups[f"{name}, S/N in W3 below 2"] = (names == name) & (snr < 2)
        groups[f"{name}, S/N in W3 above 5"] = (names == name) & (snr > 5)
        groups[f"{name}, W1 > 16"] = (names == name) & (np.asarray(table["w1"]) > 16)
    return groups


def kinds(table: Table) -> dict[str, np.ndarray]:
    """Rows by kind, size and mixture."""
    names, kind, radius = (np.asarray(table[name]) for name in ("class", "subtype", "radius"))
    nucleus = np.asarray(table["point_fraction"])[:, 0]
    colour = np.asarray(table["w1"] - table["w2"])
    groups = {f"{name}: {k}": (names == name) & (kind == k) for name in CLASSES for k in np.unique(kind)}
    for start, end in ((3, 8), (8, 25), (25, 500)):
        inside = (names == "galaxy") & (radius >= start) & (radius < end)
        groups[f"galaxy: half-light radius {start} to {end} arcsec"] = inside
    for name in ("galaxy", "quasar"):
        for start, end in ((0, 0.2), (0.2, 0.5), (0.5, 1)):
            inside = (names == name) & (nucleus > start) & (nucleus <= end)
            groups[f"{name}: nucleus {start:g} to {end:g} of W1"] = inside
    dwarf = (names == "star") & (kind == "brown dwarf")
    groups |= {"star: brown dwarf, W1-W2 < 0.6": dwarf & (colour < 0.6)}
    groups |= {"star: brown dwarf, W1-W2 > 0.6": dwarf & (colour >= 0.6)}
    dusty = (names == "star") & (kind == "dusty")
    groups |= {"star: dusty, W1-W2 > 0.3": dusty & (colour > 0.3)}
    groups |= {"star: W1 < 7": (names == "star") & (np.asarray(table["w1"]) < 7)}
    return {name: rows for name, rows in groups.items() if rows.any()}


def show_measured(classifier: IICnetClassifier, n: int, rng: np.random.Generator) -> None:
    """Groups that follow from the pixels."""
    table = draw_sources(n, rng, fractions=PAPER_FRACTIONS)
    cutouts = as_cutouts(*render(table, rng))
    found = classifier.predict_proba(cutouts)
    known = np.isfinite(found[:, 0])
    groups = measured_groups(table, measure(cutouts), found)
    labels = class_labels(table)
    rows = [(name, rows & known) for name, rows in groups.items()]
    show("measured", [describe(name, labels[rows], found[rows]) for name, rows in rows if rows.any()])


def show_kinds(classifier: IICnetClassifier, per_kind: int, rng: np.random.Generator) -> None:
    """Groups by what the sources are."""
    table = draw_sources(1000 * per_kind, rng, fractions=PAPER_FRACTIONS)
    lines = []
    for name, rows in kinds(table).items():
        chosen = table[np.flatnonzero(rows)[:per_kind]]
        found = classifier.predict_proba(as_cutouts(*render(chosen, rng)))
        known = np.isfinite(found[:, 0])
        lines.append(describe(name, class_labels(chosen)[known], found[known]))
    show("kinds", lines)


def show_shifted(classifier: IICnetClassifier, n: int, rng: np.random.Generator) -> None:
    """The same sources, their positions more and more wrong."""
    table = draw_sources(n, rng, fractions=PAPER_FRACTIONS)
    labels, margin = class_labels(table), max(SHIFTS)
    pixels, offset = render(table, rng, size=CUTOUT_SIZE + 2 * margin)
    lines = []
    for shift in SHIFTS:
        part = pixels[:, :, margin:-margin, margin + shift : margin + shift + CUTOUT_SIZE]
        found = classifier.predict_proba(as_cutouts(np.ascontiguousarray(part), offset))
        for code, name in enumerate(CLASSES):
            rows = (labels == code) & np.isfinite(found[:, 0])
            lines.append(describe(f"{name}, {shift * PIXEL_SCALE:.1f} arcsec off", labels[rows], found[rows]))
    show("shifted", lines)


def with_stars(
    table: Table, pixels: np.ndarray, offset: np.ndarray, stars: float, rng: np.random.Generator
) -> np.ndarray:
    """Pixels with more stars, none of them brighter than the source and within 6 arcsec of it."""
    axis = np.arange(CUTOUT_SIZE, dtype=np.float32) - CUTOUT_SIZE // 2
    crowded = pixels.copy()
    for start in range(0, len(table), 128):
        rows = slice(start, start + 128)
        n = len(offset[rows])
        around = draw_neighbours(n, CUTOUT_SIZE + 24, np.full(n, float(stars)), rng)
        distance = np.hypot(around["x"] - offset[rows, :1], around["y"] - offset[rows, 1:])
        near = (distance < BLEND) & (around["w1"] < np.asarray(table["w1"])[rows, None])
        stretch = draw_stretch(n, rng)
        for k, band in enumerate(BANDS):
            flux = np.where(near, 0, band_flux(around[band.lower()], band))
            crowded[rows, k] += point_sources(axis, around["x"], around["y"], flux, band, stretch)
    return crowded


def show_crowded(classifier: IICnetClassifier, n: int, rng: np.random.Generator) -> None:
    """The same sources among more and more stars."""
    table = draw_sources(n, rng, fractions=PAPER_FRACTIONS)
    labels = class_labels(table)
    pixels, offset = render(table, rng)
    lines = []
    for stars in STARS:
        crowded = with_stars(table, pixels, offset, stars, rng) if stars else pixels
        found = classifier.predict_proba(as_cutouts(crowded, offset))
        for code, name in enumerate(CLASSES):
            rows = (labels == code) & np.isfinite(found[:, 0])
            lines.append(describe(f"{name}, {stars} times the stars added", labels[rows], found[rows]))
    show("crowded", lines)


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--n", type=int, default=6000)
    parser.add_argument("--per-kind", type=int, default=300)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    classifier = IICnetClassifier(options.weights)
    print(f"weights {classifier.weights_.name}")
    streams = dict(zip(PARTS, np.random.default_rng(SEED).spawn(len(PARTS)), strict=True))
    if "measured" in options.parts:
        show_measured(classifier, options.n, streams["measured"])
    if "kinds" in options.parts:
        show_kinds(classifier, options.per_kind, streams["kinds"])
    if "shifted" in options.parts:
        show_shifted(classifier, options.n // 3, streams["shifted"])
    if "crowded" in options.parts:
        show_crowded(classifier, options.n // 3, streams["crowded"])


if __name__ == "__main__":
    main()
