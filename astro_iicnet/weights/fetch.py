"""Weights files on disk: fetched once, in several tries if need be, and verified, then found again."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights._disk import let_all_read, remove_leftovers, weights_folder, whole_file, writing
from astro_iicnet.weights._http import WrongContent, download, first_good
from astro_iicnet.weights.registry import sha256


def cached_file(record: dict[str, Any]) -> Path:
    """Where the file of a record is kept once it was fetched.

    Parameters
    ----------
    record : dict
        See `~astro_iicnet.weights.read_registry`.

    Returns
    -------
    pathlib.Path
        Named by its SHA-256, so that no name in a record becomes a name on disk; it need not exist.
    """
    return weights_folder() / f"{record['sha256']}.safetensors"


def fetch_weights(record: dict[str, Any], *, progress: bool = True) -> Path:
    """Give the kept file of a record, which is fetched if it is not there or damaged.

    Parameters
    ----------
    record : dict
        See `~astro_iicnet.weights.read_registry`. Its ``urls`` are tried in turn.
    progress : bool, default True
        Whether to show a progress bar on stderr.

    Returns
    -------
    pathlib.Path
        The file; its SHA-256 is that of the record.

    Raises
    ------
    WeightsError
        If the file is not there, and has no address or cannot be had from any, or not be kept.

    Notes
    -----
    The file comes under another name in the same folder and is moved into place when its hash is right,
    so no other process ever takes a part of it for the file, however this one ends. What has arrived
    until then stays as ``SHA256.part``, and the next try asks for the rest. Only the process that has
    locked this file goes on from it; others fetch all. So do all on Windows, and on disks without locks.
    """
    path = cached_file(record)
    there = path.is_file()
    if there and sha256(path) == record["sha256"]:
        return path
    what = f"The weights {record['name']!r} ({'damaged' if there else 'not'} on this disk)"
    if not record["urls"]:
        raise WeightsError(
            f"{what} have no published address: there is nothing to download. Give the path of their "
            ".safetensors file, or run 'astro-iicnet weights add FILE.safetensors'."
        )
    with writing(path.parent):
        remove_leftovers(path.parent)
        first_good(
            what,
            record["urls"],
            lambda url: _retrieve(url, path, record, progress),
            part=_part_of(path),
        )
    return path


def keep_copy(source: Path, record: dict[str, Any]) -> Path:
    """Copy a file to where the file of a record is kept.

    Parameters
    ----------
    source : pathlib.Path
        The file.
    record : dict
        See `~astro_iicnet.weights.read_registry`.

    Returns
    -------
    pathlib.Path
        The copy.

    Raises
    ------
    WeightsError
        If the file is not that of the record, or cannot be kept.
    """
    path = cached_file(record)
    with whole_file(path) as part:
        shutil.copyfile(source, part)
        found = sha256(part)
        if found != record["sha256"]:
            raise WeightsError(
                f"{str(source)!r} is not the file of the weights {record['name']!r}: it has SHA-256 {found}, "
                f"expected {record['sha256']}. Copy the file and its registry again."
            )
    return path


def _retrieve(url: str, path: Path, record: dict[str, Any], progress: bool) -> None:
    """Fetch from one address by pooch, which gives a temporary file and moves it into place."""
    import pooch

    def downloader(url: str, temporary: str, _: Any) -> None:
        with _claimed(_part_of(path)) as claimed:
            part = _part_of(path) if claimed else Path(temporary)
            _complete(part, url, record, progress)
            let_all_read(part)
            os.replace(part, temporary)

    with _quiet(pooch.get_logger()):
        pooch.retrieve(url, f"sha256:{record['sha256']}", path.name, path.parent, downloader=downloader)


def _part_of(path: Path) -> Path:
    """Where that is kept which has arrived of a file."""
    return path.with_suffix(".part")


@contextlib.contextmanager
def _claimed(part: Path) -> Iterator[bool]:
    """Lock a partial file, made if need be, and say whether that went well; one left empty is removed."""
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            file = stack.enter_context(open(part, "ab"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had the lock until now may have moved the file into place.
            claimed = os.path.samestat(os.fstat(file.fileno()), part.stat())
        except (ImportError, OSError):  # no locks here, or another process has it
            claimed = False
        try:
            yield claimed
        finally:
            if claimed and not os.fstat(file.fileno()).st_size:
                part.unlink()


def _complete(part: Path, url: str, record: dict[str, Any], progress: bool) -> None:
    """Fetch what is missing of a file; where it does not fit what is there, fetch all, once."""
    start = part.stat().st_size
    if start == record["size"] and sha256(part) == record["sha256"]:
        return
    with contextlib.suppress(WrongContent):
        if 0 < start < record["size"]:
            _append(part, start, url, record, progress)
            return
    try:
        _append(part, 0, url, record, progress)
    except WrongContent:
        os.truncate(part, 0)
        raise


def _append(part: Path, start: int, url: str, record: dict[str, Any], progress: bool) -> None:
    """Fetch what comes after the first ``start`` bytes of a file, and verify the whole."""
    bar = tqdm(total=record["size"], unit="B", unit_scale=True, desc=record["name"], disable=not progress)
    with open(part, "ab") as file, bar:

        def begin(n_bytes: int) -> None:
            file.truncate(n_bytes)
            bar.n = bar.last_print_n = bar.initial = n_bytes

        def write(block: bytes) -> None:
            file.write(block)
            bar.update(len(block))

        download(url, write, size=record["size"], start=start, begin=begin)
    found = sha256(part)
    if found != record["sha256"]:
        raise WrongContent(
            f"sent another file: it has SHA-256 {found}, expected {record['sha256']}, so it was changed "
            "since the record was written, or on its way; do not use it"
        )


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch's own messages back, which come whether progress is wanted or not."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
