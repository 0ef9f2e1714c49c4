"""Labelled cutouts: one FITS file each, or simulated afresh."""

import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.exceptions import IICnetError, unknown_name
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.simulation.populations import draw_sources
from astro_iicnet.simulation.render import render

CHUNK_SIZE = 2000
"""Sources simulated at a time; each chunk has its own random stream, so changing it changes the data."""

EQUAL_FRACTIONS = (1 / 3, 1 / 3, 1 / 3)


class Split(NamedTuple):
    """Row numbers of the three parts of a dataset."""

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray


def class_labels(table: Table) -> np.ndarray:
    """Label indices of the column ``class``.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Has a column ``class`` with names from `~astro_iicnet.labels.CLASSES`.

    Returns
    -------
    numpy.ndarray
        (N,) int64 index into `~astro_iicnet.labels.CLASSES`.

    Raises
    ------
    IICnetError
        If there is no such column or it holds an unknown class.
    """
    if "class" not in table.colnames:
        raise IICnetError(f"No column 'class' among {', '.join(table.colnames)}: it holds the true class.")
    names = np.char.strip(np.asarray(table["class"]).astype(str))
    labels = np.full(len(names), -1, dtype=np.int64)
    for index, name in enumerate(CLASSES):
        labels[names == name] = index
    if (labels < 0).any():
        raise IICnetError(unknown_name("class", str(names[labels < 0][0]), CLASSES))
    return labels


