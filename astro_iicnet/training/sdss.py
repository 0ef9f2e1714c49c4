"""The real training set: spectra of SDSS, positions and magnitudes of AllWISE, cutouts of its Atlas."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table, vstack

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.allwise.tiles import best_tile
from astro_iicnet.cutouts import CutoutSource, Images, open_images
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.retrieve import CHUNK_SIZE, retrieve
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.exceptions import IICnetError, ImagesError, RetrievalError
from astro_iicnet.fusion.xmatch import CATALOGUE, RADIUS
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.training.candidates import Draw
from astro_iicnet.training.datasets import class_labels, read_dataset, write_dataset
from astro_iicnet.training.skyserver import PAGE_SIZE, fetch_spectra, page_query
from astro_iicnet.training.splits import split_on_sky
from astro_iicnet.training.state import write_whole

PAPER_SIZES = (7298, 7215, 7223)
"""Galaxies, quasars and stars of the paper (Zhao et al. 2023, Table 1)."""

FORMAT = 1
"""Version of what a dataset of SDSS and AllWISE holds; rises when a column or its meaning changes."""

_MAX_FAILED = 0.02
_PACKAGES = {"iicnet": "astro_iicnet", "numpy": "numpy", "astropy": "astropy", "astroq": "astroquery"}


class Built(NamedTuple):
    """What was built.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The sources of the dataset, as in its extension ``SOURCES``.
    left_out : `~astropy.table.Table`
        Sources that were drawn and whose cutout is not whole, replaced by others of their class;
        ``status`` says why.
    """

    table: Table
    left_out: Table


def build_dataset(
    output: str | os.PathLike[str],
    *,
    per_class: int | None = None,
    images: Images = "irsa",
    bands: tuple[str, ...] = ("W1", "W2", "W3"),
    seed: int = 0,
    data_release: int = 17,
    work: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Built:
    """Build a labelled dataset of real sources: spectra, match, draw, cutouts, split.

    Spectra with a secure class (``zWarning = 0``, ``sciencePrimary``) come from SkyServer, their
    nearest AllWISE source within 2 arcsec from CDS XMatch; spectra less than 4.2 arcsec apart, which
    may share one, are left out. Each class is drawn at random; a source whose cutout is not whole is
    replaced by the next of its class. The sets are divided by Atlas tile. Each step that is finished
    is kept in the work folder: the same call goes on after an interrupt.

    Parameters
    ----------
    output : path
        Dataset to write, see `~astro_iicnet.training.datasets.write_dataset`. If sources had to be
        replaced, ``<output>.left_out.ecsv`` lists them.
    per_class : int, optional
        Sources of each class. Default: `PAPER_SIZES`.
    images : str, pathlib.Path, CutoutSource or list of these, default "irsa"
        Where the pixels come from, see `~astro_iicnet.cutouts.open_images`; not "simulated".
    bands : tuple of str, default ("W1", "W2", "W3")
        Bands of the cutouts.
    seed : int, default 0
        Of draw and split.
    data_release : int, default 17
        Data release of SDSS.
    work : path, optional
        The work folder. Default: ``<output>.work``. It may be removed when the dataset is there.
    progress : bool, default True
        Show progress on stderr.

    Returns
    -------
    Built
        The sources, and those left out.

    Raises
    ------
    IICnetError
        If an argument makes no sense, the work folder is of another dataset, or SDSS has too few
        sources of a class with a match.
    ImagesError
        If the images cannot be used, are of several surveys, or are simulated.
    RetrievalError
        If a service refuses or fails, or more than 2 % of the cutouts could not be fetched: what has
        come is kept.

    References
    ----------
    Zhao et al. 2023, RAA 23, 085010, Sec. 2 (doi:10.1088/1674-4527/acd67e). Spectra: Abdurro'uf et
    al. 2022, ApJS 259, 35. Catalogue: Cutri et al. 2013, VizieR II/328.
    """
    output = Path(output)
    bands = tuple(bands)
    zero_points(bands)  # refuses a band that is none
    sizes = _sizes(per_class)
    source = open_images(images)
    request = {
        "format": FORMAT,
        "sizes": list(sizes),
        "survey": _survey(source),
        "images": source.name,
        "bands": list(bands),
        "seed": seed,
        "data_release": data_release,
    }
    folder = output.with_name(output.name + ".work") if work is None else Path(work)
    started = _open_folder(folder, request)
    with _what_is_done_is_kept():
        spectra = fetch_spectra(folder, data_release=data_release, progress=progress)
        draw = Draw(spectra, folder, seed=seed)
        cutouts, table, left_out = _fill(folder, draw, source, bands, sizes, progress)
    tile = np.where(cutouts.tile == "", best_tile(_coords(table))[0], cutouts.tile)
    split = split_on_sky(class_labels(table), tile, seed=seed)
    table["split"] = np.full(len(table), "validation")
    for name, rows in split._asdict().items():
        table["split"][rows] = name
    table.meta = _provenance(request, started, draw, len(left_out))
    write_dataset(output, cutouts, table)
    if len(left_out):
        left_out.write(output.with_name(output.name + ".left_out.ecsv"), overwrite=True)
    return Built(table, left_out)


@contextmanager
def _what_is_done_is_kept() -> Iterator[None]:
    """Say so where a service fails."""
    try:
        yield
    except RetrievalError as error:
        raise RetrievalError(f"{error} What is done is kept: the same command goes on from here.") from error


def _sizes(per_class: int | None) -> tuple[int, ...]:
    if per_class is None:
        return PAPER_SIZES
    if not (isinstance(per_class, int | np.integer) and per_class >= 1):
        raise IICnetError(f"per_class is {per_class!r}, expected an integer of at least 1, or None.")
    return (int(per_class),) * len(CLASSES)


def _survey(source: CutoutSource) -> str:
    """The one survey of the images, which are real."""
    sources = getattr(source, "sources", [source])
    if any(isinstance(one, SimulatedSky) for one in sources):
        raise ImagesError(
            f"The images {SimulatedSky.name!r} show no real sources, those of SDSS are real: take 'irsa', "
            "'aws', 'hips' or a folder of AllWISE images. For simulated sources with their classes there is "
            "simulate_dataset (on the command line 'simulate')."
        )
    surveys = {one.survey for one in sources}
    if len(surveys) > 1:
        raise ImagesError(
            f"The images {source.name!r} are of {' and '.join(sorted(surveys))}: a dataset is of one survey. "
            "Leave sources out."
        )
    return surveys.pop()


def _open_folder(folder: Path, request: dict[str, Any]) -> str:
    """Make the work folder, or make sure that it is of the same dataset; when it was begun, UTC."""
    note = folder / "request.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            started = datetime.now(UTC).isoformat(timespec="seconds")
            write_whole(note, json.dumps({"started": started, "request": request}).encode())
        kept = json.loads(note.read_text())
        kept_request, started = kept["request"], str(kept["started"])
    except (OSError, ValueError, KeyError) as error:
        raise IICnetError(f"{folder} cannot be used as work folder ({error}): name another.") from error
    for key, value in request.items():
        if kept_request.get(key) != value:
            raise IICnetError(
                f"The work folder {folder} is of another dataset ({key} is {kept_request.get(key)}, not "
                f"{value}): remove it, or name another."
            )
    return started


def _fill(
    folder: Path,
    draw: Draw,
    source: CutoutSource,
    bands: tuple[str, ...],
    sizes: tuple[int, ...],
    progress: bool,
) -> tuple[Cutouts, Table, Table]:
    """Fetch in the order of the draw until each class has its size; what is whole, and what is not."""
    kept = [read_dataset(path) for path in sorted(folder.glob("cutouts-*.fits"))]
    n_before = len(kept)
    while True:
        status: dict[str, int] = {}
        for number, (_, table) in enumerate(kept):
            codes = dict(zip(table["specobjid"].tolist(), table["status"].tolist(), strict=True))
            if number < n_before:  # this call tries again what failed in an earlier one
                codes = {name: code for name, code in codes.items() if code != Status.RETRIEVAL_FAILED}
            status |= codes
        chosen, left_out, missing = _choose(draw, sizes, status)
        if not len(missing):
            return *_take(kept, chosen), left_out
        for rows, cutouts in retrieve(
            source, _coords(missing), bands, chunk_size=CHUNK_SIZE, progress=progress
        ):
            path = folder / f"cutouts-{len(kept):04d}.fits"
            write_dataset(path, cutouts, missing[rows])
            kept.append(read_dataset(path))
        _check_failures([table for _, table in kept[n_before:]], source.name)


def _choose(draw: Draw, sizes: tuple[int, ...], status: dict[str, int]) -> tuple[Table, Table, Table]:
    """The sources of the dataset as far as they are known, those left out, and those to be fetched."""
    parts: tuple[list[Table], ...] = ([], [], [])
    for name, size in zip(CLASSES, sizes, strict=True):
        n_bad, n_known = -1, 0
        while n_known != n_bad:
            n_bad = n_known
            candidates = draw.candidates(name, size + n_bad)
            codes = np.array([status.get(key, -1) for key in candidates["specobjid"].tolist()])
            bad = (codes != Status.OK) & (codes != -1)
            n_known = int(np.count_nonzero(bad))
        left_out = candidates[bad]
        left_out["status"] = np.array([Status(code).label for code in codes[bad]], dtype="U18")
        for part, piece in zip(
            parts, (candidates[codes == Status.OK], left_out, candidates[codes == -1]), strict=True
        ):
            part.append(piece)
    chosen, left_out, missing = (vstack(part, metadata_conflicts="silent") for part in parts)
    return chosen, left_out, missing


def _check_failures(tables: list[Table], name: str) -> None:
    """Too many failures are no accident: replacing them would hide that the archive is in trouble."""
    n = sum(map(len, tables))
    failed = sum(int(np.count_nonzero(table["status"] == Status.RETRIEVAL_FAILED)) for table in tables)
    if failed > 2 and failed > _MAX_FAILED * n:
        raise RetrievalError(
            f"{failed} of {n} cutouts could not be fetched from {name!r}: too many to replace them. Try "
            "again later."
        )


def _take(kept: list[tuple[Cutouts, Table]], chosen: Table) -> tuple[Cutouts, Table]:
    """Cutouts of the chosen sources, by rising specObjID, and their table with the tile of each."""
    chosen = chosen[np.argsort(chosen["specobjid"].astype(np.uint64))]
    place = {
        key: (number, row)
        for number, (_, table) in enumerate(kept)
        for row, (key, code) in enumerate(
            zip(table["specobjid"].tolist(), table["status"].tolist(), strict=True)
        )
        if code == Status.OK
    }
    rows = [place[key] for key in chosen["specobjid"].tolist()]
    first = kept[rows[0][0]][0]
    pixels = np.empty((len(rows), *first.pixels.shape[1:]), dtype=np.float32)
    offset, tile = np.empty((len(rows), 2), dtype=np.float32), np.empty(len(rows), dtype="U13")
    for index, (number, row) in enumerate(rows):
        cutouts = kept[number][0]
        pixels[index], offset[index], tile[index] = (
            cutouts.pixels[row],
            cutouts.offset[row],
            cutouts.tile[row],
        )
    status = np.full(len(rows), Status.OK, dtype=np.uint8)
    return Cutouts(pixels, offset, first.bands, first.magzp, status, tile), chosen


def _coords(table: Table) -> SkyCoord:
    return SkyCoord(table["ra"], table["dec"], unit="deg")


def _provenance(request: dict[str, Any], started: str, draw: Draw, n_left_out: int) -> dict[str, Any]:
    """Scalars under names of at most eight letters, for the primary header."""
    return {
        "origin": f"SDSS DR{request['data_release']} spectra, AllWISE sources and images",
        "format": FORMAT,
        "survey": request["survey"],
        "images": request["images"],
        "bands": " ".join(request["bands"]),
        "seed": request["seed"],
        "started": started,
        "sdssdr": request["data_release"],
        "sdsssql": page_query(0, PAGE_SIZE),
        "xmatch": f"{CATALOGUE}, nearest within {RADIUS:g} arcsec",
        "nasked": " ".join(f"{name} {draw.n_asked(name)}" for name in CLASSES),
        "nleftout": n_left_out,
        **{name: version(package) for name, package in _PACKAGES.items()},
    }
