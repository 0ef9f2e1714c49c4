"""Checks of files to be written, before the work starts."""

import os
from pathlib import Path

import click


def check_writable(path: Path, overwrite: bool) -> None:
    """End with a usage error where a file cannot be written.

    Parameters
    ----------
    path : pathlib.Path
        File to be written.
    overwrite : bool
        Whether an older one may be replaced.
    """
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder: give the name of a file.")
    if path.exists() and not overwrite:
        raise click.UsageError(f"{path} exists already: take another name or say --overwrite.")
    if not path.absolute().parent.is_dir():
        raise click.UsageError(f"There is no folder {path.absolute().parent}: make it first.")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise click.UsageError(f"{path} cannot be written: take another place.")
