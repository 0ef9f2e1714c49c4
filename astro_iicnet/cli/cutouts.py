"""The verbs around cutouts kept on disk: ``cutouts info`` and ``cutouts clear``."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import click

from astro_iicnet.exceptions import IICnetError, StoreWarning


@click.group()
def cutouts() -> None:
    """Look after the cutouts kept on disk.

    Cutouts that were fetched from an archive are kept, so that they are not fetched again. The
    settings cache_dir and cache_size say where, and up to which size.

    \b
    Example:
      astro-iicnet cutouts info
    """


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
