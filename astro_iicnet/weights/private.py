"""The user's own registry: records added from files, and from registries by path or address."""

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights._disk import weights_folder, whole_file
from astro_iicnet.weights._http import download, first_good
from astro_iicnet.weights.fetch import keep_copy
from astro_iicnet.weights.registry import REGISTRY_FILE, make_record, read_registry

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"https?://[!-~]+")
_LARGEST_REGISTRY = 10_000_000  # bytes


def read_private() -> dict[str, dict[str, Any]]:
    """All records of the private registry by name.

    Returns
    -------
    dict
        Name to record, see `~astro_iicnet.weights.read_registry`.

    Raises
    ------
    WeightsError
        If a record cannot be read; the message names its file.
    """
    records = [_read_record(path) for path in sorted(weights_folder().glob("*.json"))]
    return {record["name"]: record for record in sorted(records, key=lambda record: record["name"])}


def private_record(name: str) -> dict[str, Any] | None:
    """The record of one name in the private registry.

    Parameters
    ----------
    name : str
        Name of weights.

    Returns
    -------
    dict or None
        See `~astro_iicnet.weights.read_registry`; None where there is no such record.

    Raises
    ------
    WeightsError
        If the record cannot be read; the message names its file.
    """
    path = _record_file(name)
    return _read_record(path) if path.is_file() else None


def add_weights(source: str | Path, *, overwrite: bool = False) -> list[dict[str, Any]]:
    """Add weights to the private registry, so that they can be loaded by name.

    Parameters
    ----------
    source : str or pathlib.Path
        A ``.safetensors`` file, of which a copy is kept; a registry as `~astro_iicnet.weights.add_record`
        writes it, by path (files beside it are copied) or by http(s) address (files are fetched when they
        are loaded first; those without an address are expected beside the registry).
    overwrite : bool, default False
        Whether a private record of the same name and another file may be replaced.

    Returns
    -------
    list of dict
        The records added, see `~astro_iicnet.weights.read_registry`. Those that the package has itself,
        with the same file, are left out.

    Raises
    ------
    WeightsError
        If the source cannot be read, a record is not sound, or a name is taken. Nothing is added then.
    """
    found: list[tuple[dict[str, Any], Path | None]]
    if str(source).lower().startswith(("http://", "https://")):
        found = [(record, None) for record in _from_address(str(source))]
    elif str(source).lower().endswith(".safetensors"):
        file = Path(source).expanduser()
        found = [(_checked(make_record(file), str(file)), file)]
    else:
        found = _from_path(Path(source).expanduser())
    packaged = read_registry(REGISTRY_FILE)
    found = [(record, path) for record, path in found if not _is_packaged(record, packaged)]
    for record, _ in found:
        _check_not_taken(record, overwrite)
    for record, path in found:
        if path is not None:
            keep_copy(path, record)
    for record, _ in found:
        _write_record(record)
    return [record for record, _ in found]


def _from_address(url: str) -> list[dict[str, Any]]:
    def attempt(url: str) -> bytes:
        blocks: list[bytes] = []
        download(url, blocks.append, limit=_LARGEST_REGISTRY)
        return b"".join(blocks)

    _check_address(url, url)
    content = first_good("The records of this registry", [url], attempt)
    records = _records(content, url)
    for record in records:
        record["urls"] = record["urls"] or [urljoin(url, quote(record["file"]))]
    return records


def _from_path(path: Path) -> list[tuple[dict[str, Any], Path | None]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"Cannot read the registry {str(path)!r} ({error.strerror}): expected the path of a registry "
            "(.json) or of weights (.safetensors), or an address that begins with http:// or https://."
        ) from error
    records = _records(content, str(path))
    beside = [path.with_name(record["file"]) for record in records]
    return [(record, file if file.is_file() else None) for record, file in zip(records, beside, strict=True)]


