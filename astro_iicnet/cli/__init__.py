"""The command ``astro-iicnet``: a thin shell over the public names.

torch and the archives are imported inside the verbs, so that ``--help`` answers at once.
"""

import traceback

import click

from astro_iicnet.cli.classification import classify, example
from astro_iicnet.cli.cutouts import cutouts
from astro_iicnet.cli.dataset import dataset
from astro_iicnet.cli.experiments import reproduce
from astro_iicnet.cli.information import info
from astro_iicnet.cli.learning import evaluate, simulate
from astro_iicnet.cli.report import report
from astro_iicnet.cli.training import train
from astro_iicnet.cli.weights import weights
from astro_iicnet.exceptions import IICnetError


class _Refused(click.ClickException):
    exit_code = 2


class _Commands(click.Group):
    """Errors that the user can mend end in one message, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except IICnetError as error:
            raise _Refused(str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _Refused(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")) from error
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            # Python's own exit code for this, 1, would say that some rows failed.
            click.echo(traceback.format_exc(), err=True)
            ctx.exit(3)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="astro_iicnet", prog_name="astro-iicnet")
def main() -> None:
    """Stars, galaxies and quasars from AllWISE images.

    \b
    Try it, without network:
      astro-iicnet example
      astro-iicnet classify coords.csv --images simulated -o classified.fits
    """


for _command in (
    example,
    classify,
    cutouts,
    simulate,
    dataset,
    train,
    evaluate,
    reproduce,
    report,
    weights,
    info,
):
    main.add_command(_command)
