"""Labelled cutouts, simulated afresh: a dataset, or a stream of them for the epochs of a training."""

import multiprocessing
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import Status
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.render import DENSEST, render

CHUNK_SIZE = 2000
"""Sources simulated at a time; each chunk has its own random stream, so changing it changes the data."""

EQUAL_FRACTIONS = (1 / 3, 1 / 3, 1 / 3)


class _Sample(NamedTuple):
    """What is drawn and rendered."""

    fractions: tuple[float, float, float]
    bands: tuple[str, ...]
    densest: float


def simulate_dataset(
    n: int,
    *,
    seed: int | np.random.SeedSequence,
    fractions: tuple[float, float, float] = EQUAL_FRACTIONS,
    bands: tuple[str, ...] = ("W1", "W2", "W3"),
    densest: float = DENSEST,
    workers: int | None = None,
) -> tuple[Cutouts, Table]:
    """Simulate labelled cutouts; the result depends on everything here but ``workers``.

    Parameters
    ----------
    n : int
        Number of sources.
    seed : int or `numpy.random.SeedSequence`
        Seed of all that is drawn.
    fractions : tuple of float, default equal
        Share of galaxies, quasars and stars.
    bands : tuple of str, default ``("W1", "W2", "W3")``
        Bands to render.
    densest : float, default 16
        Highest star density, see `~astro_iicnet.simulation.render.draw_crowding`.
    workers : int, optional
        Processes; by default one for each available core. With 1 nothing is started; with more,
        a script must guard its main code with ``if __name__ == "__main__":``.

    Returns
    -------
    cutouts : Cutouts
        N cutouts, all with status ok, tile ``"simulated"``.
    table : `~astropy.table.Table`
        The truth: all columns of `~astro_iicnet.simulation.populations.draw_sources`.

    Raises
    ------
    IICnetError
        If ``n`` or ``workers`` is below 1.
    """
    if n < 1 or (workers is not None and workers < 1):
        raise IICnetError(f"n={n}, workers={workers}: both must be at least 1.")
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    sample = _Sample(fractions, tuple(bands), densest)
    chunks = _chunks(n, sequence, sample)
    workers = min(workers or _available_cores(), len(chunks))
    if workers == 1:
        return _assemble((_simulate_chunk(*chunk) for chunk in chunks), n, sequence, sample)
    with _start_workers(workers) as executor:
        results = executor.map(_simulate_chunk, *zip(*chunks, strict=True))
        return _assemble(results, n, sequence, sample)


def _assemble(
    results: Iterable[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]],
    n: int,
    sequence: np.random.SeedSequence,
    sample: _Sample,
) -> tuple[Cutouts, Table]:
    """One dataset from the chunks in their order."""
    pixels = np.empty((n, len(sample.bands), CUTOUT_SIZE, CUTOUT_SIZE), dtype=np.float32)
    offset = np.empty((n, 2), dtype=np.float32)
    columns: dict[str, list[np.ndarray]] = {}
    start = 0
    for chunk_pixels, chunk_offset, chunk_columns in results:
        rows = slice(start, start + len(chunk_offset))
        pixels[rows], offset[rows] = chunk_pixels, chunk_offset
        for name, column in chunk_columns.items():
            columns.setdefault(name, []).append(column)
        start = rows.stop
    table = Table({name: np.concatenate(parts) for name, parts in columns.items()})
    table.meta = _simulation_provenance(sequence, sample)
    status = np.full(n, Status.OK, dtype=np.uint8)
    tile = np.full(n, "simulated")
    return Cutouts(pixels, offset, sample.bands, zero_points(sample.bands), status, tile), table


