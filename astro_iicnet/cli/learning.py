"""The verbs around training: ``simulate``, ``train`` and ``evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astro_iicnet.cli._files import check_writable
from astro_iicnet.labels import CLASSES

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table

    from astro_iicnet.cutouts.base import Cutouts
    from astro_iicnet.training.settings import TrainingSettings
    from astro_iicnet.weights import Weights

_FILE = click.Path(path_type=Path)


def _bands(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    from astro_iicnet.allwise.bands import BANDS
    from astro_iicnet.exceptions import unknown_name

    if value is None:
        return None
    bands = tuple(band.strip().upper() for band in value.split(","))
    for band in bands:
        if band not in BANDS:
            raise click.BadParameter(unknown_name("band", band, BANDS))
    if len(set(bands)) < len(bands):
        raise click.BadParameter(f"{value!r} names a band twice.")
    return bands


@click.command()
@click.argument("n", type=click.IntRange(min=1))
@click.option("-o", "--output", type=_FILE, required=True, help="FITS file to write.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is drawn."
)
@click.option(
    "--bands", callback=_bands, default="W1,W2,W3", show_default=True, help="Bands, as in W1,W2,W3,W4."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def simulate(
    n: int, output: Path, seed: int, bands: tuple[str, ...], workers: int | None, overwrite: bool
) -> None:
    """Simulate N labelled cutouts, as many of each class.

    \b
    Example:
      astro-iicnet simulate 10000 -o simulated.fits --seed 1
    """
    from astro_iicnet.training.datasets import write_dataset
    from astro_iicnet.training.simulated import simulate_dataset

    check_writable(output, overwrite)
    cutouts, table = simulate_dataset(n, seed=seed, bands=bands, workers=workers)
    write_dataset(output, cutouts, table)
    click.echo(f"{output}: {n} simulated sources in {', '.join(cutouts.bands)}", err=True)


@click.command()
@click.argument("dataset", type=_FILE)
@click.option(
    "-o", "--output", type=_FILE, required=True, help="Weights file to write, as in my.safetensors."
)
@click.option(
    "--from", "start", metavar="NAME|FILE", help="Weights to start from.  [default: none, from scratch]"
)
@click.option(
    "--teacher", metavar="NAME|FILE", help="Weights whose probabilities are learnt beside the labels."
)
@click.option("--preset", default="one-cycle", show_default=True, help='"one-cycle" or "paper".')
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the data.  [default: of the preset]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Highest learning rate.  [default: of the preset]",
)
@click.option("--recipe", help='Preprocessing: "calibrated" or "paper".  [default: calibrated]')
@click.option(
    "--size", type=click.IntRange(32, 128), help="Input pixels on a side.  [default: 80; 36 of the student]"
)
@click.option("--bands", callback=_bands, help="Bands, as in W1,W2,W3.  [default: those of the dataset]")
@click.option("--architecture", help='Network: "iicnet", "student" or a peer.  [default: iicnet]')
@click.option(
    "--first-kernel", type=click.Choice(["5", "3"]), help="First convolution of iicnet.  [default: 5]"
)
@click.option(
    "--flux-jitter",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Largest change of a source's brightness in training [mag]: an ablation.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of split, start and order."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--resume", is_flag=True, help="Go on with the training that left OUTPUT.state.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def train(
    dataset: Path,
    output: Path,
    start: str | None,
    teacher: str | None,
    preset: str,
    epochs: int | None,
    learning_rate: float | None,
    recipe: str | None,
    size: int | None,
    bands: tuple[str, ...] | None,
    architecture: str | None,
    first_kernel: str | None,
    flux_jitter: float,
    seed: int,
    device: str,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Train a network on labelled cutouts.

    DATASET is a file of 'astro-iicnet simulate' or 'astro-iicnet dataset build'. Where its
    sources do not say to which part they belong, it is split 8:1:1 into training, test and
    validation, class by class; the probabilities are calibrated on the validation set and the
    accuracy is that of the test set. The state after each epoch is in OUTPUT.state, which goes
    when the training is over.

    With --from, network and preprocessing are those of the weights to start from, and a tenth of
    the learning rate is a first guess.

    \b
    Example:
      astro-iicnet train simulated.fits -o my.safetensors --epochs 20
      astro-iicnet train my.fits -o tuned.safetensors --from iicnet-sim-v3 --learning-rate 2e-4
      astro-iicnet train simulated.fits -o small.safetensors --size 64 --first-kernel 3
      astro-iicnet train simulated.fits -o quick.safetensors --architecture student --teacher iicnet-sim-v3
      astro-iicnet classify coords.csv --images simulated --weights my.safetensors
    """
    from astro_iicnet.training.settings import TrainingSettings

    check_writable(output, overwrite)
    state = output.with_name(output.name + ".state")
    if state.exists() and not resume:
        raise click.UsageError(f"{state} holds a training that was not finished: say --resume, or remove it.")
    given = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed, "flux_jitter": flux_jitter}
    settings = TrainingSettings.preset(preset, **_said(given))
    kernel = None if first_kernel is None else int(first_kernel)
    network = {"architecture": architecture, "recipe": recipe, "size": size, "first_kernel": kernel}
    metrics = _train(
        dataset, output, start, teacher, bands, _said(network), settings, state, device, not quiet
    )
    state.unlink(missing_ok=True)
    state.with_suffix(".ecsv").replace(output.with_suffix(".history.ecsv"))
    click.echo(f"{output}: accuracy {metrics['accuracy']:.4f} on {metrics['n']} test sources", err=True)


