"""The verb ``train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from astro_iicnet.cli._files import check_writable
from astro_iicnet.cli._options import parse_bands
from astro_iicnet.labels import CLASSES

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table

    from astro_iicnet.cutouts.base import Cutouts
    from astro_iicnet.training.distillation import Teacher
    from astro_iicnet.training.settings import TrainingSettings
    from astro_iicnet.weights import Weights

    Parts: TypeAlias = dict[str, tuple[Cutouts, Table]]
    Trained: TypeAlias = tuple[Weights, Table, dict[str, np.ndarray]]

_FILE = click.Path(path_type=Path)


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
@click.option("--bands", callback=parse_bands, help="Bands, as in W1,W2,W3.  [default: those of the dataset]")
@click.option(
    "--architecture", help='Network: "iicnet", "student", "color", "fusion" or a peer.  [default: iicnet]'
)
@click.option(
    "--features",
    type=click.Choice(["magnitudes", "colours"]),
    help="What the architecture color looks at: magnitudes and colours, or colours alone.  "
    "[default: magnitudes]",
)
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
    features: str | None,
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
    when the training is over; networks that look at magnitudes are trained at a go.

    With --from, network and preprocessing are those of the weights to start from, and a tenth of
    the learning rate is a first guess. A fusion network takes its image branch from there, which is
    not trained on.

    \b
    Example:
      astro-iicnet train simulated.fits -o my.safetensors --epochs 20
      astro-iicnet train my.fits -o tuned.safetensors --from iicnet-sim-v3 --learning-rate 2e-4
      astro-iicnet train simulated.fits -o small.safetensors --size 64 --first-kernel 3
      astro-iicnet train simulated.fits -o quick.safetensors --architecture student --teacher iicnet-sim-v3
      astro-iicnet train my.fits -o colours.safetensors --architecture color --features colours
      astro-iicnet train my.fits -o both.safetensors --architecture fusion --from iicnet-sim-v3
      astro-iicnet classify coords.csv --images simulated --weights my.safetensors
    """
    from astro_iicnet.fusion.origin import INPUTS
    from astro_iicnet.training.datasets import survey_of
    from astro_iicnet.training.settings import TrainingSettings

    check_writable(output, overwrite)
    state = output.with_name(output.name + ".state")
    if state.exists() and not resume:
        raise click.UsageError(f"{state} holds a training that was not finished: say --resume, or remove it.")
    given = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed, "flux_jitter": flux_jitter}
    settings = TrainingSettings.preset(preset, **_said(given))
    kernel = None if first_kernel is None else int(first_kernel)
    network = _said({"recipe": recipe, "size": size, "first_kernel": kernel, "features": features})
    parts = _read_parts(dataset, bands, settings.seed)
    survey = survey_of(parts["train"][1])
    taught_by = None if teacher is None else _teacher(teacher, parts["train"][0].bands, survey, device)
    if architecture in INPUTS:
        _refuse(network | _said({"flux_jitter": flux_jitter or None, "resume": resume or None}), architecture)
        trained = _train_on_magnitudes(
            parts, output.stem, architecture, start, survey, network, settings, taught_by, device
        )
    else:
        network |= _said({"architecture": architecture})
        weights = _first_weights(start, output.stem, parts["train"][0].bands, survey, network, seed)
        trained = _train_on_images(weights, parts, settings, taught_by, state, device, not quiet)
    taught = f", taught by {taught_by.name}" if taught_by else ""
    metrics = _write(output, dataset, parts, *trained, device, taught)
    if architecture not in INPUTS:
        state.unlink(missing_ok=True)
        state.with_suffix(".ecsv").unlink(missing_ok=True)
    click.echo(f"{output}: accuracy {metrics['accuracy']:.4f} on {metrics['n']} test sources", err=True)


