"""The networks that look at magnitudes: colours alone, and the image with them."""

from collections.abc import Callable

import numpy as np
from astropy.table import Table

from astro_iicnet.experiments.networks import Plan, kept, make_predictions, run_network
from astro_iicnet.experiments.photometry import BANDS
from astro_iicnet.experiments.run import Run, write_table
from astro_iicnet.training.calibration import fit_temperature
from astro_iicnet.training.magnitudes import (
    MeasuredSources,
    magnitude_logits,
    measure_sources,
    train_on_magnitudes,
)
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.weights.load import Weights, load_weights, new_weights, save_weights


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
        folder = run.folder / "networks"
        eye, colour = (load_weights(folder / one / "weights.safetensors") for one in (image.name, color))

        def build() -> Weights:
            weights = new_weights(name, architecture="fusion", bands=BANDS, size=image.size, seed=run.seed)
            weights.model.start_from(eye.model, colour.model)  # type: ignore[operator]
            return weights

        parts = [run.part(rows, BANDS) for rows in run.split]
        data = [
            measure_sources(part, eye.model, eye.preprocess, device=run.device)  # type: ignore[arg-type]
            for part in parts
        ]
        eye.model.to("cpu")
        return _learn(run, name, build, data)

    return kept(run, name, make)


def _learn(run: Run, name: str, build: Callable[[], Weights], data: list[MeasuredSources]) -> Table:
    """Train with each learning rate in full, for it costs little, and keep the best."""
    train, test, validation = data
    trained = []
    for rate in run.budget.rates:
        weights = build()
        settings = TrainingSettings.preset(
            "one-cycle", epochs=run.budget.epochs, learning_rate=rate, batch_size=256, seed=run.seed
        )
        history = train_on_magnitudes(weights.model, train, validation, settings)  # type: ignore[arg-type]
        trained.append((float(np.min(history["validation_loss"])), rate, weights, history))
    _, rate, weights, history = min(trained, key=lambda one: one[0])
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
