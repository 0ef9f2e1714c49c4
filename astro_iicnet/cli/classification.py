"""The verbs of the main job: ``example`` and ``classify``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES

if TYPE_CHECKING:
    from astropy.table import Column, Table


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="coords.csv",
    show_default=True,
    help="File to write; the ending says the format.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def example(output: Path, overwrite: bool) -> None:
    """Write the example list: positions in the simulated field.

    The true class of each source is in the column true_class; a few positions lie outside the
    field, to show a status.

    \b
    Example:
      astro-iicnet example
      astro-iicnet classify coords.csv --images simulated -o classified.fits
    """
    from astro_iicnet.output import check_output, write_results
    from astro_iicnet.simulation.field import example_sources

    check_output(output, overwrite=overwrite)
    table = example_sources()
    write_results(table, output, overwrite=overwrite)
    click.echo(f"{output}: {len(table)} positions in and around the simulated field", err=True)


@click.command()
@click.argument("input", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write, as in classified.fits, .ecsv, .csv, .vot.  [default: ECSV to stdout]",
)
@click.option(
    "--images",
    default=("irsa",),
    show_default=True,
    multiple=True,
    metavar="NAME|FOLDER",
    help="Where the pixels come from: irsa, aws, hips, simulated, or a folder of AllWISE FITS files. "
    "Several, separated by commas or given one by one, are tried in turn. none: no pixels, for weights that "
    "look at magnitudes alone (see --magnitudes).",
)
@click.option("--ra", metavar="COLUMN", help="Column of right ascension.  [default: by usual names]")
@click.option("--dec", metavar="COLUMN", help="Column of declination.  [default: by usual names]")
@click.option("--weights", metavar="NAME|FILE", help="Network weights.  [default: see 'weights list']")
@click.option(
    "--priors",
    metavar="FRACTIONS",
    help="Expected class fractions, as in galaxy=0.1,quasar=0.02,star=0.88.  [default: as in training]",
)
@click.option(
    "--average", is_flag=True, help="Average over the eight orientations of each image: 8 times the work."
)
@click.option(
    "--coverage",
    type=float,
    metavar="FRACTION",
    help="Add iicnet_set: classes among which is the true one for this fraction of sources, as in 0.95.",
)
@click.option(
    "--magnitudes",
    metavar="cutouts|catalog|columns",
    help="Where magnitudes come from, for weights that look at them: measured on the cutouts, looked up in "
    "the AllWISE catalogue, or columns of the table.  [default: cutouts]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--allow-other-survey", is_flag=True, help="Take images that the weights were not trained on.")
@click.option("--overwrite", is_flag=True, help="Replace the output, or throw an unfinished run away.")
@click.option("--resume", is_flag=True, help="Do only what an earlier run has not done.")
@click.option(
    "--retry-failed", is_flag=True, help="With --resume: do again the rows whose images could not be had."
)
@click.option(
    "--chunk-size", type=int, metavar="N", help="Sources at a time.  [default: 2048; 20,000 without images]"
)
@click.option("--dry-run", is_flag=True, help="Say what there is to fetch and what it costs, and end.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but warnings and errors.")
@click.pass_context
def classify(
    ctx: click.Context,
    input: Path,
    output: Path | None,
    images: tuple[str, ...],
    ra: str | None,
    dec: str | None,
    weights: str | None,
    priors: str | None,
    average: bool,
    coverage: float | None,
    magnitudes: str | None,
    device: str,
    allow_other_survey: bool,
    overwrite: bool,
    resume: bool,
    retry_failed: bool,
    chunk_size: int | None,
    dry_run: bool,
    no_progress: bool,
    quiet: bool,
) -> None:
    """Classify the sources of a table.

    INPUT is a table in any format that astropy reads, with positions in columns such as ra and
    dec. The result has all its rows and columns, and the columns iicnet_class, iicnet_p_galaxy,
    iicnet_p_quasar, iicnet_p_star, iicnet_status and iicnet_flags.

    Ends with 0; with 1 if rows failed, or none has a class; with 2 if nothing could be done. A
    position where the images do not reach (no_coverage) is no failure.

    Rows that are done are kept in a folder beside the output until it is complete. A run that was
    killed goes on with the same command and --resume.

    \b
    Example:
      astro-iicnet classify coords.csv --images simulated -o classified.fits
      astro-iicnet classify coords.csv --images irsa,aws -o classified.fits --resume
    """
    if dry_run:
        _plan(input, _images_or_none(images), ra, dec, weights, magnitudes, chunk_size)
        return
    from astro_iicnet.classifier import IICnetClassifier
    from astro_iicnet.output import check_storable, results_text
    from astro_iicnet.sources import read_sources

    classifier = IICnetClassifier(weights, device=device)
    options: dict[str, Any] = {
        "images": _images_or_none(images),
        "ra": ra,
        "dec": dec,
        "priors": None if priors is None else _parse_priors(priors),
        "average": average,
        "coverage": coverage,
        "magnitudes": magnitudes,
        "progress": not (no_progress or quiet) and sys.stderr.isatty(),
        "allow_other_survey": allow_other_survey,
    }
    of_files: dict[str, Any] = {"resume": resume, "retry_failed": retry_failed, "chunk_size": chunk_size}
    if output is None:
        if resume or retry_failed or chunk_size is not None:
            raise click.UsageError(
                "--resume, --retry-failed and --chunk-size need a file to write: say -o FILE."
            )
        sources = read_sources(input, ra=ra, dec=dec)
        check_storable(sources.table, None)
        table = classifier.classify(sources, **options)
        click.echo(results_text(table), nl=False)
    else:
        with _notes():
            table = classifier.classify_file(input, output, overwrite=overwrite, **options, **of_files)
    if not quiet:
        _summarise(table, output)
    if not _is_success(table):
        ctx.exit(1)


def _plan(
    input: Path,
    images: str | list[str] | None,
    ra: str | None,
    dec: str | None,
    weights: str | None,
    magnitudes: str | None,
    chunk_size: int | None,
) -> None:
    """Print what there is to fetch; neither torch nor a server is needed."""
    from astro_iicnet.cutouts.plan import plan_retrieval
    from astro_iicnet.cutouts.retrieve import CHUNK_SIZE, check_chunk_size
    from astro_iicnet.fusion.origin import INPUTS, check_needs_no_pixels, choose_origin
    from astro_iicnet.sources import read_sources
    from astro_iicnet.weights.find import find_record

    record = find_record(weights)
    chunk_size = CHUNK_SIZE if chunk_size is None else chunk_size
    check_chunk_size(chunk_size)
    sources = read_sources(input, ra=ra, dec=dec)
    bands = tuple(record["bands"])
    inputs = INPUTS.get(record["architecture"], ("image",))
    origin = choose_origin(magnitudes, record["name"], inputs, bands, sources.table)
    if images is None:
        check_needs_no_pixels(origin, record["name"], inputs)
        click.echo(f"{len(sources):,} sources without images: there are no pixels to fetch")
        return
    click.echo(str(plan_retrieval(sources.coords, bands, images, chunk_size=chunk_size)))


def parse_images(values: tuple[str, ...]) -> str | list[str]:
    """One image source, or several; a folder may have a comma in its name."""
    names = [
        name.strip() for value in values for name in ([value] if Path(value).exists() else value.split(","))
    ]
    return names[0] if len(names) == 1 else names


def _images_or_none(values: tuple[str, ...]) -> str | list[str] | None:
    """As `parse_images`; None for "none"."""
    return None if values == ("none",) else parse_images(values)


@contextmanager
def _notes() -> Iterator[None]:
    """Show what an error says besides its message, as on how to go on."""
    try:
        yield
    except (IICnetError, KeyboardInterrupt) as error:
        for note in getattr(error, "__notes__", ()):
            click.echo(f"\n{note}", err=True)
        raise


def _parse_priors(text: str) -> dict[str, float] | list[float]:
    try:
        if "=" not in text:
            return [float(part) for part in text.split(",")]
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise click.UsageError(
            f"--priors is {text!r}: expected as in galaxy=0.1,quasar=0.02,star=0.88."
        ) from None


def _summarise(table: "Table", output: Path | None) -> None:
    """Where the table is and what is in it, on stderr."""
    from astro_iicnet.results import summarise

    about = table.meta["astro_iicnet"]
    where = "stdout" if output is None else str(output)
    click.echo(f"{where}: weights {about['weights']}, images {about['images']!r}", err=True)
    click.echo(summarise(table), err=True)
    if "true_class" in table.colnames:
        found, truth = _text(table["iicnet_class"]), _text(table["true_class"])
        known = [pair for pair in zip(found, truth, strict=True) if pair[0] and pair[1] in CLASSES]
        if known:
            right = sum(a == b for a, b in known)
            click.echo(f"true_class agrees for {right} of {len(known)}", err=True)


def _is_success(table: "Table") -> bool:
    """Whether no row failed and some have a class, or there are none; else it is said on stderr."""
    from astro_iicnet.results import status_counts

    statuses = status_counts(table)
    failed = sum(statuses.values()) - statuses["ok"] - statuses.get("no_coverage", 0)
    if failed:
        click.echo(f"{failed} of {len(table)} rows failed: see iicnet_status.", err=True)
    elif len(table) and not statuses["ok"]:
        click.echo(f"None of {len(table)} rows has a class: no image reaches them.", err=True)
    return not failed and (statuses["ok"] > 0 or not len(table))


def _text(column: "Column") -> list[str]:
    """Words of a column, empty where masked."""
    import numpy as np

    return [word.strip() for word in np.ma.filled(np.ma.asarray(column).astype(str), "").tolist()]
