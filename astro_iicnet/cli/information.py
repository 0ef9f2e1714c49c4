"""The verb ``info``."""

import platform
from importlib.metadata import PackageNotFoundError, version

import click


@click.command()
def info() -> None:
    """Versions, device and default weights: what to put into a report of a fault.

    \b
    Example:
      astro-iicnet info
    """
    from astro_iicnet.models.device import choose_device
    from astro_iicnet.weights.registry import read_registry

    click.echo(f"python        {platform.python_version()} on {platform.platform()}")
    for package in ("astro_iicnet", "astropy", "numpy", "torch", "safetensors", "astroquery"):
        try:
            click.echo(f"{package:<13} {version(package)}")
        except PackageNotFoundError:
            click.echo(f"{package:<13} missing")
    click.echo(f"device        {choose_device('auto')}")
    click.echo(f"weights       {', '.join(read_registry()) or 'none'}")
