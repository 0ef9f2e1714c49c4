"""The choice of a learning rate, with the same rule for every network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table

from astro_iicnet.exceptions import DivergedError
from astro_iicnet.experiments.run import write_table

FURTHER = 4
"""Rates tried beyond the ends, at most: with too few sources the loss may fall towards a rate of zero."""


def search_rate(rates: tuple[float, ...], loss_of: Callable[[float], float], path: Path) -> float:
    """Learning rate of lowest loss, as a rule between a lower and a higher one that are worse.

    As long as the best is the lowest or the highest that was tried, the next one is tried, too, at
    most `FURTHER` times. There each rate is to its neighbour as the last two of ``rates`` are at
    that end. What is tried is kept in a file, and not tried again.

    Parameters
    ----------
    rates : tuple of float
        Two or more rates to begin with, from low to high.
    loss_of : callable
        Gives the loss with a rate; not a number, or infinity, where the training is lost.
    path : pathlib.Path
        File (ECSV) of what is tried, with columns ``learning_rate`` and ``validation_loss``.

    Returns
    -------
    float
        The rate.

    Raises
    ------
    DivergedError
        If the training is lost with all rates.
    """
    losses: dict[float, float] = {}
    if path.exists():
        kept = Table.read(path)
        losses = dict(zip(kept["learning_rate"].tolist(), kept["validation_loss"].tolist(), strict=True))
    while (rate := _next_rate(rates, losses)) is not None:
        loss = loss_of(rate)
        losses[rate] = loss if np.isfinite(loss) else np.inf
        tried = sorted(losses)
        columns = {"learning_rate": tried, "validation_loss": [losses[one] for one in tried]}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, Table(columns))
    if not np.isfinite(list(losses.values())).any():
        raise DivergedError(f"{path.parent.name}: the loss is lost with all of the learning rates {rates}.")
    return min(sorted(losses), key=lambda one: losses[one])


def _next_rate(rates: tuple[float, ...], losses: dict[float, float]) -> float | None:
    """The next rate to try; None at the end of the search."""
    for rate in rates:
        if rate not in losses:
            return rate
    tried = sorted(losses)
    best = min(tried, key=lambda one: losses[one])
    inside = best not in (tried[0], tried[-1])
    if inside or not np.isfinite(losses[best]) or len(tried) == len(rates) + FURTHER:
        return None
    ratio = rates[0] / rates[1] if best == tried[0] else rates[-1] / rates[-2]
    rate = float(f"{best * ratio:.2g}")
    return None if rate in losses else rate
