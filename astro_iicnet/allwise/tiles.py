"""Names and places of the 18,240 Atlas tiles, and the tile that serves a position best."""

from functools import cache
from typing import NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.allwise.bands import PIXEL_SCALE

TILE_SIZE = 4095
"""Pixels on a side of a tile; its reference pixel is the one in the middle."""

_ROW_STEP = 1363 / 900
"""Degrees between two rows of tiles: a tile less an overlap of 3 arcmin."""

_N_ROWS = 119
_POLAR_ROW = _N_ROWS // 2
_CHUNK = 1 << 15

# The step in RA is constant along a row but not quite 360 deg / n, and follows no simple rule. It
# follows from the RA of the last tile of a row, given here from the equator to either pole as IRSA
# publishes it; with 360 / n the tiles at the end of the polar rows would be 40 px off.
_LAST_RA = (
    358.488749, 358.488743, 358.488972, 358.480760, 358.482340, 358.474564, 358.467776, 358.461196,
    358.454898, 358.449489, 358.434246, 358.429515, 358.415008, 358.400705, 358.386911, 358.372875,
    358.348576, 358.335253, 358.311225, 358.286433, 358.261753, 358.237052, 358.198544, 358.172982,
    358.133412, 358.107525, 358.066208, 358.023640, 357.979902, 357.916519, 357.869678, 357.821230,
    357.749973, 357.675679, 357.619796, 357.538199, 357.451111, 357.328719, 357.229149, 357.120509,
    357.005992, 356.841724, 356.704610, 356.506731, 356.286466, 356.034372, 355.824947, 355.510252,
    355.145139, 354.717599, 354.209997, 353.595959, 352.834874, 351.599879, 350.260615, 348.394923,
    345.705079, 339.770114, 329.901791, 300.460928,
)  # fmt: skip


class _Rows(NamedTuple):
    """The rows of tiles from south to north, (119,) each."""

    dec: np.ndarray
    n_tiles: np.ndarray
    ra_step: np.ndarray
    first: np.ndarray


@cache
def _rows() -> _Rows:
    number = np.arange(_N_ROWS) - _POLAR_ROW
    dec = number * _ROW_STEP
    inner_edge = np.radians(np.abs(dec) - TILE_SIZE / 2 * PIXEL_SCALE / 3600)
    n_tiles = np.rint(360 * np.cos(inner_edge) / _ROW_STEP).astype(int)
    ra_step = np.array(_LAST_RA)[np.abs(number)] / (n_tiles - 1)
    return _Rows(dec, n_tiles, ra_step, np.cumsum(n_tiles) - n_tiles)


@cache
def _coadd_ids() -> np.ndarray:
    rows = _rows()
    names = []
    for dec, n_tiles, ra_step in zip(rows.dec, rows.n_tiles, rows.ra_step, strict=True):
        # Truncated northwards of the equator, rounded away from it southwards.
        row = f"m{int(np.ceil(-dec * 10)):03d}" if dec < 0 else f"p{int(dec * 10):03d}"
        names += [f"{int(i * ra_step * 10):04d}{row}_ac51" for i in range(n_tiles)]
    return np.array(names)


def tile_grid() -> Table:
    """Names and centres of all Atlas tiles.

    The centres agree with the published ones to 1e-6 deg. They are for finding a tile; the position
    of a pixel is a matter of the image's own header.

    Returns
    -------
    `~astropy.table.Table`
        18,240 rows from south to north and by rising RA: ``coadd_id`` (str, as in "1210p015_ac51"),
        ``ra`` and ``dec`` (float64 [deg], J2000).

    References
    ----------
    IRSA, AllWISE Atlas image metadata table ``allwise_p3am_cdd``,
    https://irsa.ipac.caltech.edu/Missions/wise.html (doi:10.26131/IRSA153).
    """
    rows = _rows()
    in_row = np.arange(rows.n_tiles.sum()) - np.repeat(rows.first, rows.n_tiles)
    columns = {
        "coadd_id": _coadd_ids().copy(),
        "ra": in_row * np.repeat(rows.ra_step, rows.n_tiles),
        "dec": np.repeat(rows.dec, rows.n_tiles),
    }
    return Table(columns, units={"ra": "deg", "dec": "deg"})


