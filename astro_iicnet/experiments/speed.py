"""How many sources each method tells apart in a second."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from astropy.table import Table

from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.exceptions import MissingLibraryError
from astro_iicnet.experiments.methods import METHODS, Method
from astro_iicnet.experiments.photometry import BANDS, fit_trees
from astro_iicnet.experiments.rows import make_table
from astro_iicnet.experiments.run import Run
from astro_iicnet.models.device import choose_device, describe_device

SOURCES: dict[str, int] = {"cpu": 256, "cuda": 4096}
"""Number of sources that are told apart in a round, by device."""

ROUNDS = 7
"""Number of rounds."""

_REFERENCE = "mobilenet_v1"


def measure_speed(run: Run) -> dict[str, Table]:
    """Sources per second of all methods, from the same cutouts to probabilities.

    Preprocessing is part of it, and photometry where magnitudes are looked at. All methods take turns,
    after one round that does not count, so that a machine that grows busy slows all of them. The
    networks are untrained, for that changes no speed; they run as
    `~astro_iicnet.classifier.IICnetClassifier` runs them, in float32. Nothing is kept: called again, all
    is measured again.

    Parameters
    ----------
    run : Run
        Its sample and device.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``speed``, one row per method: ``images_per_second`` (median of the rounds), with ``_low`` and
        ``_high`` of the slowest and quickest round; ``ratio_to_mobilenet_v1`` (median of the ratios
        within the rounds); ``device``, ``threads`` and ``precision``.
    """
    device = choose_device(run.device)
    n = SOURCES["cuda" if device.type == "cuda" else "cpu"]
    calls: dict[str, Callable[[], object]] = {}
    notes: dict[str, str] = {}
    for name, method in METHODS.items():
        try:
            calls[name] = _prepare(run, method, n)
        except MissingLibraryError as error:
            notes[name] = f"not measured: {error}"
    for call in calls.values():
        call()
    seconds = np.array([[_time(call) for call in calls.values()] for _ in range(ROUNDS)])
    found = _summarise(list(calls), n / seconds)
    where = describe_device(device) | {"precision": "float32"}
    rows = [found.get(name, {"network": name}) | where for name in METHODS]
    for row in rows:
        if row["network"] in notes:
            row["note"] = notes[row["network"]]
    table = make_table(rows)
    table.meta = {"sources": n, "rounds": ROUNDS, "data": run.about}
    return {"speed": table}


def _prepare(run: Run, method: Method, n: int) -> Callable[[], object]:
    """What is to be timed: from cutouts in the bands of the method to probabilities."""
    rows = np.resize(run.split.test, n)
    if method.build is None:
        trees = fit_trees(run, colours_only=method.colours_only)
        return partial(trees, run.part(rows, BANDS)[0])
    weights = method.build(run.seed)
    device = choose_device(run.device)
    weights.model.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights.preprocess.to(device)
    classifier = IICnetClassifier(device=run.device)
    # In place of weights from a file, which a network that is not trained does not have.
    classifier.weights_ = weights
    return partial(classifier.predict_proba, run.part(rows, weights.bands)[0])


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _summarise(names: list[str], speeds: np.ndarray) -> dict[str, dict[str, Any]]:
    """Rows by name, from (rounds, methods) sources per second."""
    rows = {}
    for index, name in enumerate(names):
        own = speeds[:, index]
        rows[name] = {
            "network": name,
            "images_per_second": float(np.median(own)),
            "images_per_second_low": float(own.min()),
            "images_per_second_high": float(own.max()),
        }
        if _REFERENCE in names:
            ratio = own / speeds[:, names.index(_REFERENCE)]
            rows[name][f"ratio_to_{_REFERENCE}"] = float(np.median(ratio))
    return rows
