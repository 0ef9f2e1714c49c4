"""Who is on the simulated sky: labelled sources like an SDSS spectroscopic sample crossed with AllWISE."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from astro_iicnet.labels import CLASSES
from astro_iicnet.simulation.galaxies import draw_galaxies
from astro_iicnet.simulation.quasars import draw_quasars
from astro_iicnet.simulation.selection import Columns, concatenate
from astro_iicnet.simulation.stars import draw_stars


def draw_sources(
    n: int, rng: np.random.Generator, *, fractions: Sequence[float] = (1 / 3, 1 / 3, 1 / 3)
) -> Table:
    """
    Draw labelled sources: class, magnitudes, redshift and shape.

    The distributions and where they come from are in `draw_galaxies`, `draw_quasars` and
    `draw_stars`. All sources pass the same faint limit, a smooth step at W1 = 17.1
    (`astro_iicnet.simulation.selection.completeness`).

    Parameters
    ----------
    n : int
        Number of sources.
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same table.
    fractions : sequence of 3 float, optional
        Probability of each class, in the order of `astro_iicnet.labels.CLASSES`; they are scaled to
        sum 1. Default: equal.

    Returns
    -------
    astropy.table.Table
        One row per source, in random order:

        - ``class`` (str), ``subtype`` (str), ``redshift`` (0 for stars);
        - ``w1``, ``w2``, ``w3``, ``w4``: total Vega magnitudes;
        - ``point_fraction`` (n, 4): share of the light of each band that is unresolved;
        - ``radius`` (arcsec): semi-major half-light axis of the resolved part, 0 if there is none;
        - ``sersic_n``, ``axis_ratio`` and ``position_angle`` (deg, east of north) of the resolved
          part.

    Raises
    ------
    ValueError
        If `n` is negative, or `fractions` are not three finite numbers >= 0 with a positive sum.
    """
    probabilities = np.asarray(fractions, dtype=float)
    if probabilities.shape != (3,) or not np.all(probabilities >= 0) or not 0 < probabilities.sum() < np.inf:
        raise ValueError(f"fractions must be three numbers >= 0 with a positive sum, not {fractions!r}")
    if n < 0:
        raise ValueError(f"n must not be negative: {n}")
    counts = rng.multinomial(n, probabilities / probabilities.sum())
    drawers = {"galaxy": draw_galaxies, "quasar": draw_quasars, "star": _point_stars}
    columns = concatenate(
        [drawers[name](int(count), rng) for name, count in zip(CLASSES, counts, strict=True)]
    )
    columns["class"] = np.repeat(np.array(CLASSES), counts)
    columns["position_angle"] = rng.uniform(0, 180, n)
    order = rng.permutation(n)
    names = ["class", "subtype", "redshift", "w1", "w2", "w3", "w4", "point_fraction"]
    names += ["radius", "sersic_n", "axis_ratio", "position_angle"]
    return Table({name: columns[name][order] for name in names})


def _point_stars(n: int, rng: np.random.Generator) -> Columns:
    """Stars with the shape columns of a point source."""
    ones = np.ones(n)
    shape = {"point_fraction": np.ones((n, 4)), "radius": np.zeros(n), "sersic_n": ones, "axis_ratio": ones}
    return draw_stars(n, rng) | shape