def _said(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _refuse(given: dict[str, Any], architecture: str) -> None:
    """Options that a network which looks at magnitudes has no use for."""
    useless = [name for name in given if not (name == "features" and architecture == "color")]
    if useless:
        names = ", ".join("--" + name.replace("_", "-") for name in useless)
        raise click.UsageError(f"--architecture {architecture} does not go with {names}: leave it out.")


def _teacher(name: str, bands: tuple[str, ...], survey: str, device: str) -> "Teacher":
    """The teacher, for images of a survey that it was trained on."""
    from astro_iicnet.training.datasets import check_survey
    from astro_iicnet.training.distillation import Teacher
    from astro_iicnet.weights import load_weights

    weights = load_weights(name)
    check_survey(survey, weights.record)
    return Teacher(weights, bands=bands, device=device)


def _train_on_images(
    weights: "Weights",
    parts: "Parts",
    settings: "TrainingSettings",
    teacher: "Teacher | None",
    state: Path,
    device: str,
    progress: bool,
) -> "Trained":
    """Train a network that looks at the image alone."""
    from astro_iicnet.training.loop import predict_logits, train

    modules = weights.model, weights.preprocess
    history = train(
        *modules,
        parts["train"],
        parts["validation"],
        settings,
        teacher=teacher,
        checkpoint=state,
        device=device,
        progress=progress,
    )
    logits = {
        name: predict_logits(*modules, parts[name][0], device=device) for name in ("validation", "test")
    }
    return weights, history, logits


def _train_on_magnitudes(
    parts: "Parts",
    name: str,
    architecture: str,
    start: str | None,
    survey: str,
    network: dict[str, Any],
    settings: "TrainingSettings",
    teacher: "Teacher | None",
    device: str,
) -> "Trained":
    """Train a colour network, or a fusion network on the weights to start from."""
    from astro_iicnet.training.datasets import check_survey
    from astro_iicnet.training.fusion import new_fusion_weights
    from astro_iicnet.training.magnitudes import magnitude_logits, measure_sources, train_on_magnitudes
    from astro_iicnet.weights import load_weights, new_weights

    if (start is None) == (architecture == "fusion"):
        raise click.UsageError(
            "--architecture fusion needs --from, the weights of its image branch, as in --from iicnet-sim-v3."
            if start is None
            else "--architecture color is trained from scratch: leave --from out."
        )
    bands, seed = parts["train"][0].bands, settings.seed
    color = new_weights(name, architecture="color", bands=bands, seed=seed, **network)
    color.record["survey"] = survey
    weights, image = color, None if start is None else load_weights(start)
    branch: tuple[Any, ...] = ()
    if image is not None:
        check_survey(survey, image.record)
        weights = new_fusion_weights(name, image, color, seed=seed)
        branch = image.model, image.preprocess
    data = {
        part: measure_sources(sources, *branch, teacher=teacher if part == "train" else None, device=device)
        for part, sources in parts.items()
    }
    model: Any = color.model
    history = train_on_magnitudes(model, data["train"], data["validation"], settings)
    if image is not None:
        model = weights.model
        model.start_from(image.model.cpu(), color.model)
        history = train_on_magnitudes(model, data["train"], data["validation"], settings)
    logits = {part: magnitude_logits(model, data[part]) for part in ("validation", "test")}
    return weights, history, logits


def _write(
    output: Path,
    dataset: Path,
    parts: "Parts",
    weights: "Weights",
    history: "Table",
    logits: "dict[str, np.ndarray]",
    device: str,
    taught: str,
) -> dict[str, float]:
    """Calibrate, test, and write weights and history."""
    import numpy as np

    from astro_iicnet.models.device import choose_device
    from astro_iicnet.output import write_results
    from astro_iicnet.training.calibration import fit_temperature
    from astro_iicnet.training.datasets import class_labels
    from astro_iicnet.weights import save_weights

    labels = {name: class_labels(part[1]) for name, part in parts.items()}
    right = logits["test"].argmax(axis=1) == labels["test"]
    metrics = {"n": len(right), "accuracy": float(right.mean())}
    n = len(labels["train"])
    where = choose_device(device).type
    save_weights(
        output,
        weights,
        temperature=fit_temperature(logits["validation"], labels["validation"]),
        training_fractions=(np.bincount(labels["train"]) / n).tolist(),
        training_data=f"{n} sources of {dataset.name}, {len(history)} epochs on {where}{taught}",
        metrics={"test set": metrics},
    )
    write_results(history, output.with_suffix(".history.ecsv"), overwrite=True)
    return metrics


def _read_parts(dataset: Path, bands: tuple[str, ...] | None, seed: int) -> "Parts":
    """Usable sources of a dataset for training, test and validation."""
    import numpy as np

    from astro_iicnet.training.datasets import class_labels, read_dataset
    from astro_iicnet.training.splits import dataset_split

    cutouts, table = read_dataset(dataset)
    ok = np.flatnonzero(cutouts.status == 0)
    if not len(ok):
        raise click.UsageError(f"{dataset}: none of its {len(table)} cutouts has the status ok.")
    cutouts, table = cutouts[ok].select_bands(bands or cutouts.bands), table[ok]
    rows = dataset_split(table, seed=seed)._asdict()
    sizes = {name: len(part) for name, part in rows.items()}
    if sizes["train"] < 2 or not min(sizes.values()):
        counts = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise click.UsageError(f"{dataset} has {counts} among {len(ok)} usable sources: none may be empty.")
    if not np.bincount(class_labels(table)[rows["train"]], minlength=len(CLASSES)).all():
        raise click.UsageError(f"The part train of {dataset} lacks a class: {', '.join(CLASSES)} are needed.")
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
