"""The verbs around cutouts: ``cutouts fetch``, and ``info`` and ``clear`` for those kept on disk."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from astro_iicnet.cli.classification import parse_images
from astro_iicnet.exceptions import IICnetError, StoreWarning


@click.group()
def cutouts() -> None:
    """Fetch cutouts, and look after those kept on disk.

    Cutouts that were fetched from an archive are kept, so that they are not fetched again. The
    settings cache_dir and cache_size say where, and up to which size.

    \b
    Example:
      astro-iicnet cutouts info
    """


@cutouts.command()
@click.argument("input", type=click.Path(path_type=Path))
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write."
)
@click.option(
    "--images",
    default=("irsa",),
    show_default=True,
    multiple=True,
    metavar="NAME|FOLDER",
    help="Where the pixels come from: irsa, aws, simulated, or a folder of AllWISE FITS files. "
    "Several, separated by commas or given one by one, are tried in turn.",
)
@click.option("--bands", default="W1,W2,W3", show_default=True, help="Bands, separated by commas.")
@click.option("--ra", metavar="COLUMN", help="Column of right ascension.  [default: by usual names]")
@click.option("--dec", metavar="COLUMN", help="Column of declination.  [default: by usual names]")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but warnings and errors.")
@click.pass_context
def fetch(
    ctx: click.Context,
    input: Path,
    folder: Path,
    images: tuple[str, ...],
    bands: str,
    ra: str | None,
    dec: str | None,
    overwrite: bool,
    no_progress: bool,
    quiet: bool,
) -> None:
    """Fetch the cutouts of a table and write them as FITS files.

    INPUT is a table as for 'classify'. Row n goes to a file named after n, counted from 0, with an
    image for each band; index.ecsv says which file belongs to which position, and the status of each.
    'classify --images DIR' then needs no network.

    Ends with 0; with 1 if rows failed, or none has pixels; with 2 if nothing could be done.

    \b
    Example:
      astro-iicnet cutouts fetch coords.csv --to my_cutouts
      astro-iicnet classify coords.csv --images my_cutouts -o classified.fits
    """
    from collections import Counter

    from astro_iicnet.cutouts.write import write_cutouts
    from astro_iicnet.labels import Status
    from astro_iicnet.sources import read_sources

    index = write_cutouts(
        read_sources(input, ra=ra, dec=dec).coords,
        folder,
        images=parse_images(images),
        bands=[band.strip() for band in bands.split(",")],
        progress=not (no_progress or quiet) and sys.stderr.isatty(),
        overwrite=overwrite,
    )
    found = Counter(index["status"].tolist())
    if not quiet:
        click.echo(f"{folder}: cutouts of {sum(index['file'] != '')} of {len(index)} sources", err=True)
        for status in Status:
            if found[status.label]:
                click.echo(f"  {status.label:<18} {found[status.label]:>9}", err=True)
    n_failed = len(index) - found["ok"] - found["no_coverage"]
    if n_failed:
        click.echo(f"{n_failed} of {len(index)} rows failed: see status in index.ecsv.", err=True)
    if n_failed or (len(index) and not found["ok"]):
        ctx.exit(1)


@cutouts.command()
def info() -> None:
    """Where the cutouts are kept, how many, and how large they are.

    \b
    Example:
      astro-iicnet cutouts info
    """
    from astro_iicnet.cutouts.store import CutoutStore

    with _trouble_ends_it():
        found = CutoutStore().info()
    sources = ", ".join(f"{name} {n}" for name, n in sorted(found.by_source.items()))
    click.echo(f"file     {found.path}")
    click.echo(f"cutouts  {found.n_cutouts}{sources and f' ({sources})'}")
    click.echo(f"size     {found.n_bytes / 1e9:.3f} of at most {found.limit / 1e9:g} GB")


@cutouts.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def clear(yes: bool) -> None:
    """Remove all cutouts kept on disk; those needed again are fetched again.

    \b
    Example:
      astro-iicnet cutouts clear --yes
    """
    from astro_iicnet.cutouts.store import CutoutStore

    store = CutoutStore()
    with _trouble_ends_it():
        found = store.info()
        if not yes:
            size = f"{found.n_bytes / 1e9:.3f} GB"
            click.confirm(
                f"Remove {found.n_cutouts} cutouts ({size}) from {found.path}?", abort=True, err=True
            )
        n = store.clear()
    click.echo(f"{found.path}: removed {n} cutouts", err=True)


@contextmanager
def _trouble_ends_it() -> Iterator[None]:
    """Make trouble with the store an error: here the store is all that the user asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreWarning)
        try:
            yield
        except StoreWarning as trouble:
            raise IICnetError(str(trouble)) from None
