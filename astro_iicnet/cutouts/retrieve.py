"""The runner: a long list of positions, chunk by chunk, the next one on its way while this one is used."""

import inspect
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future

import numpy as np
from astropy.coordinates import SkyCoord
from tqdm import tqdm

from astro_iicnet.allwise.tiles import best_tile_number
from astro_iicnet.cutouts.base import Cutouts, CutoutSource
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.labels import Status

CHUNK_SIZE = 2048
"""Sources fetched at a time: about 40 MB of pixels in three bands."""


def retrieve(
    source: CutoutSource,
    coords: SkyCoord,
    bands: tuple[str, ...],
    *,
    chunk_size: int = CHUNK_SIZE,
    progress: bool = True,
) -> Generator[tuple[np.ndarray, Cutouts], None, None]:
    """Fetch cutouts in chunks, ordered on the sky; the next chunk is fetched while the caller works.

    At most three chunks are in memory. One fetch runs at a time, in a thread of its own; it is the
    source that opens several connections. A source whose ``fetch`` takes ``progress``, a callable
    that is given the numbers of rows done and of those not ok since its last call, moves the bar as
    it goes; any other moves it a chunk at a time. Closing the iterator ends a fetch at the source's
    next report.

    Parameters
    ----------
    source : CutoutSource
        Whoever brings the pixels.
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions.
    bands : tuple of str
        Band names, as in ``("W1", "W2", "W3")``.
    chunk_size : int, default 2048
        Sources in a chunk.
    progress : bool, default True
        Show progress on stderr.

    Yields
    ------
    rows : numpy.ndarray
        (M,) int: which positions these are. Each of the N comes once, in the order of `sky_order`, so
        that the chunks follow from the list alone.
    cutouts : Cutouts
        M rows in the order of ``rows``.

    Raises
    ------
    IICnetError
        If ``chunk_size`` is not a positive integer.
    ImagesError
        If the source raises it, or brings another number of cutouts than asked for.
    """
    check_chunk_size(chunk_size)
    order = sky_order(coords)
    chunks = [order[start : start + chunk_size] for start in range(0, len(order), chunk_size)]
    with tqdm(total=len(order), unit="source", disable=not progress) as bar:
        run = _Run(source, coords, bands, bar)
        try:
            pending = [_start(run.fetch, rows) for rows in chunks[:1]]
            for index, rows in enumerate(chunks):
                cutouts = pending.pop().result()
                pending.extend(_start(run.fetch, later) for later in chunks[index + 1 : index + 2])
                yield rows, cutouts
                # Or three chunks would be alive when the next has come.
                del cutouts
        finally:
            run.stop.set()


def check_chunk_size(chunk_size: int) -> None:
    """Refuse a number of sources that makes no chunk.

    Parameters
    ----------
    chunk_size : int
        Sources in a chunk.

    Raises
    ------
    IICnetError
        If it is not an integer of at least 1.
    """
    if not (isinstance(chunk_size, int | np.integer) and chunk_size >= 1):
        raise IICnetError(f"chunk_size is {chunk_size!r}, expected an integer of at least 1.")


def sky_order(coords: SkyCoord) -> np.ndarray:
    """Order in which sources of one tile, and in it of similar rows, come together.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions.

    Returns
    -------
    numpy.ndarray
        (N,) int: indices that sort by number of the best tile, then declination, then place in the list.
    """
    tile, _ = best_tile_number(coords)
    return np.lexsort((coords.icrs.dec.deg, tile))


class _Stopped(BaseException):
    """Nobody waits for this fetch any more. No Exception, so that no source takes it for a failure."""


class _Run:
    """The fetches of one run, one after the other, and what they have done so far on a bar."""

    def __init__(self, source: CutoutSource, coords: SkyCoord, bands: tuple[str, ...], bar: tqdm) -> None:
        self.stop = threading.Event()
        self._source = source
        self._coords = coords
        self._bands = bands
        self._bar = bar
        self._n_done = 0
        self._n_not_ok = 0

    def fetch(self, rows: np.ndarray) -> Cutouts:
        n_done, n_not_ok = self._n_done, self._n_not_ok
        more = {"progress": self._report} if _takes_progress(self._source) else {}
        cutouts = self._source.fetch(self._coords[rows], self._bands, **more)
        if len(cutouts) != len(rows):
            raise ImagesError(
                f"The images {self._source.name!r} brought {len(cutouts)} cutouts for {len(rows)} positions; "
                "expected one for each."
            )
        n_done += len(rows)
        n_not_ok += int(np.count_nonzero(cutouts.status != Status.OK))
        self._report(n_done - self._n_done, n_not_ok - self._n_not_ok)
        return cutouts

    def _report(self, n_done: int, n_not_ok: int) -> None:
        if self.stop.is_set():
            raise _Stopped
        self._n_done += n_done
        self._n_not_ok += n_not_ok
        if self._n_not_ok:
            self._bar.set_postfix_str(f"{self._n_not_ok} not ok", refresh=False)
        self._bar.update(n_done)


def _takes_progress(source: CutoutSource) -> bool:
    return "progress" in inspect.signature(source.fetch).parameters


def _start(function: Callable[[np.ndarray], Cutouts], rows: np.ndarray) -> "Future[Cutouts]":
    """Call in a thread that dies with the process: after an interrupt nobody waits for it."""
    future: Future[Cutouts] = Future()

    def call() -> None:
        try:
            future.set_result(function(rows))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="fetch", daemon=True).start()
    return future
