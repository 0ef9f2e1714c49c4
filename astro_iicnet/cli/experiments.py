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
    "3 epochs per network, in hours; gpu: the paper's 200 epochs.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled cutouts in W1 to W4, as of 'dataset build'.  [default: a simulated sample]",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Epochs of every network.  [default: those of the budget]"
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to."
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="metrics, recipes, bands, photometry, first-kernel, input-size, speed, methods or networks; may be "
    "given again.  [default: all]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of sample and networks."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, and no tables on stdout.")
def reproduce(
    budget: str,
    data: Path | None,
    epochs: int | None,
    out: Path,
    only: tuple[str, ...],
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Run the paper's experiments; tables beside the paper's numbers.

    All networks see the same sample, which is simulated once or comes with --data. Networks that are
    trained already are not trained again, and an interrupted training goes on with its last epoch:
    run the same command again. The table methods has all of them side by side; its images per second
    are those of speed, best measured again when nothing else runs. The paper's peers need the extra
    'train'.

    \b
    Example:
      astro-iicnet reproduce --budget smoke --out smoke
      astro-iicnet reproduce --budget cpu --out cpu
      astro-iicnet reproduce --budget cpu --out cpu --only speed --only methods
      astro-iicnet reproduce --budget cpu --data sdss.fits --out real
    """
    try:
        from astro_iicnet.experiments.registry import reproduce
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is missing: pip install 'astro_iicnet[train]'.") from None
    tables = reproduce(
        out, budget, data=data, epochs=epochs, only=only, seed=seed, device=device, progress=not quiet
    )
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
