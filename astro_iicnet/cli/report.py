"""The verb ``report``."""

import sys
from pathlib import Path

import click

from astro_iicnet.cli._files import check_writable
from astro_iicnet.cli.classification import parse_images


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write.  [default: RESULT with the ending .html]",
)
@click.option(
    "--images",
    multiple=True,
    metavar="NAME|FOLDER",
    help="Where pixels of examples come from, as in 'classify'.  [default: none, nothing is fetched]",
)
@click.option("--ra", metavar="COLUMN", help="Column of right ascension.  [default: by usual names]")
@click.option("--dec", metavar="COLUMN", help="Column of declination.  [default: by usual names]")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
def report(
    result: Path,
    output: Path | None,
    images: tuple[str, ...],
    ra: str | None,
    dec: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Make a page of HTML of a result.

    RESULT is a table that 'astro-iicnet classify' wrote. The page stands for itself: counts, a map, the
    probabilities, colours, flags and how it was made; with --images also pictures of examples and of
    the least certain.

    \b
    Example:
      astro-iicnet classify coords.csv --images simulated -o classified.fits
      astro-iicnet report classified.fits -o report.html --images simulated
    """
    from astro_iicnet.output import read_results

    try:
        from astro_iicnet.analysis.page import write_page
        from astro_iicnet.analysis.report import result_report
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'astro_iicnet[analysis]'.") from None
    output = output or result.with_suffix(".html")
    check_writable(output, overwrite)
    table = read_results(result)
    page = result_report(
        table,
        title=f"Galaxies, quasars and stars in {result.name}",
        images=None if images in ((), ("none",)) else parse_images(images),
        ra=ra,
        dec=dec,
        progress=not quiet and sys.stderr.isatty(),
    )
    write_page(page, output)
    if not quiet:
        click.echo(f"{output}: page of {len(table)} rows", err=True)
