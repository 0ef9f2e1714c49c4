"""Print the colour tables of ``astro_iicnet.simulation`` that come from real sources.

Needs the table of labelled colours as its only argument (columns ``cls``, ``subclass``, ``z``,
``w1``..``w4``, ``w1err``.., ``w3ul``, ``w4ul``, ``source``, ``half``); uses half 0 only.
"""

import argparse

import numpy as np
import pandas as pd

from astro_iicnet.simulation import tracks
from astro_iicnet.simulation.quasars import draw_quasars

SPECTRAL_CLASSES = {"M": 0, "L": 10, "T": 20}


def half_range(values):
    """Half of the 16-84 % range."""
    return np.subtract(*np.nanpercentile(values, [84, 16])) / 2


def print_stars(table):
    """Colours of cool dwarfs by numerical type (M0 = 0, L0 = 10, T0 = 20)."""
    stars = table[
        (table.cls == "STAR") & (table.w1 > 8.2) & (table.w1err < 0.08) & (table.w2err < 0.08)
    ].copy()
    parts = stars.subclass.str.extract(r"([MLT])(\d+\.?\d*)")
    stars["type"] = np.floor(parts[0].map(SPECTRAL_CLASSES) + parts[1].astype(float))
    for kind, rows in stars.dropna(subset="type").groupby("type"):
        noise = np.hypot(rows.w1err.median(), rows.w2err.median())
        scatter = np.sqrt(max(half_range(rows.c12) ** 2 - noise**2, 0))
        seen = rows[(rows.w3ul == 0) & (rows.w3err < 0.15)]
        second = f"{seen.c23.median():.3f} +/- {half_range(seen.c23):.3f}" if len(seen) > 2 else "too few"
        print(f"{kind:4.0f} {len(rows):4d}  W1-W2 {rows.c12.median():.3f} +/- {scatter:.3f}  W2-W3 {second}")


def print_galaxies(table):
    """Running medians of nearby galaxies against W2-W3."""
    rows = table[(table.cls == "GALAXY") & (table.w3ul != 1) & (table.w1 < 15) & ~(table.w1err > 0.06)]
    rows = rows[rows.c12 < 0.6]
    for low in np.arange(0, 5, 0.5):
        some = rows[(rows.c23 >= low) & (rows.c23 < low + 0.5)]
        third = some.c34[some.w4ul != 1].median()
        first = f"{some.c12.median():.3f} +/- {half_range(some.c12):.3f}"
        print(f"{low + 0.25:.2f} {len(some):4d}  W1-W2 {first}  W3-W4 {third:.2f}")


def quasar_medians(z, w1, colours):
    """Median redshift and colours in bins of redshift, under the cuts of the DESI sample."""
    rows = []
    for low, high in zip(BINS[:-1], BINS[1:], strict=True):
        keep = (z >= low) & (z < high) & (w1 < (15.5 if low < 2 else 16)) & (colours[:, 0] > 0.65)
        keep &= np.isfinite(colours).all(axis=1)
        rows.append([np.median(z[keep]), *np.median(colours[keep], axis=0)])
    return np.array(rows)


BINS = [0.1, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.85]


def print_quasars(table):
    """Nuclear colours for which simulated quasars, hosts included, have the real medians."""
    rows = table[table.cls == "QSO"]
    real = quasar_medians(rows.z.to_numpy(), rows.w1.to_numpy(), rows[["c12", "c23", "c34"]].to_numpy())
    beyond = np.array([3.0, 3.25, 3.5, 3.75, 4.0, 4.5])
    nuclei = real.copy()
    for _ in range(12):
        shift = nuclei[-1, 1:] - tracks.colours("AGN", nuclei[-1, 0])
        tail = np.column_stack([beyond, tracks.colours("AGN", beyond) + shift])
        tracks.REAL_QUASARS = np.vstack([nuclei, tail]).T
        drawn = draw_quasars(200_000, np.random.default_rng(1))
        w = np.stack([drawn[f"w{band}"] for band in (1, 2, 3, 4)], axis=1)
        error = real[:, 1:] - quasar_medians(drawn["redshift"], w[:, 0], w[:, :3] - w[:, 1:])[:, 1:]
        nuclei[:, 1:] += 0.7 * error
    print(np.array2string(tracks.REAL_QUASARS.T, precision=2, separator=", ", suppress_small=True))
    print("largest error left per colour", np.abs(error).max(axis=0).round(3))


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    table = pd.read_parquet(parser.parse_args().table)
    table = table[table.half == 0].copy()
    for name, first, second in (("c12", "w1", "w2"), ("c23", "w2", "w3"), ("c34", "w3", "w4")):
        table[name] = table[first] - table[second]
    print_stars(table)
    print_galaxies(table)
    print_quasars(table)


if __name__ == "__main__":
    main()