def _said(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _train(
    dataset: Path,
    output: Path,
    start: str | None,
    teacher: str | None,
    bands: tuple[str, ...] | None,
    network: dict[str, Any],
    settings: "TrainingSettings",
    state: Path,
    device: str,
    progress: bool,
) -> dict[str, float]:
    """Split, train, calibrate, test, write."""
    import numpy as np

    from astro_iicnet.training.calibration import fit_temperature
    from astro_iicnet.training.datasets import class_labels
    from astro_iicnet.training.distillation import Teacher
    from astro_iicnet.training.loop import predict_logits, train
    from astro_iicnet.weights import load_weights, save_weights

    parts = _read_parts(dataset, bands, settings.seed)
    cutouts, table = parts["train"]
    survey = str(table.meta.get("survey", "allwise-atlas"))
    weights = _first_weights(start, output.stem, cutouts.bands, survey, network, settings.seed)
    modules = weights.model, weights.preprocess
    taught_by = None
    if teacher is not None:
        taught_by = Teacher(load_weights(teacher), bands=cutouts.bands, device=device)
    history = train(
        *modules,
        parts["train"],
        parts["validation"],
        settings,
        teacher=taught_by,
        checkpoint=state,
        device=device,
        progress=progress,
    )
    labels = {name: class_labels(part[1]) for name, part in parts.items()}
    logits = {
        name: predict_logits(*modules, parts[name][0], device=device) for name in ("validation", "test")
    }
    right = logits["test"].argmax(axis=1) == labels["test"]
    metrics = {"n": len(right), "accuracy": float(right.mean())}
    about = f"{len(table)} sources of {dataset.name}, {len(history)} epochs"
    save_weights(
        output,
        weights,
        temperature=fit_temperature(logits["validation"], labels["validation"]),
        training_fractions=(np.bincount(labels["train"]) / len(table)).tolist(),
        training_data=about + (f", taught by {taught_by.name}" if taught_by else ""),
        metrics={"test set": metrics},
    )
    return metrics


def _read_parts(
    dataset: Path, bands: tuple[str, ...] | None, seed: int
) -> "dict[str, tuple[Cutouts, Table]]":
    """Usable sources of a dataset for training, test and validation."""
    import numpy as np

    from astro_iicnet.training.datasets import class_labels, read_dataset
    from astro_iicnet.training.splits import dataset_split

    cutouts, table = read_dataset(dataset)
    ok = np.flatnonzero(cutouts.status == 0)
    cutouts, table = cutouts[ok].select_bands(bands or cutouts.bands), table[ok]
    rows = dataset_split(table, seed=seed)._asdict()
    if not np.bincount(class_labels(table)[rows["train"]], minlength=len(CLASSES)).all():
        raise click.UsageError(f"{dataset} lacks a class: all of {', '.join(CLASSES)} are needed.")
    if not (len(rows["train"]) > 1 and len(rows["test"]) and len(rows["validation"])):
        raise click.UsageError(f"{dataset} has {len(ok)} usable sources, too few for a split 8:1:1.")
    return {name: (cutouts[part], table[part]) for name, part in rows.items()}


def _first_weights(
    start: str | None, name: str, bands: tuple[str, ...], survey: str, network: dict[str, Any], seed: int
) -> "Weights":
    """Weights before training: random ones, or those to start from."""
    from astro_iicnet.training.finetune import start_from
    from astro_iicnet.weights import new_weights

    if start is not None:
        return start_from(start, name, bands=bands, survey=survey, **network)
    weights = new_weights(name, bands=bands, seed=seed, **network)
    weights.record["survey"] = survey
    return weights


@click.command()
@click.argument("dataset", type=_FILE)
@click.option("--weights", metavar="NAME|FILE", help="Network weights.  [default: see 'weights list']")
@click.option(
    "--part",
    type=click.Choice(["train", "test", "validation"]),
    help="Part of a dataset that names its parts.  [default: all sources]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("-o", "--output", type=_FILE, help="File for the table, as in metrics.ecsv.  [default: none]")
@click.option("--report", "page", type=_FILE, help="Page of HTML to write, with figures.  [default: none]")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def evaluate(
    dataset: Path,
    weights: str | None,
    part: str | None,
    device: str,
    output: Path | None,
    page: Path | None,
    overwrite: bool,
) -> None:
    """Metrics of weights on labelled cutouts, per class and in all.

    DATASET is a file of 'astro-iicnet simulate', with a seed that was not trained on, or of
    'astro-iicnet dataset build', of which the part "test" is not trained on.

    \b
    Example:
      astro-iicnet simulate 2000 -o fresh.fits --seed 2
      astro-iicnet evaluate fresh.fits --report evaluation.html
      astro-iicnet evaluate my.fits --part test --weights my.safetensors
    """
    import numpy as np

    from astro_iicnet.classifier import IICnetClassifier
    from astro_iicnet.output import check_output, write_results
    from astro_iicnet.training.datasets import class_labels, read_dataset

    try:
        from astro_iicnet.analysis.metrics import classification_metrics
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'astro_iicnet[analysis]'.") from None
    if output is not None:
        check_output(output, overwrite=overwrite)
    if page is not None:
        check_writable(page, overwrite)
    cutouts, table = read_dataset(dataset)
    if part is not None:
        if "split" not in table.colnames:
            raise click.UsageError(f"{dataset} does not name parts (no column 'split'): leave --part out.")
        rows = np.asarray(table["split"]) == part
        cutouts, table = cutouts[rows], table[rows]
    classifier = IICnetClassifier(weights, device=device)
    probabilities = classifier.predict_proba(cutouts)
    known = np.isfinite(probabilities[:, 0])
    metrics = classification_metrics(class_labels(table)[known], probabilities[known])
    metrics.round(4)
    metrics.pprint_all(show_dtype=False)
    _report(metrics.meta, len(table))
    if output is not None:
        write_results(metrics, output, overwrite=overwrite)
    if page is not None:
        about = _facts(classifier.weights_.record, table.meta)
        judged = cutouts, class_labels(table), probabilities
        _write_page(page, dataset, judged, about, classifier.weights_, _history(weights))


def _facts(record: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """What a page says of weights and data."""
    keys = ("name", "sha256", "architecture", "bands", "recipe", "temperature", "training_data")
    facts = {"weights" if key == "name" else f"weights: {key}": record.get(key) for key in keys}
    return facts | {f"dataset: {key}": value for key, value in meta.items() if value != ""}


def _history(weights: str | None) -> "Table | None":
    """What 'train' left beside a file of weights, if anything."""
    from astro_iicnet.sources import read_table

    if weights is None or not Path(weights).is_file():
        return None
    file = Path(weights).with_suffix(".history.ecsv")
    return read_table(file) if file.is_file() else None


def _write_page(
    page: Path,
    dataset: Path,
    judged: "tuple[Cutouts, np.ndarray, np.ndarray]",
    about: dict[str, Any],
    weights: "Weights",
    history: "Table | None",
) -> None:
    from astro_iicnet.analysis.evaluation import evaluation_report
    from astro_iicnet.analysis.page import write_page

    title = f"{about['weights']} on {dataset.name}"
    text = evaluation_report(*judged, title=title, about=about, weights=weights, history=history)
    write_page(text, page)
    click.echo(f"{page}: page of {len(judged[1])} sources", err=True)


def _report(meta: dict, n: int) -> None:
    click.echo(
        f"accuracy {meta['accuracy']:.4f} (95 %: {meta['accuracy_low']:.4f} to {meta['accuracy_high']:.4f}), "
        f"calibration error {meta['calibration_error']:.4f}, {meta['n']} of {n} sources"
    )
    click.echo(f"predicted (rows) against true {', '.join(CLASSES)}:")
    for name, row in zip(CLASSES, meta["confusion_matrix"], strict=True):
        click.echo(f"  {name:<7}" + "".join(f"{count:>8}" for count in row))
