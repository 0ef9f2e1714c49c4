"""The folder of fetched weights: files appear in it whole or not at all."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from astro_iicnet.config import cache_folder
from astro_iicnet.exceptions import WeightsError

_PART = "tmp"  # how names of unfinished files begin, those of pooch too
_LEFT_OVER = 86400.0  # s after which an unfinished file belongs to a process that was killed
_ABANDONED = 30 * 86400.0  # s after which nobody goes on with a download


def weights_folder() -> Path:
    """Folder of fetched weights and of private records, as the settings are now.

    Returns
    -------
    pathlib.Path
        ``weights`` in the cache folder; it need not exist.
    """
    return cache_folder() / "weights"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in plain words that a folder cannot be written.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Raises
    ------
    WeightsError
        In place of `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"Cannot keep weights in {str(folder)!r} ({error.strerror or error}): allow it to be written, "
            "free some space, or set astro_iicnet.conf.cache_dir to another folder."
        ) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give an empty file, which is moved into place if all goes well and removed if not.

    Parameters
    ----------
    path : pathlib.Path
        The place; its folder is made.

    Yields
    ------
    pathlib.Path
        The file to fill.

    Raises
    ------
    WeightsError
        If it cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PART, dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            let_all_read(part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def let_all_read(part: Path) -> None:
    """Let those read a file who share its folder; temporary files are for their owner alone.

    Parameters
    ----------
    part : pathlib.Path
        The file.
    """
    part.chmod(0o644)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed have left.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; it need not exist.
    """
    for pattern, lifetime in ((f"{_PART}*", _LEFT_OVER), ("*.part", _ABANDONED)):
        for part in folder.glob(pattern):
            with contextlib.suppress(OSError):  # another process was quicker
                if time.time() - part.stat().st_mtime > lifetime:
                    part.unlink()