def split(labels: np.ndarray, *, seed: int = 0) -> Split:
    """Divide rows 8:1:1 at random, class by class, as the paper does.

    Parameters
    ----------
    labels : numpy.ndarray
        (N,) label indices.
    seed : int, default 0
        Seed of the shuffle.

    Returns
    -------
    Split
        Sorted row numbers ``train``, ``test`` and ``validation``.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Table 1: with its class sizes the parts have its sizes.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        n_train = len(rows) * 8 // 10
        n_test = (len(rows) - n_train + 1) // 2
        for part, piece in zip(parts, np.split(rows, [n_train, n_train + n_test]), strict=True):
            part.append(piece)
    return Split(*(np.sort(np.concatenate(part or [np.empty(0, int)])).astype(np.int64) for part in parts))


def write_dataset(path: str | os.PathLike[str], cutouts: Cutouts, table: Table) -> None:
    """Write labelled cutouts to one FITS file, replacing any file of that name.

    The file has a primary header with the provenance (``table.meta``), an image extension
    ``PIXELS`` and a table extension ``SOURCES``. It appears under its name only when complete.

    Parameters
    ----------
    path : path
        The file to write.
    cutouts : Cutouts
        N cutouts; their offset, status and tile become columns.
    table : `~astropy.table.Table`
        N rows, with a column ``class``; its scalar ``meta`` goes into the primary header.

    Raises
    ------
    IICnetError
        If the lengths differ, a class is unknown or the file cannot be written.
    """
    path = Path(path)
    if len(cutouts) != len(table):
        raise IICnetError(f"{len(cutouts)} cutouts and {len(table)} table rows: one each, in the same order.")
    class_labels(table)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _to_fits(cutouts, table).writeto(temporary, overwrite=True)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise IICnetError(f"Cannot write the dataset {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _to_fits(cutouts: Cutouts, table: Table) -> fits.HDUList:
    primary = fits.PrimaryHDU(header=_provenance_header(table.meta))
    pixels = fits.ImageHDU(np.asarray(cutouts.pixels, dtype=np.float32), name="PIXELS")
    pixels.header["BUNIT"] = "DN"
    for index, (band, magzp) in enumerate(zip(cutouts.bands, cutouts.magzp, strict=True), start=1):
        pixels.header[f"BAND{index}"] = (band, f"band of plane {index}")
        pixels.header[f"MAGZP{index}"] = (float(magzp), "[mag] Vega magnitude of 1 DN")
    sources = fits.table_to_hdu(_with_cutout_columns(table, cutouts))
    sources.name = "SOURCES"
    return fits.HDUList([primary, pixels, sources])


def _provenance_header(meta: dict) -> fits.Header:
    """Scalar provenance as header cards; upper case, HIERARCH where longer than 8 letters."""
    header = fits.Header()
    header["CONTENT"] = "astro_iicnet labelled cutouts"
    for key, value in meta.items():
        if np.isscalar(value) and key.upper() not in header:
            name = key.upper() if len(key) <= 8 else f"HIERARCH {key.upper()}"
            header[name] = value.item() if isinstance(value, np.generic) else value
    return header


def _with_cutout_columns(table: Table, cutouts: Cutouts) -> Table:
    full = Table(table, copy=False)
    full.meta = {}
    full["offset_x"] = cutouts.offset[:, 0].astype(np.float32)
    full["offset_y"] = cutouts.offset[:, 1].astype(np.float32)
    full["status"] = cutouts.status.astype(np.uint8)
    full["tile"] = np.asarray(cutouts.tile, dtype=str)
    return full


def read_dataset(path: str | os.PathLike[str]) -> tuple[Cutouts, Table]:
    """Read labelled cutouts; the pixels stay on disk (memory-mapped) until they are used.

    Parameters
    ----------
    path : path
        A file of `write_dataset`.

    Returns
    -------
    cutouts : Cutouts
        N cutouts; ``pixels`` are memory-mapped, big-endian as FITS has them.
    table : `~astropy.table.Table`
        All columns of ``SOURCES``; the provenance is in ``meta`` (keys in lower case).

    Raises
    ------
    IICnetError
        If the file is missing, not FITS, truncated or not such a dataset.
    """
    try:
        return _read(Path(path))
    except FileNotFoundError as error:
        raise IICnetError(f"No dataset at {path}: check the path.") from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise IICnetError(
            f"{path} is not a complete dataset of astro_iicnet (extensions PIXELS and SOURCES): {error}"
        ) from error


def _read(path: Path) -> tuple[Cutouts, Table]:
    # astropy only warns about a truncated file; its pixels would fail much later.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hdus = fits.open(path, memmap=True, lazy_load_hdus=False)
    with hdus:
        damage = [str(w.message) for w in caught if issubclass(w.category, AstropyUserWarning)]
        if damage:
            raise ValueError(damage[0])
        provenance, header = hdus[0].header, hdus["PIXELS"].header
        table = Table.read(hdus["SOURCES"], memmap=False)
        pixels = hdus["PIXELS"].data
    table.convert_bytestring_to_unicode()
    skip = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "CONTENT", "COMMENT", "HISTORY", ""}
    table.meta = {key.lower(): value for key, value in provenance.items() if key not in skip}
    n_bands = pixels.shape[1]
    tile = np.asarray(table["tile"].filled("") if table.masked else table["tile"]).astype(str)
    cutouts = Cutouts(
        pixels,
        np.stack([np.asarray(table[name], dtype=np.float32) for name in ("offset_x", "offset_y")], axis=1),
        tuple(header[f"BAND{index + 1}"] for index in range(n_bands)),
        np.array([header[f"MAGZP{index + 1}"] for index in range(n_bands)]),
        np.asarray(table["status"], dtype=np.uint8),
        tile,
    )
    class_labels(table)
    return cutouts, table


def simulate_dataset(
    n: int,
    *,
    seed: int | np.random.SeedSequence,
    fractions: tuple[float, float, float] = EQUAL_FRACTIONS,
    bands: tuple[str, ...] = ("W1", "W2", "W3"),
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
    chunks = _chunks(n, sequence, fractions, bands)
    workers = min(workers or _available_cores(), len(chunks))
    if workers == 1:
        return _assemble((_simulate_chunk(*chunk) for chunk in chunks), n, sequence, fractions, bands)
    with _start_workers(workers) as executor:
        results = executor.map(_simulate_chunk, *zip(*chunks, strict=True))
        return _assemble(results, n, sequence, fractions, bands)


def _assemble(
    results: Iterable[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]],
    n: int,
    sequence: np.random.SeedSequence,
    fractions: tuple[float, float, float],
    bands: tuple[str, ...],
) -> tuple[Cutouts, Table]:
    """One dataset from the chunks in their order."""
    pixels = np.empty((n, len(bands), CUTOUT_SIZE, CUTOUT_SIZE), dtype=np.float32)
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
    table.meta = _simulation_provenance(sequence, fractions, bands)
    status = np.full(n, Status.OK, dtype=np.uint8)
    tile = np.full(n, "simulated")
    return Cutouts(pixels, offset, tuple(bands), zero_points(bands), status, tile), table


def _simulation_provenance(
    sequence: np.random.SeedSequence, fractions: tuple[float, ...], bands: tuple[str, ...]
) -> dict[str, str]:
    return {
        "origin": "simulated AllWISE-like cutouts, astro_iicnet.simulation",
        "seed": str(sequence.entropy),
        "spawnkey": " ".join(map(str, sequence.spawn_key)),
        "fraction": " ".join(f"{share:.6g}" for share in fractions),
        "bands": " ".join(bands),
        "chunk": str(CHUNK_SIZE),
        "iicnet": version("astro_iicnet"),
        "numpy": np.__version__,
    }


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _simulate_chunk(
    n: int, sequence: np.random.SeedSequence, fractions: tuple[float, float, float], bands: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(sequence)
    sources = draw_sources(n, rng, fractions=fractions)
    pixels, offset = render(sources, rng, bands=bands, size=CUTOUT_SIZE)
    return pixels, offset, {name: np.asarray(sources[name]) for name in sources.colnames}


def _chunks(
    n: int, sequence: np.random.SeedSequence, fractions: tuple[float, float, float], bands: tuple[str, ...]
) -> list[tuple[int, np.random.SeedSequence, tuple[float, float, float], tuple[str, ...]]]:
    """Arguments of `_simulate_chunk` for each chunk."""
    # Children by key, not spawn(): a sequence that is used twice must give the same data twice.
    return [
        (
            min(CHUNK_SIZE, n - start),
            np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, index)),
            fractions,
            bands,
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
        workers: int | None = None,
    ) -> None:
        self.n_per_epoch = n_per_epoch
        self.seed = seed
        self.fractions = fractions
        self.bands = tuple(bands)
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._ahead: dict[int, list[Future]] = {}

    def __len__(self) -> int:
        return self.n_per_epoch

    def __repr__(self) -> str:
        return (
            f"SimulatedStream(n_per_epoch={self.n_per_epoch}, seed={self.seed}, "
            f"fractions={self.fractions}, bands={self.bands})"
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
        chunks = _chunks(self.n_per_epoch, self._sequence(epoch), self.fractions, self.bands)
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
        return _assemble(results, self.n_per_epoch, self._sequence(epoch), self.fractions, self.bands)

    def close(self) -> None:
        """End the background processes and drop what they made ahead; a later epoch starts new ones."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None
        self._ahead.clear()

    def _sequence(self, epoch: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(epoch,))
