"""Magnitudes from the AllWISE source catalogue, by position."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.exceptions import RetrievalError, RetrievalWarning
from astro_iicnet.fusion.colours import BANDS, Magnitudes, from_table, make_magnitudes
from astro_iicnet.fusion.origin import QUERY_SIZE
from astro_iicnet.fusion.xmatch import match_allwise
from astro_iicnet.labels import Status


def from_catalogue(
    coords: SkyCoord,
    bands: Sequence[str] = BANDS,
    *,
    match: Callable[[SkyCoord], Table] = match_allwise,
) -> Magnitudes:
    """Look up the magnitudes of the nearest AllWISE source within 2 arcsec.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions; those that are not finite are not asked for.
    bands : sequence of str, default ("W1", "W2", "W3")
        Bands wanted.
    match : callable, optional
        Turns positions into a table as `~astro_iicnet.fusion.xmatch.match_allwise` does. Default: that,
        which asks the cross-match service of CDS.

    Returns
    -------
    Magnitudes
        Row i for position i. The status is ``OK``; ``MISSING_MAGNITUDES`` where AllWISE has no source;
        ``RETRIEVAL_FAILED`` where the service did not answer, which ends no list;
        ``BAD_COORDINATES`` where there is no position.

    Raises
    ------
    ImagesError
        If there is no such band.

    Warns
    -----
    RetrievalWarning
        If the service did not answer, once.
    """
    n = len(coords)
    mag, error = np.full((n, len(bands)), np.nan), np.full((n, len(bands)), np.nan)
    limit = np.zeros((n, len(bands)), dtype=bool)
    asked = np.flatnonzero(np.isfinite(coords.icrs.ra.deg) & np.isfinite(coords.icrs.dec.deg))
    failed, problem = [], None
    for start in range(0, len(asked), QUERY_SIZE):
        rows = asked[start : start + QUERY_SIZE]
        try:
            found = match(coords[rows])
        except RetrievalError as caught:
            failed.append(rows)
            problem = problem or caught
            continue
        known = from_table(found, bands)
        where = rows[np.asarray(found["row"])]
        mag[where], error[where], limit[where] = known.mag, known.error, known.upper_limit
    magnitudes = make_magnitudes(bands, mag, error, limit)
    magnitudes.status[np.setdiff1d(np.arange(n), asked)] = Status.BAD_COORDINATES
    if problem is not None:
        lost = np.concatenate(failed)
        magnitudes.status[lost] = Status.RETRIEVAL_FAILED
        warnings.warn(
            f"No magnitudes for {len(lost)} of {n} sources: {problem}", RetrievalWarning, stacklevel=2
        )
    return magnitudes
