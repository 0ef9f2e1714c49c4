"""The verb around labelled datasets of real sources: ``dataset build``."""

import sys
from pathlib import Path

import click

from astro_iicnet.cli._files import check_writable
from astro_iicnet.cli._options import parse_bands
from astro_iicnet.cli.classification import parse_images
from astro_iicnet.labels import CLASSES


@click.group()
def dataset() -> None:
    """Labelled cutouts of real sources.

    \b
    Example:
      astro-iicnet dataset build sdss.fits --per-class 100
    """


@dataset.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--per-class",
    type=click.IntRange(min=1),
    metavar="N",
    help="Sources of each class.  [default: as in the paper, 7298, 7215 and 7223]",
)
@click.option(
    "--images",
    default=("irsa",),
    show_default=True,
    multiple=True,
    metavar="NAME|FOLDER",
    help="Where the pixels come from: irsa, aws, hips, or a folder of AllWISE FITS files. "
    "Several, separated by commas or given one by one, are tried in turn.",
)
@click.option(
    "--bands", callback=parse_bands, default="W1,W2,W3", show_default=True, help="Bands, separated by commas."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of draw and split."
)
@click.option(
    "--data-release", type=click.IntRange(min=13), default=17, show_default=True, help="Data release of SDSS."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of finished steps.  [default: OUTPUT.work]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but warnings and errors.")
def build(
    output: Path,
    per_class: int | None,
    images: tuple[str, ...],
    bands: tuple[str, ...],
    seed: int,
    data_release: int,
    work: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Build a dataset of galaxies, quasars and stars with SDSS spectra.

    OUTPUT is a FITS file for 'train' and 'evaluate'. Spectra with a secure class come from
    SkyServer, positions and magnitudes of AllWISE from CDS XMatch, cutouts from the images. Sources
    are drawn at random, as many of each class as are asked for, and divided into training, test and
    validation sets that share no Atlas tile. A source whose cutout is not whole is replaced by
    another; OUTPUT.left_out.ecsv lists those. The steps that are finished are kept in a folder: after
    an interrupt the same command goes on.

    \b
    Example:
      astro-iicnet dataset build sdss.fits
      astro-iicnet train sdss.fits -o sdss-v1.safetensors
      astro-iicnet evaluate sdss.fits --part test --weights sdss-v1.safetensors
    """
    from collections import Counter

    from astro_iicnet.training.sdss import build_dataset

    check_writable(output, overwrite)
    table, left_out = build_dataset(
        output,
        per_class=per_class,
        images=parse_images(images),
        bands=bands,
        seed=seed,
        data_release=data_release,
        work=work,
        progress=not quiet and sys.stderr.isatty(),
    )
    if quiet:
        return
    click.echo(f"{output}: {len(table)} sources", err=True)
    counts = Counter(zip(table["split"].tolist(), table["class"].tolist(), strict=True))
    for part in ("train", "test", "validation"):
        numbers = ", ".join(f"{name} {counts[part, name]}" for name in CLASSES)
        click.echo(f"  {part:<11} {numbers}", err=True)
    if len(left_out):
        reasons = ", ".join(f"{status} {n}" for status, n in Counter(left_out["status"].tolist()).items())
        click.echo(
            f"Replaced {len(left_out)} sources whose cutout is not whole ({reasons}): see "
            f"{output.name}.left_out.ecsv.",
            err=True,
        )
