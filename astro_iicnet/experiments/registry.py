"""The experiments by name: plain functions from a run to its tables."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

from astro_iicnet.analysis.metrics import bootstrap_intervals, classification_metrics, paired_bootstrap
from astro_iicnet.exceptions import IICnetError, MissingLibraryError, unknown_name
from astro_iicnet.experiments import paper
from astro_iicnet.experiments.budgets import Budget, get_budget
from astro_iicnet.experiments.colours import run_color_network, run_fusion_network
from astro_iicnet.experiments.networks import Plan, load_history, probabilities_of, run_network
from astro_iicnet.experiments.photometry import run_trees, tabulate_cuts
from astro_iicnet.experiments.run import BANDS, Run
from astro_iicnet.labels import CLASSES
from astro_iicnet.models.counting import count_multiply_adds, count_parameters

__all__ = ["EXPERIMENTS", "reproduce"]

IICNET = Plan("iicnet")
PEERS = ("vgg16", "googlenet", "resnet34", "mobilenet_v1", "efficientnet_v2_s", "repvgg")


def compare_networks(run: Run) -> dict[str, Table]:
    """IICnet and the six peers on the same images (Table 3, Fig. 13, Fig. 15a).

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``networks``: accuracies, and sizes beside the paper's; ``learning_curves``: every epoch.
    """
    plans = [IICNET, *(Plan(name, architecture=name) for name in PEERS)]
    rows, curves = [], []
    for plan in plans:
        rows.append(_row(run, plan) | _sizes(run, plan))
        if "note" not in rows[-1]:
            curve = load_history(run, plan)
            curve.meta.clear()
            curve.add_column(np.full(len(curve), plan.name), name="network", index=0)
            curves.append(curve)
    return {"networks": _table(rows), "learning_curves": vstack(curves)}


def measure_iicnet(run: Run) -> dict[str, Table]:
    """Metrics per class and confusion matrix of IICnet (Table 2, Fig. 14, Fig. 18).

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``metrics``, with bootstrap intervals, and ``confusion_matrix`` (row predicted, column true),
        each beside the paper's, which are of its validation set.
    """
    probabilities = probabilities_of(run_network(run, IICNET))
    labels = _test_labels(run)
    found = classification_metrics(labels, probabilities)
    intervals = bootstrap_intervals(labels, probabilities)
    matrix = found.meta.pop("confusion_matrix")
    found.meta["paper_auc"] = "above 0.99 for every class"
    for name, numbers in paper.TABLE_2.items():
        found[f"{name}_low"], found[f"{name}_high"] = intervals[f"{name}_low"], intervals[f"{name}_high"]
        found[f"paper_{name}"] = numbers
    counts = Table({"predicted": list(CLASSES)})
    for index, name in enumerate(CLASSES):
        counts[name] = [row[index] for row in matrix]
        counts[f"paper_{name}"] = [row[index] for row in paper.CONFUSION_MATRIX]
    return {"metrics": found, "confusion_matrix": counts}


def compare_first_kernels(run: Run) -> dict[str, Table]:
    """A first kernel of 5x5 against 3x3 (Fig. 8).

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``first_kernel``.
    """
    small = Plan("iicnet-3x3", options={"first_kernel": 3}, rate_of=IICNET)
    rows = [_row(run, plan) | {"first_kernel": k} for plan, k in ((IICNET, 5), (small, 3))]
    return {"first_kernel": _table(rows)}


def compare_input_sizes(run: Run) -> dict[str, Table]:
    """Accuracy against input size (Fig. 12).

    Parameters
    ----------
    run : Run
        What to work with; its budget has the sizes.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``input_size``.
    """
    plans = [replace(IICNET, name=f"iicnet-{n}px", size=n, rate_of=IICNET) for n in run.budget.sizes]
    plans = sorted([IICNET, *plans], key=lambda plan: plan.size)
    rows = [_row(run, plan) | {"size": plan.size} for plan in plans]
    return {"input_size": _table(rows)}


def compare_bands(run: Run) -> dict[str, Table]:
    """W1 to W4 against W1 to W3 (Fig. 15b).

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``bands``.
    """
    four = Plan("iicnet-four-bands", bands=BANDS, rate_of=IICNET)
    rows = [_row(run, plan) | {"bands": " ".join(plan.bands)} for plan in (IICNET, four)]
    return {"bands": _table(rows)}


def compare_recipes(run: Run) -> dict[str, Table]:
    """The calibrated recipe against the paper's 8-bit pictures.

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``recipes``.
    """
    plans = (IICNET, Plan("iicnet-paper-recipe", recipe="paper"))
    return {"recipes": _table([_row(run, plan) | {"recipe": plan.recipe} for plan in plans])}


def compare_photometry(run: Run) -> dict[str, Table]:
    """The image against magnitudes and colours, and both together (Fig. 16, Fig. 17).

    Parameters
    ----------
    run : Run
        What to work with.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``photometry``: IICnet, boosted trees, colour networks and fusion; ``cuts``: classical colour
        cuts as selections of quasars.
    """
    methods = {
        "trees-colours": run_trees(run, "trees-colours", colours_only=True),
        "trees-photometry": run_trees(run, "trees-photometry", colours_only=False),
        "color": run_color_network(run, "color", features="magnitudes"),
        "colours-only": run_color_network(run, "colours-only", features="colours"),
        "fusion": run_fusion_network(run, "fusion", IICNET, "color"),
    }
    rows = [_row(run, IICNET), *(_scores(run, name, found) for name, found in methods.items())]
    return {"photometry": _table(rows), "cuts": tabulate_cuts(run)}


EXPERIMENTS: dict[str, Callable[[Run], dict[str, Table]]] = {
    "networks": compare_networks,
    "metrics": measure_iicnet,
    "first-kernel": compare_first_kernels,
    "input-size": compare_input_sizes,
    "bands": compare_bands,
    "recipes": compare_recipes,
    "photometry": compare_photometry,
}
"""All experiments; each takes a run and gives its tables by name."""


def reproduce(
    folder: str | os.PathLike[str],
    budget: str | Budget = "smoke",
    *,
    only: Sequence[str] = (),
    seed: int = 1,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Table]:
    """Run the paper's experiments on one simulated sample and write their tables.

    All networks see the same images, split and seed. What is in the folder already is not done
    again: called again with the same budget and seed, an interrupted run goes on with the last epoch
    of its last network, and tables are written afresh from what there is.

    Parameters
    ----------
    folder : path
        Folder for the sample, the networks (weights, history and probabilities of the test set, each
        in ``networks/<name>``) and the tables, one ECSV file each.
    budget : str or Budget, default "smoke"
        How much work: a name of `~astro_iicnet.experiments.budgets.BUDGETS`, or one's own.
    only : sequence of str, default all
        Names of `EXPERIMENTS`.
    seed : int, default 1
        Of the sample, its split, and every network.
    device : str, default "auto"
        A torch device; "auto" is CUDA where there is one, else the CPU.
    progress : bool, default True
        Show progress on stderr.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        The tables by name; each has in ``meta`` what made it. Numbers of the paper are in columns
        that begin with ``paper_``. ``difference`` is the accuracy less that of IICnet on the same
        sources, with a 95 % interval by paired bootstrap. A network whose library is missing has a
        ``note`` that says so, and no numbers.

    Raises
    ------
    IICnetError
        If a name is unknown, or the folder holds a run with another budget or seed.
    """
    for name in only:
        if name not in EXPERIMENTS:
            raise IICnetError(unknown_name("experiment", name, EXPERIMENTS))
    run = Run(Path(folder), get_budget(budget), seed, device, progress)
    run.open()
    tables: dict[str, Table] = {}
    for name, experiment in EXPERIMENTS.items():
        if not only or name in only:
            tables |= {key: run.write(key, table) for key, table in experiment(run).items()}
    return tables


def _test_labels(run: Run) -> np.ndarray:
    return run.labels[run.split.test]


def _row(run: Run, plan: Plan) -> dict[str, Any]:
    """Results of a network, or why there are none."""
    try:
        return _scores(run, plan.name, run_network(run, plan))
    except MissingLibraryError as error:
        return {"network": plan.name, "note": f"not trained: {error}"}


def _scores(run: Run, name: str, predictions: Table) -> dict[str, Any]:
    labels, probabilities = _test_labels(run), probabilities_of(predictions)
    metrics = classification_metrics(labels, probabilities).meta
    row: dict[str, Any] = {"network": name} | {
        key: metrics[key] for key in ("n", "accuracy", "accuracy_low", "accuracy_high", "calibration_error")
    }
    if name == IICNET.name:
        row["paper_accuracy"] = paper.ACCURACY
    else:
        reference = probabilities_of(run_network(run, IICNET))
        difference = paired_bootstrap(labels, probabilities, reference)
        keys = ("difference", "difference_low", "difference_high")
        row |= dict(zip(keys, difference, strict=True))
    return row | {key: value for key, value in predictions.meta.items() if key != "temperature"}


def _sizes(run: Run, plan: Plan) -> dict[str, Any]:
    """Parameters and multiply-adds beside the paper's."""
    parameters, operations = paper.TABLE_3[plan.name]
    row: dict[str, Any] = {"paper_parameters": parameters, "paper_multiply_adds": operations}
    row["paper_size"] = 80 if plan.name == IICNET.name else 224
    try:
        model = plan.build(run.seed).model
    except MissingLibraryError:
        return row
    row["parameters"] = count_parameters(model)
    for size in (80, 224):
        row[f"multiply_adds_{size}"] = count_multiply_adds(model, len(plan.bands), size)
    return row


def _table(rows: list[dict[str, Any]]) -> Table:
    """One row per network; what is not known is masked."""
    table = Table()
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        known = next(value for value in values if value is not None)
        filled = [type(known)() if value is None else value for value in values]
        mask = [value is None for value in values]
        table[name] = MaskedColumn(filled, mask=mask) if any(mask) else filled
    return table