def best_tile(coords: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    """The tile in which each position lies furthest from the edge.

    Neighbouring tiles overlap by 3 arcmin or more. The nearest centre is not always the best choice:
    with it 2.8 % of all 50 arcsec cutouts would be clipped, with the largest margin 3 in 10 million.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions in any frame; NaN marks one that is not usable.

    Returns
    -------
    coadd_id : numpy.ndarray
        (N,) str, empty where the position is NaN.
    margin : numpy.ndarray
        (N,) float64 [px of 1.375 arcsec]: distance to the nearest edge of that tile, NaN where the
        position is NaN. Good to 0.1 px; for the pixels themselves use the image's header.
    """
    number, margin = best_tile_number(coords)
    return np.append(_coadd_ids(), "")[number], margin


def best_tile_number(coords: SkyCoord) -> tuple[np.ndarray, np.ndarray]:
    """The same as `best_tile`, by number: quicker to sort and count when there are millions.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions in any frame; NaN marks one that is not usable.

    Returns
    -------
    number : numpy.ndarray
        (N,) int row of `tile_grid`, -1 where the position is NaN.
    margin : numpy.ndarray
        (N,) float64 as in `best_tile`.
    """
    icrs = coords.icrs
    ra, dec = np.atleast_1d(icrs.ra.deg) % 360, np.atleast_1d(icrs.dec.deg)
    usable = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    number = np.full(len(ra), -1)
    margin = np.full(len(ra), np.nan)
    for start in range(0, len(usable), _CHUNK):  # bounded memory, and quicker: it stays in the cache
        chunk = usable[start : start + _CHUNK]
        number[chunk], margin[chunk] = _best_of_neighbours(ra[chunk], dec[chunk])
    return number, margin


def _best_of_neighbours(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number and margin [px] of the best of the six tiles around each position [deg]."""
    nearest_row = np.rint(dec / _ROW_STEP).astype(int) + _POLAR_ROW
    number, margin = _best_in_row(nearest_row.clip(0, _N_ROWS - 1), ra, dec)
    for shift in (-1, 1):
        row = np.clip(nearest_row + shift, 0, _N_ROWS - 1)
        near = np.flatnonzero(_largest_margin(row, dec) > margin)
        other, to_edge = _best_in_row(row[near], ra[near], dec[near])
        better = to_edge > margin[near]
        number[near[better]], margin[near[better]] = other[better], to_edge[better]
    return number, margin


def _best_in_row(row: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The better of the two tiles of a row between which each position lies."""
    rows = _rows()
    sin_dec, cos_dec = np.sin(np.radians(dec)), np.cos(np.radians(dec))
    sin_row, cos_row = np.sin(np.radians(rows.dec))[row], np.cos(np.radians(rows.dec))[row]
    step, n_tiles = rows.ra_step[row], rows.n_tiles[row]
    west = np.minimum((ra / step).astype(int), n_tiles - 1)
    columns = np.stack([west, (west + 1) % n_tiles])
    angle = np.radians(ra - columns * step)
    x = cos_dec * np.sin(angle)
    y = sin_dec * cos_row - cos_dec * sin_row * np.cos(angle)
    margin = _pixels_inside(np.maximum(np.abs(x), np.abs(y)))
    east_is_better = margin[1] > margin[0]
    column = np.where(east_is_better, columns[1], columns[0])
    return rows.first[row] + column, np.where(east_is_better, margin[1], margin[0])


def _largest_margin(row: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """No tile of the row can hold a position of this declination [deg] with a larger margin [px]."""
    rows = _rows()
    row_dec = np.radians(rows.dec)
    widest_gap = np.radians(np.maximum(rows.ra_step, 360 - rows.ra_step * (rows.n_tiles - 1)))
    bend = np.abs(np.sin(row_dec)) * (1 - np.cos(widest_gap))
    dec = np.radians(dec)
    return _pixels_inside(np.abs(np.sin(dec - row_dec[row])) - np.cos(dec) * bend[row])


def _pixels_inside(distance: np.ndarray) -> np.ndarray:
    """Distance to the edge of a tile [px] from that to its middle [rad, along one axis]."""
    return TILE_SIZE / 2 - np.degrees(distance) * 3600 / PIXEL_SCALE