def _simulation_provenance(sequence: np.random.SeedSequence, sample: _Sample) -> dict[str, str]:
    return {
        "origin": "simulated AllWISE-like cutouts, astro_iicnet.simulation",
        "seed": str(sequence.entropy),
        "spawnkey": " ".join(map(str, sequence.spawn_key)),
        "fraction": " ".join(f"{share:.6g}" for share in sample.fractions),
        "bands": " ".join(sample.bands),
        "densest": f"{sample.densest:g}",
        "chunk": str(CHUNK_SIZE),
        "iicnet": version("astro_iicnet"),
        "numpy": np.__version__,
    }


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _simulate_chunk(
    n: int, sequence: np.random.SeedSequence, sample: _Sample
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(sequence)
    sources = draw_sources(n, rng, fractions=sample.fractions)
    pixels, offset = render(sources, rng, bands=sample.bands, size=CUTOUT_SIZE, densest=sample.densest)
    return pixels, offset, {name: np.asarray(sources[name]) for name in sources.colnames}


def _chunks(
    n: int, sequence: np.random.SeedSequence, sample: _Sample
) -> list[tuple[int, np.random.SeedSequence, _Sample]]:
    """Arguments of `_simulate_chunk` for each chunk."""
    # Children by key, not spawn(): a sequence that is used twice must give the same data twice.
    return [
        (
            min(CHUNK_SIZE, n - start),
            np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, index)),
            sample,
        )
        for index, start in enumerate(range(0, n, CHUNK_SIZE))
    ]


def _start_workers(workers: int) -> ProcessPoolExecutor:
    # Not fork: torch's threads may run in the parent.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent)


def _die_with_parent() -> None:
    """Without this, workers outlive a parent that was killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class SimulatedStream:
    """Fresh simulated sources for every epoch; the next epoch is made while this one is used.

    Epoch ``i`` is a function of ``seed`` and ``i`` alone: a resumed training sees what an
    uninterrupted one would have seen, and nothing twice.

    Parameters
    ----------
    n_per_epoch : int
        Sources in each epoch.
    seed : int
        Seed of the stream; keep it apart from those of validation and test sets.
    fractions : tuple of float, default equal
        Share of galaxies, quasars and stars.
    bands : tuple of str, default ``("W1", "W2", "W3")``
        Bands to render.
    densest : float, default 16
        Highest star density, see `~astro_iicnet.simulation.render.draw_crowding`.
    workers : int, optional
        Processes that simulate; by default one for each available core.
    """

    def __init__(
        self,
        n_per_epoch: int,
        seed: int,
        *,
        fractions: tuple[float, float, float] = EQUAL_FRACTIONS,
        bands: tuple[str, ...] = ("W1", "W2", "W3"),
        densest: float = DENSEST,
        workers: int | None = None,
    ) -> None:
        self.n_per_epoch = n_per_epoch
        self.seed = seed
        self._sample = _Sample(fractions, tuple(bands), densest)
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._ahead: dict[int, list[Future]] = {}

    def __len__(self) -> int:
        return self.n_per_epoch

    def __repr__(self) -> str:
        fractions, bands, densest = self._sample
        return (
            f"SimulatedStream(n_per_epoch={self.n_per_epoch}, seed={self.seed}, "
            f"fractions={fractions}, bands={bands}, densest={densest:g})"
        )

    def prefetch(self, epoch: int) -> None:
        """Start to simulate an epoch in the background.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        """
        if epoch in self._ahead:
            return
        if self._executor is None:
            self._executor = _start_workers(self.workers or _available_cores())
        chunks = _chunks(self.n_per_epoch, self._sequence(epoch), self._sample)
        self._ahead[epoch] = [self._executor.submit(_simulate_chunk, *chunk) for chunk in chunks]

    def epoch(self, epoch: int) -> tuple[Cutouts, Table]:
        """Wait for the sources of one epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.

        Returns
        -------
        cutouts : Cutouts
            ``n_per_epoch`` cutouts.
        table : `~astropy.table.Table`
            Their truth.
        """
        self.prefetch(epoch)
        futures = self._ahead.pop(epoch)
        results = (future.result() for future in futures)
        return _assemble(results, self.n_per_epoch, self._sequence(epoch), self._sample)

    def close(self) -> None:
        """End the background processes and drop what they made ahead; a later epoch starts new ones."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None
        self._ahead.clear()

    def _sequence(self, epoch: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(epoch,))
