"""The verbs that tell: ``weights`` and ``info``."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import click


@click.group()
def weights() -> None:
    """List and describe network weights.

    \b
    Example:
      astro-iicnet weights list
    """


@weights.command("list")
def list_weights() -> None:
    """One line for each set of weights; the first is the default.

    \b
    Example:
      astro-iicnet weights list
    """
    from astro_iicnet.weights.registry import read_registry

    for record in read_registry().values():
        where = ", ".join(record["urls"]) or "ships with the package"
        line = (record["name"], record["architecture"], "/".join(record["bands"]), record["recipe"], where)
        click.echo("  ".join(line))


@weights.command("info")
@click.argument("name", required=False)
def info_weights(name: str | None) -> None:
    """All that is known about weights, as JSON.

    NAME is a name from 'weights list' or the path of a .safetensors file; without it, the default
    weights are described.

    \b
    Example:
      astro-iicnet weights info iicnet-sim-v1
    """
    from astro_iicnet.weights.load import find_weights

    click.echo(json.dumps(find_weights(name)[1], indent=2))


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
