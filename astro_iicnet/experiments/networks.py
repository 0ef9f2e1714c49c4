"""Networks that look at images: choose a rate, train, test; each once, and kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import ArrayLike

from astro_iicnet.exceptions import DivergedError, IICnetError
from astro_iicnet.experiments.rates import search_rate
from astro_iicnet.experiments.run import Run, write_table
from astro_iicnet.labels import CLASSES
from astro_iicnet.models.device import choose_device
from astro_iicnet.training.calibration import fit_temperature
from astro_iicnet.training.distillation import Teacher
from astro_iicnet.training.loop import predict_logits, train
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.weights.load import Weights, load_weights, new_weights, save_weights


@dataclass(frozen=True)
class Plan:
    """A network to be trained on the sample.

    Parameters
    ----------
    name : str
        What it is called in tables and on disk.
    architecture : str, default "iicnet"
        See `~astro_iicnet.models.ARCHITECTURES`.
    bands : tuple of str, default W1 to W3
        What it looks at.
    recipe : str, default "calibrated"
        See `~astro_iicnet.preprocessing.RECIPES`.
    size : int, default 80
        Input size [px].
    options : mapping, default empty
        Further options of the architecture.
    rate_of : Plan, optional
        Take the learning rate that was chosen for that network: what varies is then the network
        alone. Default: choose one.
    teacher : Plan, optional
        A network whose probabilities it learns beside the labels; that is trained first. Default:
        none.
    """

    name: str
    architecture: str = "iicnet"
    bands: tuple[str, ...] = ("W1", "W2", "W3")
    recipe: str = "calibrated"
    size: int = 80
    options: Mapping[str, Any] = field(default_factory=dict)
    rate_of: "Plan | None" = None
    teacher: "Plan | None" = None

    def build(self, seed: int) -> Weights:
        """Make the network, untrained.

        Parameters
        ----------
        seed : int
            Of its random numbers.

        Returns
        -------
        Weights
            Network and preprocessing.

        Raises
        ------
        MissingLibraryError
            If the library that it comes from is not installed.
        """
        return new_weights(
            self.name,
            architecture=self.architecture,
            bands=self.bands,
            recipe=self.recipe,
            size=self.size,
            seed=seed,
            **self.options,
        )


def run_network(run: Run, plan: Plan) -> Table:
    """Probabilities of a network for the test set; it is trained if that has not been done.

    An interrupted training goes on with its last epoch. Beside the probabilities are kept the
    weights (``weights.safetensors``), the history of the training and that of the choice of rate.

    Parameters
    ----------
    run : Run
        Sample, budget and folder.
    plan : Plan
        The network.

    Returns
    -------
    `~astropy.table.Table`
        One row per source of the test set, see `make_predictions`; ``meta`` has ``learning_rate``,
        ``epochs``, ``best_epoch``, ``validation_accuracy`` (at the best epoch), ``temperature``,
        ``device`` and ``training_images_per_second``.

    Raises
    ------
    MissingLibraryError
        If the library that the network comes from is not installed.
    """
    folder = run.folder / "networks" / plan.name
    result = folder / "test.ecsv"
    if result.exists():
        return read_predictions(run, result)
    weights = plan.build(run.seed)
    folder.mkdir(parents=True, exist_ok=True)
    if plan.teacher is not None:
        run_network(run, plan.teacher)
    rate = choose_rate(run, plan)
    state = folder / "training.state"
    settings = make_settings(run, rate)
    history = _train(run, plan, weights, settings, run.split.train, state)
    write_table(folder / "history.ecsv", history)
    predictions = _test(run, plan, weights, history)
    data = f"{len(run.split.train)} sources: {run.about}, budget {run.budget.name}, seed {run.seed}"
    taught = "" if plan.teacher is None else f", and what {plan.teacher.name} says of them"
    save_weights(
        folder / "weights.safetensors",
        weights,
        temperature=predictions.meta["temperature"],
        training_data=data + taught,
    )
    write_table(result, predictions)
    for path in (state, state.with_suffix(".ecsv")):
        path.unlink(missing_ok=True)
    return predictions


def choose_rate(run: Run, plan: Plan) -> float:
    """Learning rate of lowest validation loss after one epoch on the same few sources for all networks.

    See `~astro_iicnet.experiments.rates.search_rate`.

    Parameters
    ----------
    run : Run
        Its budget has the rates to begin with, and the number of sources.
    plan : Plan
        The network.

    Returns
    -------
    float
        The rate; a rate with which the loss is lost is not chosen.

    Raises
    ------
    DivergedError
        If that is so with all of them.
    """
    if plan.rate_of is not None:
        return choose_rate(run, plan.rate_of)
    rates = run.budget.rates
    if len(rates) == 1:
        return rates[0]
    folder = run.folder / "networks" / plan.name
    return search_rate(rates, lambda rate: _short_loss(run, plan, rate), folder / "rates.ecsv")


def make_settings(run: Run, rate: float, epochs: int | None = None) -> TrainingSettings:
    """How the networks of a run are trained.

    Parameters
    ----------
    run : Run
        Its budget has preset and epochs.
    rate : float
        The learning rate.
    epochs : int, optional
        Other than the budget's.

    Returns
    -------
    TrainingSettings
        For the training.
    """
    epochs = run.budget.epochs if epochs is None else epochs
    return TrainingSettings.preset(run.budget.preset, epochs=epochs, learning_rate=rate, seed=run.seed)


def load_history(run: Run, plan: Plan) -> Table:
    """The history of a training that is over.

    Parameters
    ----------
    run : Run
        Where it is.
    plan : Plan
        The network.

    Returns
    -------
    `~astropy.table.Table`
        See `~astro_iicnet.training.loop.HISTORY_COLUMNS`.
    """
    return Table.read(run.folder / "networks" / plan.name / "history.ecsv")


def load_network(run: Run, name: str) -> Weights:
    """The weights of a training that is over.

    Parameters
    ----------
    run : Run
        Where they are.
    name : str
        What the network is called.

    Returns
    -------
    Weights
        Network and preprocessing, on the CPU.

    Raises
    ------
    WeightsError
        If there are none.
    """
    return load_weights(run.folder / "networks" / name / "weights.safetensors")


def kept(run: Run, name: str, make: Callable[[], Table]) -> Table:
    """Probabilities of a method for the test set; it is fitted if that has not been done.

    Parameters
    ----------
    run : Run
        Where they are kept.
    name : str
        What the method is called.
    make : callable
        Fits it and gives them.

    Returns
    -------
    `~astropy.table.Table`
        See `make_predictions`.
    """
    path = run.folder / "networks" / name / "test.ecsv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, make())
    return read_predictions(run, path)


def read_predictions(run: Run, path: Path) -> Table:
    """Probabilities that were kept, perhaps by another machine.

    Parameters
    ----------
    run : Run
        Its test set must be the one that they are of.
    path : pathlib.Path
        The file.

    Returns
    -------
    `~astropy.table.Table`
        See `make_predictions`.

    Raises
    ------
    IICnetError
        If they are of other sources.
    """
    found = Table.read(path)
    expected = make_predictions(run, np.zeros((len(run.split.test), 3)))
    if len(found) != len(expected) or any((found[key] != expected[key]).any() for key in ("row", "class")):
        raise IICnetError(
            f"{path} holds probabilities of other sources than the test set of seed {run.seed}: remove it."
        )
    return found


def make_predictions(run: Run, logits: ArrayLike) -> Table:
    """Table of probabilities for the test set.

    Parameters
    ----------
    run : Run
        Its test set.
    logits : array-like
        (N, 3) logits, after the temperature.

    Returns
    -------
    `~astropy.table.Table`
        N rows: ``row`` in the sample, ``class`` (true) and ``p_galaxy``, ``p_quasar``, ``p_star``, of
        six decimals, which keeps the files small.
    """
    values = np.asarray(logits, dtype=np.float64)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    probabilities = np.round(powers / powers.sum(axis=1, keepdims=True), 6)
    names = np.array(CLASSES)[run.labels[run.split.test]]
    columns = {f"p_{name}": probabilities[:, k] for k, name in enumerate(CLASSES)}
    return Table({"row": run.split.test, "class": names, **columns})


def probabilities_of(predictions: Table) -> np.ndarray:
    """The probabilities in a table of `make_predictions`.

    Parameters
    ----------
    predictions : `~astropy.table.Table`
        The table.

    Returns
    -------
    numpy.ndarray
        (N, 3).
    """
    return np.stack([np.asarray(predictions[f"p_{name}"]) for name in CLASSES], axis=1)


def _short_loss(run: Run, plan: Plan, rate: float) -> float:
    settings = make_settings(run, rate, epochs=1)
    try:
        history = _train(run, plan, plan.build(run.seed), settings, run.search_rows)
    except DivergedError:
        return float("inf")
    return float(np.min(history["validation_loss"]))


def _train(
    run: Run,
    plan: Plan,
    weights: Weights,
    settings: TrainingSettings,
    rows: np.ndarray,
    state: Path | None = None,
) -> Table:
    teacher = None
    if plan.teacher is not None:
        teacher = Teacher(load_network(run, plan.teacher.name), device=run.device)
    return train(
        weights.model,
        weights.preprocess,
        run.part(rows, plan.bands),
        run.part(run.split.validation, plan.bands),
        settings,
        teacher=teacher,
        checkpoint=state,
        device=run.device,
        progress=run.progress,
    )


def _test(run: Run, plan: Plan, weights: Weights, history: Table) -> Table:
    """Calibrate on the validation set, predict the test set."""
    network = weights.model, weights.preprocess
    logits = {
        name: predict_logits(*network, run.part(rows, plan.bands)[0], device=run.device)
        for name, rows in (("validation", run.split.validation), ("test", run.split.test))
    }
    temperature = fit_temperature(logits["validation"], run.labels[run.split.validation])
    predictions = make_predictions(run, logits["test"] / temperature)
    best = history.meta["best_epoch"]
    predictions.meta = {
        "learning_rate": history.meta["settings"]["learning_rate"],
        "epochs": len(history),
        "best_epoch": best,
        "validation_accuracy": float(history["validation_accuracy"][best - 1]),
        "temperature": temperature,
        "device": choose_device(run.device).type,
        "training_images_per_second": round(len(run.split.train) / float(np.median(history["seconds"])), 1),
    }
    return predictions
