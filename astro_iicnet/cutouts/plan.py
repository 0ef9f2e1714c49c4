"""What a retrieval will cost, before a single request is sent."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.allwise.bands import PIXEL_SCALE, get_band
from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile_number, tile_grid
from astro_iicnet.config import conf
from astro_iicnet.cutouts import Images, open_images
from astro_iicnet.cutouts.fallback import Fallback
from astro_iicnet.cutouts.piece import GAP_ROWS, MAX_ROWS, REACH, ROW_BYTES
from astro_iicnet.cutouts.retrieve import CHUNK_SIZE, check_chunk_size

CUTOUT_BYTES = 14_400
"""One cutout of IRSA: 45 or 46 pixels on a side as float32 and the header of a tile, in FITS blocks."""

HIPS_BYTES = 11_520
"""One answer of hips2fits: 41 x 41 float32 pixels and a short header, in FITS blocks."""

HEADER_BYTES = 5_760
"""Header of a tile, fetched once for a tile and band whose rows are wanted."""

CUTOUT_SECONDS = 0.5
"""Assumed time until IRSA has cut an image and it begins to arrive [s], connections being kept."""

RANGE_SECONDS = 0.15
"""Assumed time until a part of a file begins to arrive [s], connections being kept."""

BANDWIDTH = 10e6
"""Assumed speed of the line, over all connections [bytes/s]."""

REGION_RANGE_SECONDS = 0.03
"""The same as `RANGE_SECONDS` within the region of the bucket [s]."""

REGION_BANDWIDTH = 500e6
"""The same as `BANDWIDTH` within the region of the bucket [bytes/s]."""

_REGION = "us-west-2"
_WORTH_SAYING = 0.7  # an alternative must take less than this share of the time
_LONG = 1800.0  # s: below this nobody needs advice
_THRESHOLDS = (5, 10, 20, 50, 100, 200, 500, 5000)
_BITS = 12  # hold a pixel coordinate


@dataclass(frozen=True)
class Plan:
    """What fetching the cutouts of a list will take, if nothing of it is in the store.

    Parameters
    ----------
    images : str
        Name of the image source.
    n_sources : int
        Positions that are usable.
    n_tiles : int
        Atlas tiles in which they lie.
    n_requests : int
        Requests to the archive.
    n_bytes : int
        Bytes that it sends.
    seconds : float
        Time that takes, as assumed by the constants of this module and with ``conf.max_connections``.
    advice : tuple of str
        What would serve better, one sentence or two each.
    """

    images: str
    n_sources: int
    n_tiles: int
    n_requests: int
    n_bytes: int
    seconds: float
    advice: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.n_sources:,} sources in {self.n_tiles:,} Atlas tiles, images from {self.images!r}"]
        if self.n_requests:
            lines += [
                f"{self.n_requests:,} requests, {_size(self.n_bytes)}, about {_duration(self.seconds)} "
                f"with {conf.max_connections} connections at {BANDWIDTH / 1e6:g} MB/s,",
                "if nothing is in the store of cutouts yet and nothing fails",
            ]
        else:
            lines.append("no requests")
        return "\n".join([*lines, *(f"Advice: {text}" for text in self.advice)])


def plan_retrieval(
    coords: SkyCoord, bands: tuple[str, ...], images: Images, *, chunk_size: int = CHUNK_SIZE
) -> Plan:
    """Say what fetching cutouts will cost; nothing is fetched.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions; NaN is passed over.
    bands : tuple of str
        Band names, as in ``("W1", "W2", "W3")``.
    images : str, pathlib.Path, CutoutSource or list of these
        As in `~astro_iicnet.cutouts.open_images`. Of a list, all are expected to come from the first.
    chunk_size : int, default 2048
        Sources fetched at a time, as in `~astro_iicnet.cutouts.retrieve.retrieve`.

    Returns
    -------
    Plan
        The estimate. Sources that know no requests, as a folder, cost none.

    Raises
    ------
    ImagesError
        If there is no such image source or band.
    IICnetError
        If ``chunk_size`` is not a positive integer.
    """
    check_chunk_size(chunk_size)
    for band in bands:
        get_band(band)
    source = open_images(images)
    first = source.sources[0] if isinstance(source, Fallback) else source
    places = _places(coords, chunk_size)
    if first.name == "irsa":
        cost = _irsa_cost(places, conf.tile_threshold)
    elif first.name == "aws":
        cost = _rows_cost(places)
    elif first.name == "hips":
        cost = _Cost(len(places.key), len(places.key) * HIPS_BYTES, len(places.key) * CUTOUT_SECONDS)
    else:
        cost = _Cost(0, 0, 0.0)
    cost = cost.times(len(bands))
    return Plan(
        source.name,
        places.n_sources,
        len(np.unique(places.tile)),
        cost.n_requests,
        cost.n_bytes,
        cost.seconds(),
        tuple(_advice(first.name, places, cost, len(bands))),
    )


class _Cost(NamedTuple):
    """Requests, bytes, and the seconds for which connections wait for the first byte, all together."""

    n_requests: int
    n_bytes: int
    waiting: float

    def times(self, factor: int) -> "_Cost":
        return _Cost(self.n_requests * factor, self.n_bytes * factor, self.waiting * factor)

    def plus(self, other: "_Cost") -> "_Cost":
        return _Cost(
            self.n_requests + other.n_requests, self.n_bytes + other.n_bytes, self.waiting + other.waiting
        )

    def seconds(self, bandwidth: float = BANDWIDTH) -> float:
        return self.waiting / conf.max_connections + self.n_bytes / bandwidth


class _Places(NamedTuple):
    """Middle pixels, each once in a chunk, sorted by chunk, tile and row.

    ``key`` (M,) int tells a middle pixel from all others, its lowest bits are x and y; ``tile`` (M,) int;
    ``group`` (M,) int from 0 numbers the pairs of chunk and tile; ``n_sources`` counts the positions.
    """

    key: np.ndarray
    tile: np.ndarray
    group: np.ndarray
    n_sources: int

    @property
    def y(self) -> np.ndarray:
        return (self.key >> _BITS) & ((1 << _BITS) - 1)

    def only(self, which: np.ndarray) -> "_Places":
        return _Places(self.key[which], self.tile[which], self.group[which], self.n_sources)


def _places(coords: SkyCoord, chunk_size: int) -> _Places:
    icrs = coords.icrs
    tile, _ = best_tile_number(coords)
    # As the runner sorts them, unusable positions first: so tiles are cut where its chunks end.
    dec = np.where(tile >= 0, icrs.dec.deg, 0.0)
    order = np.argsort(tile * 1000.0 + dec, kind="stable")
    chunk = np.arange(len(order)) // chunk_size
    usable = tile[order] >= 0
    order, chunk = order[usable], chunk[usable]
    tile, ra, dec = tile[order], icrs.ra.deg[order], dec[order]
    grid = tile_grid()
    group = np.cumsum((np.diff(tile, prepend=-1) != 0) | (np.diff(chunk, prepend=-1) != 0)) - 1
    angle = np.radians(ra - grid["ra"].data[tile])
    lat, lat0 = np.radians(dec), np.radians(grid["dec"].data)
    x = _to_pixel(-np.cos(lat) * np.sin(angle))
    y = _to_pixel(np.sin(lat) * np.cos(lat0)[tile] - np.cos(lat) * np.sin(lat0)[tile] * np.cos(angle))
    key = np.sort((((group << _BITS) | y) << _BITS) | x)  # groups stay where they are
    return _Places(key, tile, group, len(key)).only(np.diff(key, prepend=-1) != 0)


def _to_pixel(distance: np.ndarray) -> np.ndarray:
    """Nearest pixel of the tile at a distance from its middle [rad, along one axis]."""
    pixel = np.rint(np.degrees(distance) * 3600 / PIXEL_SCALE).astype(int) + TILE_SIZE // 2
    return np.clip(pixel, 0, TILE_SIZE - 1)


def _irsa_cost(places: _Places, threshold: int) -> _Cost:
    """In one band, with rows of a tile from so many middle pixels on."""
    by_rows = (np.bincount(places.group) >= threshold)[places.group]
    n_cutouts = int(np.count_nonzero(~by_rows))
    cutouts = _Cost(n_cutouts, n_cutouts * CUTOUT_BYTES, n_cutouts * CUTOUT_SECONDS)
    return cutouts.plus(_rows_cost(places.only(by_rows)))


def _rows_cost(places: _Places) -> _Cost:
    """In one band, with rows of all tiles."""
    n_headers = len(np.unique(places.tile))
    n_blocks, n_rows = _row_blocks(places)
    n_requests = n_headers + n_blocks
    return _Cost(n_requests, n_headers * HEADER_BYTES + n_rows * ROW_BYTES, n_requests * RANGE_SECONDS)


def _row_blocks(places: _Places) -> tuple[int, int]:
    """Number of requests for rows and of the rows, neighbours merged and large blocks divided."""
    y = places.y
    first, last = np.maximum(y - REACH, 0), np.minimum(y + REACH, TILE_SIZE - 1)
    new_group = np.diff(places.group, prepend=-1) != 0
    is_start = new_group | (first > np.concatenate([[0], last[:-1]]) + GAP_ROWS)
    starts = np.flatnonzero(is_start)
    ends = np.append(starts[1:], len(y))  # of what hangs together; a block may end before
    height = places.group * 2 * TILE_SIZE  # so that rows rise through all groups
    n_blocks = n_rows = 0
    while len(starts):
        stops = np.searchsorted(height + last, (height + first)[starts] + MAX_ROWS)
        stops = np.minimum(stops, ends)
        n_blocks += len(starts)
        n_rows += int(np.sum(last[stops - 1] - first[starts] + 1))
        more = stops < ends
        starts, ends = stops[more], ends[more]
    return n_blocks, n_rows


def _advice(name: str, places: _Places, cost: _Cost, n_bands: int) -> list[str]:
    """What would be quicker by far, where it matters."""
    now = cost.seconds()
    if name not in ("irsa", "aws", "hips") or now < _LONG:
        return []
    advice = []
    set_now = conf.tile_threshold
    costs = {n: _irsa_cost(places, n).times(n_bands) for n in (set_now, *_THRESHOLDS)}
    best = min(costs, key=lambda threshold: costs[threshold].seconds())
    irsa, aws = costs[best], _rows_cost(places).times(n_bands)
    if irsa.seconds() < _WORTH_SAYING * now:
        setting = "" if best == set_now else f" with conf.tile_threshold = {best} (now {set_now})"
        advice.append(f"images='irsa'{setting} would take {_in_words(irsa, irsa.seconds())}.")
    others = min(now, irsa.seconds())
    if name != "aws" and aws.seconds() < _WORTH_SAYING * others:
        advice.append(f"images='aws' would take {_in_words(aws, aws.seconds())}.")
    nearby = aws._replace(waiting=aws.n_requests * REGION_RANGE_SECONDS).seconds(REGION_BANDWIDTH)
    if nearby < _WORTH_SAYING * others:
        advice.append(
            f"On a machine in the AWS region {_REGION}, where the images are, images='aws' would take "
            f"{_in_words(aws, nearby)}."
        )
    return advice


def _in_words(cost: _Cost, seconds: float) -> str:
    return f"about {_duration(seconds)} ({cost.n_requests:,} requests, {_size(cost.n_bytes)})"


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _duration(seconds: float) -> str:
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{np.ceil(seconds / length):.0f} {unit}"
    return f"{np.ceil(seconds / 86_400):.0f} days"
