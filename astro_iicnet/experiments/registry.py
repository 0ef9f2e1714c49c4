"""The experiments by name: plain functions from a run to its tables."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from astro_iicnet.exceptions import IICnetError, IICnetWarning, unknown_name
from astro_iicnet.experiments import paper
from astro_iicnet.experiments.budgets import Budget, get_budget
from astro_iicnet.experiments.colours import run_color_network, run_fusion_network
from astro_iicnet.experiments.methods import compare_methods
from astro_iicnet.experiments.networks import Plan, load_history, probabilities_of, run_network
from astro_iicnet.experiments.photometry import run_trees, tabulate_cuts
from astro_iicnet.experiments.plans import FOUR_BANDS, IICNET, PAPER_RECIPE, PEERS
from astro_iicnet.experiments.rows import (
    cheap_first,
    class_table,
    compared_sizes,
    make_table,
    network_row,
    score_row,
)
from astro_iicnet.experiments.run import Run
from astro_iicnet.experiments.speed import measure_speed
from astro_iicnet.labels import CLASSES

__all__ = ["EXPERIMENTS", "reproduce"]


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
    plans = {IICNET.name: IICNET} | PEERS
    found = {name: network_row(run, plans[name]) for name in cheap_first(plans)}
    rows, curves = [], []
    for name, plan in plans.items():
        rows.append(found[name] | compared_sizes(run, plan))
        if "note" not in found[name]:
            curve = load_history(run, plan)
            curve.meta.clear()
            curve.add_column(np.full(len(curve), name), name="network", index=0)
            curves.append(curve)
    return {"networks": make_table(rows), "learning_curves": vstack(curves)}


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
    found = class_table(run, run_network(run, IICNET))
    matrix = found.meta.pop("confusion_matrix")
    found.meta["paper_auc"] = "above 0.99 for every class"
    for name, numbers in paper.TABLE_2.items():
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
    rows = [network_row(run, plan) | {"first_kernel": k} for plan, k in ((IICNET, 5), (small, 3))]
    return {"first_kernel": make_table(rows)}


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
    rows = [network_row(run, plan) | {"size": plan.size} for plan in plans]
    return {"input_size": make_table(rows)}


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
    rows = [network_row(run, plan) | {"bands": " ".join(plan.bands)} for plan in (IICNET, FOUR_BANDS)]
    return {"bands": make_table(rows)}


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
    rows = [network_row(run, plan) | {"recipe": plan.recipe} for plan in (IICNET, PAPER_RECIPE)]
    return {"recipes": make_table(rows)}


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
        cuts as selections of quasars, see `~astro_iicnet.experiments.photometry.tabulate_cuts`.
    """
    methods = {
        "trees-colours": run_trees(run, "trees-colours", colours_only=True),
        "trees-photometry": run_trees(run, "trees-photometry", colours_only=False),
        "color": run_color_network(run, "color", features="magnitudes"),
        "colours-only": run_color_network(run, "colours-only", features="colours"),
        "fusion": run_fusion_network(run, "fusion", IICNET, "color"),
    }
    rows = [network_row(run, IICNET), *(score_row(run, name, found) for name, found in methods.items())]
    cuts = tabulate_cuts(run, probabilities_of(run_network(run, IICNET)))
    return {"photometry": make_table(rows), "cuts": cuts}


EXPERIMENTS: dict[str, Callable[[Run], dict[str, Table]]] = {
    "metrics": measure_iicnet,
    "recipes": compare_recipes,
    "bands": compare_bands,
    "photometry": compare_photometry,
    "first-kernel": compare_first_kernels,
    "input-size": compare_input_sizes,
    "speed": measure_speed,
    "methods": compare_methods,
    "networks": compare_networks,
}
"""All experiments, those that need the peers last; each takes a run and gives its tables by name."""


def reproduce(
    folder: str | os.PathLike[str],
    budget: str | Budget = "smoke",
    *,
    data: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    only: Sequence[str] = (),
    seed: int = 1,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Table]:
    """Run the paper's experiments on one sample and write their tables.

    All networks see the same images, split and seed. What is in the folder already is not done
    again: called again with the same budget and seed, an interrupted run goes on with the last epoch
    of its last network, and tables are written afresh from what there is. Speed alone is measured
    again each time.

    Parameters
    ----------
    folder : path
        Folder for the sample, the networks (weights, history and probabilities of the test set, each
        in ``networks/<name>``), the tables, one ECSV file each, and the figures (``figures``).
    budget : str or Budget, default "smoke"
        How much work: a name of `~astro_iicnet.experiments.budgets.BUDGETS`, or one's own.
    data : path, optional
        Labelled cutouts in W1 to W4, see `~astro_iicnet.training.datasets.write_dataset`. Default: a
        simulated sample of the budget's class sizes.
    epochs : int, optional
        Passes over the training set, in place of those of the budget.
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
        sources; both have 95 % intervals by bootstrap. A network whose library is missing has a
        ``note`` that says so, and no numbers.

    Raises
    ------
    IICnetError
        If a name is unknown, the data cannot be used, or the folder holds a run with other data, budget,
        epochs or seed.
    """
    for name in only:
        if name not in EXPERIMENTS:
            raise IICnetError(unknown_name("experiment", name, EXPERIMENTS))
    file = None if data is None else Path(data)
    run = Run(Path(folder), get_budget(budget, epochs), seed, device, progress, file)
    run.open()
    tables: dict[str, Table] = {}
    for name, experiment in EXPERIMENTS.items():
        if not only or name in only:
            tables |= {key: run.write(key, table) for key, table in experiment(run).items()}
    _draw(run, tables)
    return tables


def _draw(run: Run, tables: dict[str, Table]) -> None:
    """Figures, where there is something to draw with."""
    try:
        from astro_iicnet.experiments.figures import draw_figures
    except ModuleNotFoundError as error:
        message = f"No figures: {error.name} is missing: pip install 'astro_iicnet[analysis]'."
        warnings.warn(message, IICnetWarning, stacklevel=3)
        return
    draw_figures(run, tables)
