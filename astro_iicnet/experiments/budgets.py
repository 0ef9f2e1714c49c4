"""How much work the experiments may be."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from astro_iicnet.exceptions import IICnetError, unknown_name

PAPER_CLASS_SIZES = (7298, 7215, 7223)
"""Galaxies, quasars and stars of the paper's sample (its Table 1)."""


@dataclass(frozen=True)
class Budget:
    """Sample, training and variants of one run of the experiments.

    Parameters
    ----------
    name : str
        What the budget is called.
    class_sizes : tuple of int
        Galaxies, quasars and stars to simulate, split 8:1:1; not used with data of one's own.
    preset : {"one-cycle", "paper"}
        See `~astro_iicnet.training.settings.TrainingSettings.preset`.
    epochs : int
        Passes over the training set, for every network.
    rates : tuple of float
        Learning rates to begin the search with, from low to high, see
        `~astro_iicnet.experiments.rates.search_rate`; with one there is no search.
    search_sources : int
        Number of sources, drawn from the training set, on which each rate is tried for one epoch;
        the same for every network.
    sizes : tuple of int
        Input sizes to compare, without the 80 px of all other networks [px].
    """

    name: str
    class_sizes: tuple[int, int, int]
    preset: str
    epochs: int
    rates: tuple[float, ...]
    search_sources: int
    sizes: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data.

        Returns
        -------
        dict
            Field name to value, ready for JSON.
        """
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


BUDGETS: dict[str, Budget] = {
    "smoke": Budget("smoke", (100, 100, 100), "one-cycle", 1, (2e-3,), 100, (64, 128)),
    "cpu": Budget("cpu", PAPER_CLASS_SIZES, "one-cycle", 3, (1e-4, 5e-4, 2e-3), 4000, (64, 96, 128)),
    "gpu": Budget(
        "gpu",
        PAPER_CLASS_SIZES,
        "paper",
        200,
        (5e-5, 1e-4, 3e-4),
        17_388,
        (64, 72, 88, 96, 104, 112, 120, 128),
    ),
}
"""The budgets by name.

"smoke" shows in minutes that all runs; its accuracies mean nothing. "cpu" gives every network three
epochs of the one-cycle schedule, "gpu" the paper's 200 epochs of Adam, both on the paper's class
sizes. The search for the learning rate of "gpu" has the whole training set.
"""


def get_budget(budget: str | Budget, epochs: int | None = None) -> Budget:
    """Find a budget by name.

    Parameters
    ----------
    budget : str or Budget
        One of `BUDGETS`, or one's own.
    epochs : int, optional
        In place of the budget's own.

    Returns
    -------
    Budget
        The budget.

    Raises
    ------
    IICnetError
        If there is no such budget, or an epoch is not to be had.
    """
    if isinstance(budget, str):
        if budget not in BUDGETS:
            raise IICnetError(unknown_name("budget", budget, BUDGETS))
        budget = BUDGETS[budget]
    if epochs is None:
        return budget
    if epochs < 1:
        raise IICnetError(f"epochs={epochs!r}: expected at least 1.")
    return replace(budget, epochs=epochs)
