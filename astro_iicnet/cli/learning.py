"""The verbs before and after a training: ``simulate`` and ``evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astro_iicnet.cli._files import check_writable
from astro_iicnet.cli._options import parse_bands
from astro_iicnet.labels import CLASSES

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table

    from astro_iicnet.cutouts.base import Cutouts
    from astro_iicnet.weights import Weights

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("n", type=click.IntRange(min=1))
@click.option("-o", "--output", type=_FILE, required=True, help="FITS file to write.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all that is drawn."
)
@click.option(
    "--bands", callback=parse_bands, default="W1,W2,W3", show_default=True, help="Bands, as in W1,W2,W3,W4."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def simulate(
    n: int, output: Path, seed: int, bands: tuple[str, ...], workers: int | None, overwrite: bool
) -> None:
    """Simulate N labelled cutouts, each class as probable as the others.

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
    from astro_iicnet.training.datasets import check_survey, class_labels, read_dataset, survey_of

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
    if not len(table):
        raise click.UsageError(f"{dataset} has no source" + (f" in the part {part}." if part else "."))
    classifier = IICnetClassifier(weights, device=device)
    check_survey(survey_of(table), classifier.weights_.record)
    probabilities = classifier.predict_proba(cutouts)
    known = np.isfinite(probabilities[:, 0])
    if not known.any():
        raise click.UsageError(
            f"None of the {len(table)} sources of {dataset} can be judged: see their status."
        )
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
