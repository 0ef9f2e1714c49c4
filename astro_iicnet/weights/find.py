"""From what a user calls weights to a file that is verified, fetched where need be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astro_iicnet.exceptions import WeightsError, unknown_name
from astro_iicnet.weights.fetch import cached_file, fetch_weights
from astro_iicnet.weights.private import private_record, read_private
from astro_iicnet.weights.registry import REGISTRY_FILE, get_record, make_record, read_registry, sha256


def find_weights(weights: str | Path | None = None, *, progress: bool = True) -> tuple[Path, dict[str, Any]]:
    """Find weights without loading them; the file of a registry name is verified, and fetched if missing.

    Parameters
    ----------
    weights : str or pathlib.Path, optional
        A name of the registry of the package or of the private one, or the path of a ``.safetensors``
        file. Default: the default weights of the package.
    progress : bool, default True
        Whether to show a progress bar on stderr where a file is fetched.

    Returns
    -------
    path : pathlib.Path
        The file.
    record : dict
        See `~astro_iicnet.weights.read_registry`.

    Raises
    ------
    WeightsError
        If the name is unknown, or the file missing, damaged, not to be had, or not weights of this
        package.
    """
    if weights is not None and _is_path(weights):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"There is no weights file {str(path)!r}: check the path.")
        return path, make_record(path)
    record, packaged = _record_of(weights)
    if not packaged:
        path = fetch_weights(record, progress=progress)
        # The file is verified and says what it is; what else the registry says of it is not taken over.
        return path, make_record(path, record["urls"]) | {key: record[key] for key in ("name", "file")}
    path = REGISTRY_FILE.with_name(record["file"])
    if record["urls"] and not path.is_file():
        return fetch_weights(record, progress=progress), record
    _verify(path, record)
    return path, record


def find_record(weights: str | Path | None = None) -> dict[str, Any]:
    """What is known about weights; nothing is fetched and no registry name verified.

    Parameters
    ----------
    weights : str or pathlib.Path, optional
        As in `find_weights`.

    Returns
    -------
    dict
        See `~astro_iicnet.weights.read_registry`.

    Raises
    ------
    WeightsError
        If the name is unknown, or a file is missing or not weights of this package.
    """
    if weights is not None and _is_path(weights):
        return find_weights(weights)[1]
    return _record_of(weights)[0]


def all_records() -> dict[str, dict[str, Any]]:
    """All records by name: those of the package, the default one first, then the private ones.

    Returns
    -------
    dict
        Name to record, see `~astro_iicnet.weights.read_registry`. A name of the package is never one of
        the private registry.

    Raises
    ------
    WeightsError
        If a private record is damaged.
    """
    packaged = read_registry(REGISTRY_FILE)
    return packaged | {name: record for name, record in read_private().items() if name not in packaged}


def tell_place(name: str) -> str:
    """Say in a few words where the file of weights is, or can be had.

    Parameters
    ----------
    name : str
        Name of weights.

    Returns
    -------
    str
        As in "ships with the package".
    """
    record, packaged = _record_of(name)
    published = ", ".join(record["urls"]) or "no published address"
    if packaged and REGISTRY_FILE.with_name(record["file"]).is_file():
        return f"ships with the package, {published}"
    state = "on this disk" if cached_file(record).is_file() else "not on this disk"
    return f"{'' if packaged else 'private, '}{state}, {published}"


def verify_weights(names: Sequence[str] = ()) -> dict[str, str]:
    """Compute the SHA-256 of weights files again; nothing is fetched.

    Parameters
    ----------
    names : sequence of str, optional
        Names of weights. Default: all that are known.

    Returns
    -------
    dict
        Name to "ok", "damaged", "missing" (it should be in the package) or "not on this disk".

    Raises
    ------
    WeightsError
        If a name is unknown.
    """
    return {name: _state(name) for name in names or all_records()}


def _state(name: str) -> str:
    record, packaged = _record_of(name)
    path = REGISTRY_FILE.with_name(record["file"])
    if not (packaged and path.is_file()):
        if packaged and not record["urls"]:
            return "missing"
        path = cached_file(record)
    if not path.is_file():
        return "not on this disk"
    return "ok" if sha256(path) == record["sha256"] else "damaged"


def _record_of(weights: str | Path | None) -> tuple[dict[str, Any], bool]:
    """The record of a name, and whether it is one of the package, which goes before any other."""
    packaged = read_registry(REGISTRY_FILE)
    if weights is None or weights in packaged:
        return get_record(None if weights is None else str(weights), REGISTRY_FILE), True
    record = private_record(str(weights))
    if record is None:
        message = unknown_name("weights", weights, [*packaged, *read_private()])
        raise WeightsError(f"{message} A path of a .safetensors file will do too.")
    return record, False


def _is_path(weights: str | Path) -> bool:
    text = str(weights)
    return isinstance(weights, Path) or text.endswith(".safetensors") or "/" in text or "\\" in text


def _verify(path: Path, record: dict[str, Any]) -> None:
    if not path.is_file():
        raise WeightsError(
            f"The file of the weights {record['name']!r} is missing from the package ({path}): "
            "install astro_iicnet again."
        )
    found = sha256(path)
    if found != record["sha256"]:
        raise WeightsError(
            f"The file of the weights {record['name']!r} is damaged: {path} has SHA-256 {found}, "
            f"expected {record['sha256']}. Install astro_iicnet again."
        )
