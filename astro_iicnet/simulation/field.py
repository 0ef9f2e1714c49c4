"""A small simulated field with known classes: the sky behind ``images="simulated"``."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table, vstack
from astropy.wcs import WCS

from astro_iicnet.allwise.bands import PIXEL_SCALE
from astro_iicnet.labels import CLASSES
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.render import (
    band_flux,
    extended_sources,
    point_share,
    point_sources,
    position_error,
    saturation_factor,
    source_noise,
)
from astro_iicnet.simulation.surroundings import background, draw_neighbours, noise_field

FIELD_BANDS = ("W1", "W2", "W3", "W4")
FIELD_SIZE = 736
_SEED = 20230610
_CENTRE = SkyCoord(150.12, 2.21, unit="deg")
_PER_CLASS = 20
_GRID = 8
_STAMP = 101


@dataclass(frozen=True, eq=False)
class Field:
    """Simulated Atlas images of one patch of sky and what is in it.

    Parameters
    ----------
    images : numpy.ndarray
        (B, S, S) float32 [DN], in the order of ``bands``.
    bands : tuple of str
        Band names.
    wcs : `~astropy.wcs.WCS`
        SIN projection, 1.375 arcsec a pixel, north up.
    sources : `~astropy.table.Table`
        The labelled sources with ``ra``, ``dec`` [deg] as a catalogue would list them.
    """

    images: np.ndarray
    bands: tuple[str, ...]
    wcs: WCS
    sources: Table


@cache
def simulated_field() -> Field:
    """Make the field; the same at every call, drawn with a seed of its own.

    Returns
    -------
    Field
        16.9 arcmin on a side, 60 labelled sources, 20 of each class, at least 37 px apart.
    """
    rng = np.random.default_rng(_SEED)
    classes = [draw_sources(_PER_CLASS, rng, fractions=one) for one in np.eye(len(CLASSES)).tolist()]
    sources = vstack(classes)[rng.permutation(_PER_CLASS * len(CLASSES))]
    axis = np.arange(FIELD_SIZE, dtype=np.float32)
    listed = _place(len(sources), rng)
    true = (listed - position_error(len(sources), rng)).astype(np.float32)
    neighbours = _neighbours(true, np.asarray(sources["w1"]), rng)
    images = np.stack([_render_band(band, axis, sources, true, neighbours, rng) for band in FIELD_BANDS])
    wcs = _wcs()
    sources["ra"], sources["dec"] = wcs.wcs_pix2world(listed, 0).T
    return Field(images, FIELD_BANDS, wcs, sources)


def example_sources() -> Table:
    """The example list: the labelled sources of the field and three positions outside it.

    Returns
    -------
    `~astropy.table.Table`
        Columns ``id``, ``ra``, ``dec`` [deg, ICRS] and ``true_class`` (masked outside the field).
    """
    field = simulated_field()
    outside = np.array([[149.60, 2.21], [150.12, 2.80], [150.70, 1.60]])
    ra, dec = np.concatenate([np.stack([field.sources["ra"], field.sources["dec"]], axis=1), outside]).T
    classes = list(field.sources["class"]) + [""] * len(outside)
    table = Table(
        {"id": [f"SIM-{i + 1:03d}" for i in range(len(ra))], "ra": ra.round(7), "dec": dec.round(7)}
    )
    table["true_class"] = MaskedColumn(classes, mask=[c == "" for c in classes])
    return table


def _wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [_CENTRE.ra.deg, _CENTRE.dec.deg]
    wcs.wcs.crpix = [FIELD_SIZE / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-PIXEL_SCALE / 3600, PIXEL_SCALE / 3600]
    wcs.wcs.radesys = "ICRS"
    return wcs


def _place(n: int, rng: np.random.Generator) -> np.ndarray:
    """Positions (n, 2) [px] on a jittered grid, at least 37 px apart."""
    step = FIELD_SIZE / _GRID
    cells = rng.permutation(_GRID**2)[:n]
    corner = np.stack([cells % _GRID, cells // _GRID], axis=1)
    return (corner + 0.5) * step + rng.uniform(-1, 1, (n, 2)) * (step - 37.0) / 2


def _neighbours(true: np.ndarray, w1: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Neighbours in field pixels, less those that the catalogue would list instead of a source."""
    found = draw_neighbours(1, FIELD_SIZE + 40, np.ones(1), rng)
    found["x"] += FIELD_SIZE / 2
    found["y"] += FIELD_SIZE / 2
    near = np.hypot(found["x"] - true[:, :1], found["y"] - true[:, 1:]) < 6.0 / PIXEL_SCALE
    swallowed = (near & (found["w1"] < w1[:, None])).any(axis=0)
    return {name: values[:, ~swallowed] for name, values in found.items()}


def _render_band(
    band: str,
    axis: np.ndarray,
    sources: Table,
    true: np.ndarray,
    neighbours: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    mag = np.asarray(sources[band.lower()])
    share = point_share(sources, band)
    stretch = np.array([[0.975, 1.025]], np.float32)
    x, y = (np.concatenate([true[:, i], neighbours[name][0]])[None] for i, name in enumerate("xy"))
    flux = np.concatenate([band_flux(mag, band) * share, band_flux(neighbours[band.lower()][0], band)])
    light = point_sources(axis, x, y, flux[None], band, stretch)[0]
    for row in range(len(sources)):
        window = _window(true[row])
        inside = true[row : row + 1] - [[window[1].start, window[0].start]]
        stamp = axis[:_STAMP]
        if share[row] < 1:
            spread = band_flux(mag[row : row + 1], band) * (1 - share[row])
            light[window] += extended_sources(stamp, sources[row : row + 1], inside, spread, band, stretch)[0]
        light[window] *= saturation_factor(stamp, inside, mag[row : row + 1], band, rng)[0]
        light[window] += source_noise(light[window][None], band, rng)[0]
    light += noise_field(1, FIELD_SIZE, band, np.ones(1), rng)[0]
    return light + background(1, FIELD_SIZE, band, np.ones(1), rng)[0]


def _window(position: np.ndarray) -> tuple[slice, slice]:
    """Where a stamp around a position lies in the field, moved inside at the edges."""
    start = np.clip(np.rint(position).astype(int) - _STAMP // 2, 0, FIELD_SIZE - _STAMP)
    return slice(start[1], start[1] + _STAMP), slice(start[0], start[0] + _STAMP)
