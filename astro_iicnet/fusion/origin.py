"""Where the magnitudes of a list come from."""

import hashlib
from collections.abc import Sequence

from astropy.table import Table

from astro_iicnet.exceptions import IICnetError, ImagesError, unknown_name
from astro_iicnet.fusion.colours import Magnitudes, from_photometry, from_table
from astro_iicnet.photometry.measurement import Photometry
from astro_iicnet.sources import Sources

ORIGINS: tuple[str, ...] = ("cutouts", "catalog", "columns")
"""Measured on the cutouts, looked up in the AllWISE catalogue, or read from the columns of the list."""


INPUTS: dict[str, tuple[str, ...]] = {"color": ("magnitudes",), "fusion": ("image", "magnitudes")}
"""What a network of these architectures looks at; all others look at the image."""

QUERY_SIZE = 20_000
"""Positions in one query to the AllWISE catalogue."""


def choose_origin(
    magnitudes: str | None, weights: str, inputs: Sequence[str], bands: Sequence[str], table: Table
) -> str | None:
    """Check a choice before any work is done.

    Parameters
    ----------
    magnitudes : str or None
        One of `ORIGINS`. None stands for "cutouts" where the weights look at magnitudes.
    weights : str
        Name of the weights.
    inputs : sequence of str
        What they look at, see `~astro_iicnet.weights.load.Weights.inputs`.
    bands : sequence of str
        Bands that they look at.
    table : `~astropy.table.Table`
        The list.

    Returns
    -------
    str or None
        One of `ORIGINS`; None where the weights look at the image alone.

    Raises
    ------
    IICnetError
        If there is no such choice, or the weights look at no magnitudes.
    SourcesError
        If the list has no columns of magnitudes, see `~astro_iicnet.fusion.colours.from_table`.
    """
    if magnitudes is not None and magnitudes not in ORIGINS:
        raise IICnetError(unknown_name("magnitudes", magnitudes, ORIGINS))
    if "magnitudes" not in inputs:
        if magnitudes is not None:
            raise IICnetError(
                f"magnitudes={magnitudes!r}, but the weights {weights!r} look at the image alone: leave "
                "magnitudes out, or take weights of the architecture 'fusion' or 'color'."
            )
        return None
    if magnitudes == "columns":
        from_table(table[:0], bands)
    return magnitudes or "cutouts"


def columns_sha256(table: Table, bands: Sequence[str]) -> str:
    """SHA-256 of the magnitudes in the columns of a list, as a network would see them.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The list.
    bands : sequence of str
        Bands that are looked at.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    SourcesError
        See `~astro_iicnet.fusion.colours.from_table`.
    """
    found = from_table(table, bands)
    return hashlib.sha256(found.mag.tobytes() + found.upper_limit.tobytes()).hexdigest()


def check_needs_no_pixels(origin: str | None, weights: str, inputs: Sequence[str]) -> None:
    """Refuse to do without images where something looks at them.

    Parameters
    ----------
    origin : str or None
        What `choose_origin` gave.
    weights : str
        Name of the weights.
    inputs : sequence of str
        What they look at.

    Raises
    ------
    ImagesError
        If the weights look at the image, or the magnitudes are measured on it.
    """
    if "image" in inputs:
        raise ImagesError(
            f"images=None (--images none), but the weights {weights!r} look at images: say where they are, "
            "or take weights of the architecture 'color'."
        )
    if origin == "cutouts":
        raise ImagesError(
            "images=None (--images none), but magnitudes are measured on images unless magnitudes='catalog' "
            "or 'columns' is said: say so, or where the images are."
        )


def find_magnitudes(
    origin: str, sources: Sources, bands: Sequence[str], photometry: Photometry | None
) -> Magnitudes:
    """Magnitudes of some rows of a list.

    Parameters
    ----------
    origin : str
        One of `ORIGINS`.
    sources : Sources
        N rows of the list.
    bands : sequence of str
        Bands that are looked at.
    photometry : `~astro_iicnet.photometry.measurement.Photometry` or None
        What was measured on their cutouts in these bands, needed for "cutouts" alone.

    Returns
    -------
    Magnitudes
        Row i for row i, in these bands.

    Raises
    ------
    SourcesError
        See `~astro_iicnet.fusion.colours.from_table`.

    Warns
    -----
    RetrievalWarning
        See `~astro_iicnet.fusion.catalogue.from_catalogue`.
    """
    if origin == "columns":
        return from_table(sources.table, bands)
    if origin == "catalog":
        # astroquery and requests are loaded for this alone.
        from astro_iicnet.fusion.catalogue import from_catalogue

        return from_catalogue(sources.coords, bands)
    return from_photometry(photometry)  # type: ignore[arg-type]
