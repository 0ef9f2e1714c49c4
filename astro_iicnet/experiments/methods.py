"""All that tells galaxies, quasars and stars apart in a run, in one table."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from astro_iicnet.exceptions import MissingLibraryError
from astro_iicnet.experiments import photometry
from astro_iicnet.experiments.colours import run_color_network, run_fusion_network
from astro_iicnet.experiments.networks import Plan, kept, load_network, make_predictions, run_network
from astro_iicnet.experiments.plans import FOUR_BANDS, IICNET, PAPER_RECIPE, PEERS, STUDENT
from astro_iicnet.experiments.rows import TABLE_2, cheap_first, class_table, make_table, run_row
from astro_iicnet.experiments.run import Run
from astro_iicnet.models.counting import count_multiply_adds, count_parameters
from astro_iicnet.models.svm import SVMHead
from astro_iicnet.training.loop import predict_logits
from astro_iicnet.training.svm import fit_svm
from astro_iicnet.weights import Weights, new_weights, save_weights

SVM = "iicnet-svm"
"""What the support vector machine on the features of IICnet is called."""

_SHOWN = (
    *("accuracy", "accuracy_low", "accuracy_high", "difference", "difference_low", "difference_high"),
    *(f"mean_{name}" for name in TABLE_2),
    *("calibration_error", "learning_rate", "epochs", "training_images_per_second", "note"),
)


@dataclass(frozen=True)
class Method:
    """A way to tell the classes apart.

    Parameters
    ----------
    input : str
        What it looks at, in words.
    predict : callable
        Trains it, if that has not been done, and gives its probabilities for the test set.
    build : callable, optional
        From a seed to the network, untrained. Default: it is boosted trees.
    colours_only : bool, default False
        Of these, see `~astro_iicnet.experiments.photometry.fit_trees`.
    """

    input: str
    predict: Callable[[Run], Table]
    build: Callable[[int], Weights] | None = None
    colours_only: bool = False


def run_svm(run: Run) -> Table:
    """A support vector machine on the features of the trained IICnet, fitted to the training set.

    Parameters
    ----------
    run : Run
        Sample, budget and folder.

    Returns
    -------
    `~astropy.table.Table`
        See `~astro_iicnet.experiments.networks.make_predictions`.
    """

    def make() -> Table:
        run_network(run, IICNET)
        cutouts = run.part(run.split.train, IICNET.bands)[0]
        labels = run.labels[run.split.train]
        weights = fit_svm(load_network(run, IICNET.name), cutouts, labels, device=run.device, seed=run.seed)
        asked = run.part(run.split.test, IICNET.bands)[0]
        logits = predict_logits(weights.model, weights.preprocess, asked, device=run.device)
        weights.model.to("cpu")
        save_weights(run.folder / "networks" / SVM / "weights.safetensors", weights, name=SVM)
        return make_predictions(run, logits)

    return kept(run, SVM, make)


def _image(plan: Plan, bands: str = "W1-W3") -> Method:
    return Method(f"{bands}, {plan.size} px", lambda run: run_network(run, plan), plan.build)


def _colour(name: str, features: str, looks_at: str) -> Method:
    def build(seed: int) -> Weights:
        bands = photometry.BANDS
        return new_weights(name, architecture="color", bands=bands, features=features, seed=seed)

    return Method(looks_at, lambda run: run_color_network(run, name, features=features), build)


def _trees(name: str, looks_at: str, colours_only: bool) -> Method:
    def predict(run: Run) -> Table:
        return photometry.run_trees(run, name, colours_only=colours_only)

    return Method(looks_at, predict, colours_only=colours_only)


METHODS: dict[str, Method] = {
    IICNET.name: _image(IICNET),
    PAPER_RECIPE.name: _image(PAPER_RECIPE, "W1-W3 in 8 bits"),
    FOUR_BANDS.name: _image(FOUR_BANDS, "W1-W4"),
    **{name: _image(plan) for name, plan in PEERS.items()},
    "color": _colour("color", "magnitudes", "magnitudes and colours"),
    "colours-only": _colour("colours-only", "colours", "colours"),
    "fusion": Method(
        "W1-W3, 80 px, and magnitudes and colours",
        lambda run: run_fusion_network(run, "fusion", IICNET, "color"),
        lambda seed: new_weights("fusion", architecture="fusion", seed=seed),
    ),
    # Only its speed is that of a machine of this size.
    SVM: Method(
        "W1-W3, 80 px",
        run_svm,
        lambda seed: new_weights(SVM, architecture="iicnet_svm", seed=seed, n_components=16, n_support=2000),
    ),
    "trees-colours": _trees("trees-colours", "colours", True),
    "trees-photometry": _trees("trees-photometry", "magnitudes, colours, fluxes, shape", False),
    STUDENT.name: _image(STUDENT),
}
"""All methods, by name, in the order of the table. Magnitudes are measured from the cutouts."""


def compare_methods(run: Run) -> dict[str, Table]:
    """All methods on the same images, after the same number of epochs.

    The tables are written after each method too: a run that is broken off has all but the last.

    Parameters
    ----------
    run : Run
        What to work with. Images per second are those in its ``speed.ecsv``, if that is there.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``methods``: one row each, see `~astro_iicnet.experiments.rows.score_row`; ``input`` is what it
        looks at, ``own_size`` [px] the input size that it was made for, with ``multiply_adds_own``.
        ``methods_by_class``: three rows each, see `~astro_iicnet.experiments.rows.class_table`.
        ``rates``, where there was a choice: the validation loss with each learning rate that was tried,
        see `~astro_iicnet.experiments.rates.search_rate`.
    """
    speeds = _read_speeds(run)
    rows: dict[str, dict[str, Any]] = {}
    classes: dict[str, Table] = {}
    tables: dict[str, Table] = {}
    for name in cheap_first(METHODS):
        method = METHODS[name]
        found = run_row(run, name, partial(method.predict, run))
        row: dict[str, Any] = {"network": name, "input": method.input}
        row |= {key: found.get(key) for key in _SHOWN}
        rows[name] = row | _costs(run, name, method) | {"images_per_second": speeds.get(name)}
        if "note" not in found:
            classes[name] = class_table(run, method.predict(run))
            classes[name].meta.clear()
            classes[name].add_column(np.full(len(classes[name]), name), name="network", index=0)
        done = [name for name in METHODS if name in rows]
        tables = {
            "methods": make_table([rows[name] for name in done]),
            "methods_by_class": vstack([classes[name] for name in done if name in classes]),
        }
        for key, table in tables.items():
            run.write(key, table)
    rates = _rates(run)
    return tables | ({"rates": make_table(rates)} if rates else {})


def _rates(run: Run) -> list[dict[str, Any]]:
    """Losses of each network that has chosen a learning rate; a column for each rate."""
    files = {name: run.folder / "networks" / name / "rates.ecsv" for name in METHODS}
    tried = {name: Table.read(file) for name, file in files.items() if file.exists()}
    losses = {
        name: dict(zip(table["learning_rate"], table["validation_loss"], strict=True))
        for name, table in tried.items()
    }
    every = sorted({rate for found in losses.values() for rate in found})
    return [
        {"network": name} | {f"{rate:g}": found.get(rate) for rate in every} for name, found in losses.items()
    ]


def _costs(run: Run, name: str, method: Method) -> dict[str, Any]:
    """Size of a network, and its work for a source."""
    # Only its weights tell the size of a support vector machine; kept probabilities may lack them.
    unknown = name == SVM and not (run.folder / "networks" / SVM / "weights.safetensors").exists()
    if method.build is None or unknown:
        return {}
    try:
        weights = load_network(run, SVM) if name == SVM else method.build(run.seed)
    except MissingLibraryError:
        return {}
    model, n_bands, inputs = weights.model, len(weights.bands), weights.inputs
    # The arrays of a support vector machine are not trained by gradient, and so no parameters of torch.
    heads = [layer for layer in model.modules() if isinstance(layer, SVMHead)]
    row: dict[str, Any] = {
        "parameters": count_parameters(model) + sum(a.numel() for head in heads for a in head.buffers()),
        "multiply_adds_80": count_multiply_adds(model, n_bands, 80, inputs=inputs),
    }
    if "image" in inputs:
        size = 224 if name in PEERS else weights.preprocess.recipe.size
        row["own_size"] = size
        row["multiply_adds_own"] = count_multiply_adds(model, n_bands, size, inputs=inputs)
    return row


def _read_speeds(run: Run) -> dict[str, float]:
    path = run.folder / "speed.ecsv"
    if not path.exists():
        return {}
    rows = Table.read(path)["network", "images_per_second"]
    return {str(row["network"]): row["images_per_second"] for row in rows if row["images_per_second"]}
