"""Divide a dataset so that its parts do not share a piece of sky."""

import numpy as np
from astropy.table import Table

from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.training.datasets import Split, class_labels, split

SHARES = (0.8, 0.1, 0.1)
"""Of training, test and validation set, as in the paper."""


def split_on_sky(labels: np.ndarray, tile: np.ndarray, *, seed: int = 0) -> Split:
    """Divide rows 8:1:1 so that all sources of a tile are in one part.

    Each class is divided 8:1:1 as far as whole tiles allow. A random split puts neighbours, which
    share background, noise and artefacts, into training and test; this one does not. Sources on
    either side of the border of two tiles may still be close to each other.

    Parameters
    ----------
    labels : numpy.ndarray
        (N,) label indices.
    tile : numpy.ndarray
        (N,) names of what must stay together, as a rule of Atlas tiles; see
        `~astro_iicnet.allwise.tiles.best_tile`.
    seed : int, default 0
        Of the order among tiles with equally many sources.

    Returns
    -------
    Split
        Sorted row numbers ``train``, ``test`` and ``validation``, none of them empty.

    Raises
    ------
    IICnetError
        If the lengths differ, or there are fewer than three tiles.
    """
    if len(labels) != len(tile):
        raise IICnetError(f"{len(labels)} labels and {len(tile)} tiles: one each is needed.")
    names, group = np.unique(np.asarray(tile), return_inverse=True)
    if len(names) < len(SHARES):
        raise IICnetError(
            f"The sources lie in {len(names)} tile(s): three sets that share none need at least three. "
            "Use astro_iicnet.training.datasets.split, which divides at random."
        )
    counts = np.zeros((len(names), labels.max() + 1))
    np.add.at(counts, (group, labels), 1)
    part = _assign(counts, np.random.default_rng(seed))[group]
    return Split(*(np.flatnonzero(part == index) for index in range(len(SHARES))))


def _assign(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of each group, (G,), from its (G, C) counts: the largest first, where they lack most."""
    total = counts.sum(axis=0)
    classes = total > 0
    counts = counts[:, classes]
    wanted = np.outer(SHARES, total[classes])
    have = np.zeros_like(wanted)
    part = np.zeros(len(counts), dtype=int)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    for n_left, index in zip(range(len(order), 0, -1), order, strict=True):
        empty = np.flatnonzero(have.sum(axis=1) == 0)
        # What chi-square grows by; an empty part is served while there are groups for all of them.
        cost = ((counts[index] + 2 * (have - wanted)) * counts[index] / wanted).sum(axis=1)
        choice = empty if n_left <= len(empty) else np.arange(len(SHARES))
        part[index] = choice[np.argmin(cost[choice])]
        have[part[index]] += counts[index]
    return part


def dataset_split(table: Table, *, seed: int = 0) -> Split:
    """The parts of a dataset: those that its column ``split`` names, or a random split.

    Parameters
    ----------
    table : `~astropy.table.Table`
        N rows with a column ``class``; ``split``, if there is one, holds "train", "test" or
        "validation" in each.
    seed : int, default 0
        Of the random split.

    Returns
    -------
    Split
        Sorted row numbers ``train``, ``test`` and ``validation``.

    Raises
    ------
    IICnetError
        If a class or a part is unknown.
    """
    labels = class_labels(table)
    if "split" not in table.colnames:
        return split(labels, seed=seed)
    names = np.char.strip(np.asarray(table["split"]).astype(str))
    unknown = ~np.isin(names, Split._fields)
    if unknown.any():
        raise IICnetError(unknown_name("part of a dataset", str(names[unknown][0]), Split._fields))
    return Split(*(np.flatnonzero(names == name) for name in Split._fields))
