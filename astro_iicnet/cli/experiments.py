"""The verb ``reproduce``: the paper's experiments."""

from pathlib import Path

import click

_BUDGETS = ("smoke", "cpu", "gpu")


@click.command()
@click.option(
    "--budget",
    type=click.Choice(_BUDGETS),
    default="smoke",
    show_default=True,
    help="smoke: all of it in minutes, on a sample too small to mean anything; cpu: the paper's sample, "
    "10 epochs per network; gpu: the paper's 200 epochs.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to."
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="networks, metrics, first-kernel, input-size, bands, recipes or photometry; may be given again.  "
    "[default: all]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of sample and networks."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, and no tables on stdout.")
def reproduce(budget: str, out: Path, only: tuple[str, ...], seed: int, device: str, quiet: bool) -> None:
    """Run the paper's experiments on simulated images; tables beside the paper's numbers.

    All networks see the same sample, which is made once. Networks that are trained already are
    not trained again, and an interrupted training goes on with its last epoch: run the same
    command again. The paper's peers need the extra 'train'.

    \b
    Example:
      astro-iicnet reproduce --budget smoke --out smoke
      astro-iicnet reproduce --budget cpu --out cpu --only networks --only metrics
    """
    try:
        from astro_iicnet.experiments.registry import reproduce
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'astro_iicnet[train]'.") from None
    tables = reproduce(out, budget, only=only, seed=seed, device=device, progress=not quiet)
    for name, table in tables.items():
        if not quiet:
            click.echo(f"\n{out / name}.ecsv")
            # Not Table.round: it turns what is masked into 0.
            for column in table.itercols():
                if column.dtype.kind == "f":
                    column.info.format = ".4g"
            table.pprint_all(show_dtype=False)
    for network, note in {(row["network"], row["note"]) for row in _with_notes(tables)}:
        click.echo(f"{network}: {note}", err=True)


def _with_notes(tables: dict) -> list:
    """Rows of networks that were left out."""
    with_notes = [table for table in tables.values() if "note" in table.colnames]
    return [row for table in with_notes for row in table if row["note"]]
