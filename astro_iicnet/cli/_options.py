"""Options that several verbs have."""

import click


def parse_bands(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Band names out of a text as "W1,W2,W3".

    Parameters
    ----------
    context : click.Context
        Of the command.
    parameter : click.Parameter
        The option.
    value : str or None
        What was given.

    Returns
    -------
    tuple of str or None
        The bands; None where the option was not given.
    """
    from astro_iicnet.allwise.bands import BANDS
    from astro_iicnet.exceptions import unknown_name

    if value is None:
        return None
    bands = tuple(band.strip().upper() for band in value.split(","))
    for band in bands:
        if band not in BANDS:
            raise click.BadParameter(unknown_name("band", band, BANDS))
    if len(set(bands)) < len(bands):
        raise click.BadParameter(f"{value!r} names a band twice.")
    return bands