def _records(content: bytes, origin: str) -> list[dict[str, Any]]:
    try:
        records = json.loads(content)["weights"]
    except (ValueError, KeyError, TypeError, RecursionError):
        records = None
    if not isinstance(records, list):
        raise WeightsError(
            f"{origin!r} is not a registry of weights: expected JSON with a list of records under 'weights'."
        )
    checked = [_checked(record, origin) for record in records]
    names = [record["name"] for record in checked]
    for name in names:
        if names.count(name) > 1:
            raise WeightsError(f"{origin!r} has two records of the name {name!r}: expected one of each.")
    return checked


def _checked(record: Any, origin: str) -> dict[str, Any]:
    """Refuse a record that cannot be used safely; what it says reaches disk, network and terminal."""
    if not isinstance(record, dict):
        raise WeightsError(f"{origin!r} has a record that is no JSON object: {str(record)[:100]!r}.")
    name = record.get("name")
    if not _is_word(name) or str(name).lower().endswith(".safetensors"):
        raise WeightsError(
            f"{origin!r} has weights of the name {str(name)[:100]!r}: expected up to 100 letters, digits and "
            "'._+-', beginning with a letter or digit, not the name of a file."
        )
    record = record | {"file": record.get("file", f"{name}.safetensors"), "urls": record.get("urls", [])}
    size, bands, urls = record.get("size"), record.get("bands"), record["urls"]
    sound = {
        "sha256": isinstance(record.get("sha256"), str) and _HASH.fullmatch(record["sha256"]) is not None,
        "size": isinstance(size, int) and not isinstance(size, bool) and size > 0,
        "file": _is_word(record["file"]),
        "urls": isinstance(urls, list) and all(isinstance(url, str) for url in urls),
        "bands": isinstance(bands, list) and bool(bands) and all(map(_is_word, bands)),
        "architecture": _is_word(record.get("architecture")),
        "recipe": _is_word(record.get("recipe")),
    }
    if wrong := [key for key, good in sound.items() if not good]:
        told = ", ".join(f"{key} {str(record.get(key))[:100]!r}" for key in wrong)
        raise WeightsError(
            f"{origin!r} has a record of {name!r} that cannot be used: {told}. Expected what "
            "astro_iicnet.weights.add_record writes: plain names, 64 hexadecimal digits, a size in bytes, "
            "a list of addresses."
        )
    for url in urls:
        _check_address(url, origin)
    return record


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _check_address(url: str, origin: str) -> None:
    with contextlib.suppress(ValueError):
        if _ADDRESS.fullmatch(url) and urlsplit(url).hostname:
            return
    raise WeightsError(
        f"{origin!r} names the address {url[:200]!r}: expected http:// or https:// and a host."
    )


def _is_packaged(record: dict[str, Any], packaged: dict[str, dict[str, Any]]) -> bool:
    name = record["name"]
    if name in packaged and packaged[name]["sha256"] != record["sha256"]:
        raise WeightsError(
            f"The package has weights of the name {name!r} with another file: they are not replaced. "
            "Give the others a name of their own."
        )
    return name in packaged


def _check_not_taken(record: dict[str, Any], overwrite: bool) -> None:
    old = None if overwrite else private_record(record["name"])
    if old and old["sha256"] != record["sha256"]:
        raise WeightsError(
            f"There are weights {record['name']!r} with another file already (SHA-256 {old['sha256']}): "
            "give the new ones a version of their own, or replace the old ones (overwrite=True, on the "
            "command line --overwrite)."
        )


def _record_file(name: str) -> Path:
    return weights_folder() / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = _checked(json.loads(path.read_bytes()), str(path))
    except (ValueError, OSError, RecursionError) as error:
        raise WeightsError(
            f"The private record {str(path)!r} is damaged ({error}): delete it, and add its weights again."
        ) from error
    if _record_file(record["name"]) != path:
        raise WeightsError(
            f"The private record {str(path)!r} is not the one of {record['name']!r}: delete it."
        )
    return record


def _write_record(record: dict[str, Any]) -> None:
    """Write a record whole or not at all; each has a file of its own, so two processes may add at once."""
    with whole_file(_record_file(record["name"])) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
