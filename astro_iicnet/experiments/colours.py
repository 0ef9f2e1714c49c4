"""The networks that look at magnitudes: colours alone, and the image with them."""

from collections.abc import Callable

import numpy as np
from astropy.table import Table

from astro_iicnet.exceptions import DivergedError
from astro_iicnet.experiments.networks import (
    Plan,
    kept,
    load_network,
    make_predictions,
    make_settings,
    run_network,
)
from astro_iicnet.experiments.photometry import BANDS
from astro_iicnet.experiments.rates import search_rate
from astro_iicnet.experiments.run import Run, write_table
from astro_iicnet.training.calibration import fit_temperature
from astro_iicnet.training.fusion import new_fusion_weights
from astro_iicnet.training.magnitudes import (
    MeasuredSources,
    magnitude_logits,
    measure_sources,
    train_on_magnitudes,
)
from astro_iicnet.weights import Weights, new_weights, save_weights


def run_color_network(run: Run, name: str, *, features: str) -> Table:
    """The colour-colour network of the paper's Fig. 16.

    Parameters
    ----------
    run : Run
        Sample, budget and folder.
    name : str
        What the network is called.
    features : {"magnitudes", "colours"}
        See `~astro_iicnet.fusion.networks.ColorNet`.

    Returns
    -------
    `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.
    """

    def make() -> Table:
        def build() -> Weights:
            return new_weights(name, architecture="color", bands=BANDS, seed=run.seed, features=features)

        return _learn(run, name, build, [measure_sources(run.part(rows, BANDS)) for rows in run.split])

    return kept(run, name, make)


def run_fusion_network(run: Run, name: str, image: Plan, color: str) -> Table:
    """The image + colour network of the paper's Fig. 16.

    Its image branch is the trained image network, which stays as it is.

    Parameters
    ----------
    run : Run
        Sample, budget and folder.
    name : str
        What the network is called.
    image : Plan
        An IICnet with W1 to W3.
    color : str
        Name of a colour network of `run_color_network` with magnitudes.

    Returns
    -------
    `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.
    """

    def make() -> Table:
        run_network(run, image)
        run_color_network(run, color, features="magnitudes")
        eye, colour = (load_network(run, one) for one in (image.name, color))

        def build() -> Weights:
            return new_fusion_weights(name, eye, colour, seed=run.seed)

        parts = [run.part(rows, BANDS) for rows in run.split]
        data = [
            measure_sources(part, eye.model, eye.preprocess, device=run.device)  # type: ignore[arg-type]
            for part in parts
        ]
        eye.model.to("cpu")
        return _learn(run, name, build, data)

    return kept(run, name, make)


def _learn(run: Run, name: str, build: Callable[[], Weights], data: list[MeasuredSources]) -> Table:
    """Choose a learning rate, train, test."""
    train, test, validation = data
    rate = _choose_rate(run, name, build, train, validation)
    weights = build()
    settings = make_settings(run, rate)
    history = train_on_magnitudes(weights.model, train, validation, settings)  # type: ignore[arg-type]
    logits = magnitude_logits(weights.model, validation)  # type: ignore[arg-type]
    temperature = fit_temperature(logits, validation.labels.numpy())
    folder = run.folder / "networks" / name
    save_weights(folder / "weights.safetensors", weights, temperature=temperature)
    write_table(folder / "history.ecsv", history)
    predictions = make_predictions(run, magnitude_logits(weights.model, test) / temperature)  # type: ignore[arg-type]
    best = int(np.argmin(history["validation_loss"]))
    predictions.meta = {
        "learning_rate": rate,
        "epochs": len(history),
        "best_epoch": best + 1,
        "validation_accuracy": float(history["validation_accuracy"][best]),
        "temperature": temperature,
    }
    return predictions


def _choose_rate(
    run: Run, name: str, build: Callable[[], Weights], train: MeasuredSources, validation: MeasuredSources
) -> float:
    """As `~astro_iicnet.experiments.networks.choose_rate`, on the same sources."""
    rates = run.budget.rates
    if len(rates) == 1:
        return rates[0]
    rows = np.searchsorted(run.split.train, run.search_rows)
    few = MeasuredSources(*(values[rows] for values in train))

    def loss_of(rate: float) -> float:
        settings = make_settings(run, rate, epochs=1)
        try:
            history = train_on_magnitudes(build().model, few, validation, settings)  # type: ignore[arg-type]
        except DivergedError:
            return float("inf")
        return float(history["validation_loss"][0])

    return search_rate(rates, loss_of, run.folder / "networks" / name / "rates.ecsv")
