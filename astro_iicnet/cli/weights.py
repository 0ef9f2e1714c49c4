"""The verbs around network weights: ``weights list``, ``info``, ``download``, ``verify`` and ``add``."""

import json
import re

import click


@click.group()
def weights() -> None:
    """List, describe, download, verify and add network weights.

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
    from astro_iicnet.weights.find import all_records, tell_place

    for name, record in all_records().items():
        words = (name, record["architecture"], "/".join(record["bands"]), record["recipe"], tell_place(name))
        click.echo("  ".join(words))


@weights.command()
@click.argument("name", required=False)
def info(name: str | None) -> None:
    """All that is known about weights, as JSON; nothing is downloaded.

    NAME is a name from 'weights list' or the path of a .safetensors file; without it, the default
    weights are described.

    \b
    Example:
      astro-iicnet weights info iicnet-sim-v3
    """
    from astro_iicnet.weights.find import all_records, find_record, tell_place

    record = find_record(name)
    text = json.dumps(record, indent=2)
    # The levels of prediction sets would be hundreds of lines.
    click.echo(re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text))
    if name is None or name in all_records():
        click.echo(f"{record['name']}: {tell_place(record['name'])}", err=True)


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
def download(names: tuple[str, ...], no_progress: bool) -> None:
    """Make sure that weights are on this disk, and print where.

    What is there already, and whole, is not downloaded again. The settings cache_dir and offline hold.

    \b
    Example:
      astro-iicnet weights download iicnet-sim-v3
    """
    from astro_iicnet.weights.find import find_weights

    for name in names:
        click.echo(str(find_weights(name, progress=not no_progress)[0]))


@weights.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Compute the checksums of weights files again.

    Without a NAME, of all that are known. Ends with 1 if a file is damaged or missing, or one that was
    named is not on this disk.

    \b
    Example:
      astro-iicnet weights verify
    """
    from astro_iicnet.weights.find import verify_weights

    states = verify_weights(names)
    for name, state in states.items():
        click.echo(f"{name}  {state}")
    wanted = {"ok"} if names else {"ok", "not on this disk"}
    if not wanted.issuperset(states.values()):
        click.echo(
            "Download damaged weights again ('astro-iicnet weights download NAME'), add them again "
            "('astro-iicnet weights add FILE'), or, if they ship with the package, install it again.",
            err=True,
        )
        ctx.exit(1)


@weights.command()
@click.argument("source", metavar="REGISTRY.json|URL|FILE.safetensors")
@click.option("--overwrite", is_flag=True, help="Replace private weights of the same name.")
def add(source: str, overwrite: bool) -> None:
    """Add weights to the private registry, and print their names.

    Of a .safetensors file a copy is kept. Of a registry, files that lie beside it are copied; those
    with an address are downloaded when they are used first.

    \b
    Example:
      astro-iicnet weights add my.safetensors
      astro-iicnet classify coords.csv --weights my -o classified.fits
    """
    from astro_iicnet.weights.find import tell_place
    from astro_iicnet.weights.private import add_weights

    added = add_weights(source, overwrite=overwrite)
    for record in added:
        click.echo(f"{record['name']}  {tell_place(record['name'])}")
    if not added:
        click.echo("Nothing to add: the package has all of these weights.", err=True)
