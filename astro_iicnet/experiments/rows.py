"""Rows of the tables: what a method achieves, and what it costs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from astro_iicnet.analysis.metrics import bootstrap_intervals, classification_metrics, paired_bootstrap
from astro_iicnet.exceptions import MissingLibraryError
from astro_iicnet.experiments import paper
from astro_iicnet.experiments.networks import Plan, probabilities_of, run_network
from astro_iicnet.experiments.plans import CHEAP_FIRST, IICNET
from astro_iicnet.experiments.run import Run
from astro_iicnet.models.counting import count_multiply_adds, count_parameters

TABLE_2 = ("precision", "recall", "specificity", "f1")
"""Metrics of the paper's Table 2, beside accuracy."""


def run_row(run: Run, name: str, make: Callable[[], Table]) -> dict[str, Any]:
    """Results of a method, or why there are none.

    Parameters
    ----------
    run : Run
        What to work with.
    name : str
        What the method is called.
    make : callable
        Trains it and gives its probabilities for the test set, see
        `~astro_iicnet.experiments.networks.make_predictions`.

    Returns
    -------
    dict
        As `score_row`; ``note`` instead where a library is missing.
    """
    try:
        return score_row(run, name, make())
    except MissingLibraryError as error:
        return {"network": name, "note": f"not trained: {error}"}


def network_row(run: Run, plan: Plan) -> dict[str, Any]:
    """Results of a network, or why there are none.

    Parameters
    ----------
    run : Run
        What to work with.
    plan : Plan
        The network; it is trained if that has not been done.

    Returns
    -------
    dict
        See `run_row`.
    """
    return run_row(run, plan.name, lambda: run_network(run, plan))


def score_row(run: Run, name: str, predictions: Table) -> dict[str, Any]:
    """Results of a method for the test set.

    Parameters
    ----------
    run : Run
        What to work with.
    name : str
        What the method is called.
    predictions : `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.

    Returns
    -------
    dict
        ``network``, ``n``, ``accuracy``, ``difference`` (accuracy less that of IICnet on the same
        sources), the two with 95 % intervals by bootstrap, means of the classes of `TABLE_2`,
        ``calibration_error``, and what ``predictions.meta`` says of the training.
    """
    labels, probabilities = run.labels[run.split.test], probabilities_of(predictions)
    metrics = classification_metrics(labels, probabilities)
    interval = bootstrap_intervals(labels, probabilities).meta
    row: dict[str, Any] = {"network": name} | {key: metrics.meta[key] for key in ("n", "accuracy")}
    row |= {key: interval[key] for key in ("accuracy_low", "accuracy_high")}
    if name == IICNET.name:
        row["paper_accuracy"] = paper.ACCURACY
    else:
        reference = probabilities_of(run_network(run, IICNET))
        difference = paired_bootstrap(labels, probabilities, reference)
        keys = ("difference", "difference_low", "difference_high")
        row |= dict(zip(keys, difference, strict=True))
    row |= {f"mean_{key}": float(np.mean(metrics[key])) for key in TABLE_2}
    row["calibration_error"] = metrics.meta["calibration_error"]
    return row | {key: value for key, value in predictions.meta.items() if key != "temperature"}


def class_table(run: Run, predictions: Table) -> Table:
    """Metrics of a method per class, with bootstrap intervals.

    Parameters
    ----------
    run : Run
        What to work with.
    predictions : `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.

    Returns
    -------
    `~astropy.table.Table`
        As `~astro_iicnet.analysis.metrics.classification_metrics`; each metric that has an interval
        with ``<metric>_low`` and ``<metric>_high`` beside it.
    """
    labels, probabilities = run.labels[run.split.test], probabilities_of(predictions)
    found = classification_metrics(labels, probabilities)
    intervals = bootstrap_intervals(labels, probabilities)
    for name in (*TABLE_2, "accuracy"):
        after = found.colnames.index(name) + 1
        columns = [intervals[f"{name}_low"], intervals[f"{name}_high"]]
        found.add_columns(columns, indexes=[after, after])
    return found


def compared_sizes(run: Run, plan: Plan) -> dict[str, Any]:
    """Parameters and multiply-adds of a network of the paper's Table 3, beside the paper's.

    Parameters
    ----------
    run : Run
        What to work with.
    plan : Plan
        The network.

    Returns
    -------
    dict
        ``paper_parameters``, ``paper_multiply_adds``, ``paper_size`` [px]; and, where its library is
        there, ``parameters``, ``multiply_adds_80`` and ``multiply_adds_224``.
    """
    parameters, operations = paper.TABLE_3[plan.name]
    row: dict[str, Any] = {"paper_parameters": parameters, "paper_multiply_adds": operations}
    row["paper_size"] = paper.SIZES[plan.name]
    try:
        model = plan.build(run.seed).model
    except MissingLibraryError:
        return row
    row["parameters"] = count_parameters(model)
    for size in (80, 224):
        row[f"multiply_adds_{size}"] = count_multiply_adds(model, len(plan.bands), size)
    return row


def cheap_first(names: Iterable[str]) -> list[str]:
    """Put methods in the order in which to train them.

    Parameters
    ----------
    names : iterable of str
        What they are called.

    Returns
    -------
    list of str
        The same; the peers last, as in `~astro_iicnet.experiments.plans.CHEAP_FIRST`.
    """
    return sorted(names, key=lambda name: CHEAP_FIRST.index(name) + 1 if name in CHEAP_FIRST else 0)


def make_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Put rows together; what is not known is masked.

    Parameters
    ----------
    rows : sequence of dict
        Column name to value, or None, one dict per row.

    Returns
    -------
    `~astropy.table.Table`
        With all columns that are known in any of them.
    """
    table = Table()
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        known = next((value for value in values if value is not None), None)
        if known is None:
            continue
        filled = [type(known)() if value is None else value for value in values]
        mask = [value is None for value in values]
        table[name] = MaskedColumn(filled, mask=mask) if any(mask) else filled
    return table
