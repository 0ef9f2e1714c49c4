"""Records of the network weights, one plain dictionary each; nothing here needs torch."""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astro_iicnet.exceptions import WeightsError, unknown_name
from astro_iicnet.labels import CLASSES

REGISTRY_FILE = Path(__file__).with_name("registry.json")
"""The registry that ships with the package; the weights files lie beside it."""

REQUIRED = ("architecture", "options", "bands", "recipe", "survey")
"""Header entries without which weights cannot be used."""

OPTIONAL: dict[str, Any] = {
    "classes": list(CLASSES),
    "training_fractions": [1 / len(CLASSES)] * len(CLASSES),
    "temperature": 1.0,
    "set_scores": None,
    "training_data": "not stated",
    "started_from": {},
    "metrics": {},
    "licence": "not stated",
    "citation": "not stated",
}
"""Header entries with the value that holds where the header is silent."""


def read_registry(path: str | Path = REGISTRY_FILE) -> dict[str, dict[str, Any]]:
    """All records by name, the default one first.

    Parameters
    ----------
    path : str or pathlib.Path, optional
        A registry file. Default: the one of the package.

    Returns
    -------
    dict
        Name to record. A record holds ``name``, ``file``, ``architecture``, ``options``,
        ``bands``, ``recipe`` (its name; the whole recipe is in the file), ``survey``,
        ``classes``, ``training_fractions``, ``temperature``, ``set_scores`` (for prediction sets,
        see `~astro_iicnet.prediction_sets.find_thresholds`; None where there is no such table),
        ``training_data``, ``metrics``, ``licence``, ``citation``, ``size`` [bytes], ``sha256`` and
        ``urls`` (empty where the file ships with the package). Weights that were fine-tuned have
        name and SHA-256 of those before in ``started_from``.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    records = sorted(content["weights"], key=lambda record: record["name"] != content["default"])
    return {record["name"]: record for record in records}


def get_record(name: str | None = None, path: str | Path = REGISTRY_FILE) -> dict[str, Any]:
    """The record of one name.

    Parameters
    ----------
    name : str, optional
        As in "iicnet-sim-v3". Default: the default weights.
    path : str or pathlib.Path, optional
        A registry file. Default: the one of the package.

    Returns
    -------
    dict
        See `read_registry`.

    Raises
    ------
    WeightsError
        If there is no such record; the message holds the closest name.
    """
    records = read_registry(path)
    if not records:
        raise WeightsError(
            f"There are no weights {name or '(default)'!r}: the registry {str(path)!r} is empty. "
            "Give the path of a .safetensors file."
        )
    if name is None:
        return next(iter(records.values()))
    if name not in records:
        message = unknown_name("weights", name, records)
        raise WeightsError(f"{message} A path of a .safetensors file will do too.")
    return records[name]


def make_record(path: str | Path, urls: Sequence[str] = ()) -> dict[str, Any]:
    """Record of a weights file, from its header and its bytes.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.safetensors`` file with metadata in its header (``save_checkpoint``).
    urls : sequence of str, optional
        Where the file can be had. Default: nowhere but beside the registry.

    Returns
    -------
    dict
        See `read_registry`; ``name`` is the file name without its ending where the header has
        none.

    Raises
    ------
    WeightsError
        If the file cannot be read or its header lacks what is needed.
    """
    from astro_iicnet.models.checkpoint import read_metadata

    metadata = read_metadata(path)
    path = Path(path)
    missing = [key for key in REQUIRED if key not in metadata]
    if missing:
        raise WeightsError(
            f"{str(path)!r} does not say its {', '.join(missing)}: weights for astro_iicnet carry "
            "these in their header, as written by 'astro-iicnet train'."
        )
    record = {"name": metadata.get("name", path.stem), "file": path.name}
    record |= {key: metadata[key] for key in REQUIRED}
    record |= {key: metadata.get(key, value) for key, value in OPTIONAL.items()}
    if list(record["classes"]) != list(CLASSES):
        raise WeightsError(
            f"{str(path)!r} has the classes {record['classes']}, expected {list(CLASSES)} in this order."
        )
    _check_numbers(path, record["training_fractions"], record["temperature"])
    record["recipe"] = _recipe_name(path, metadata["recipe"])
    record |= {"size": path.stat().st_size, "sha256": sha256(path), "urls": list(urls)}
    return record


def _check_numbers(path: Path, fractions: Any, temperature: Any) -> None:
    numbers = [*fractions, temperature] if isinstance(fractions, list) else []
    positive = [isinstance(x, int | float) and 0 < x < math.inf for x in numbers]
    if len(numbers) != len(CLASSES) + 1 or not all(positive):
        raise WeightsError(
            f"{str(path)!r} has the training fractions {fractions!r} and the temperature {temperature!r}: "
            f"expected {len(CLASSES)} positive numbers and one."
        )


def _recipe_name(path: Path, recipe: Any) -> str:
    if not isinstance(recipe, dict) or "name" not in recipe:
        raise WeightsError(
            f"{str(path)!r} has the recipe {recipe!r}, expected its entries, 'name' among them."
        )
    return recipe["name"]


def add_record(
    path: str | Path, *, urls: Sequence[str] = (), registry: str | Path = REGISTRY_FILE
) -> dict[str, Any]:
    """Copy a weights file beside a registry and enter its record, in place of one of the same name.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.safetensors`` file; its header names the weights.
    urls : sequence of str, optional
        Where the file can be had as well.
    registry : str or pathlib.Path, optional
        The registry to change. Default: the one of the package (for its maintainers).

    Returns
    -------
    dict
        The new record.

    Raises
    ------
    WeightsError
        If the file cannot be read or its header lacks what is needed.
    """
    registry = Path(registry)
    record = make_record(path, urls)
    record["file"] = f"{record['name']}.safetensors"
    target = registry.with_name(record["file"])
    if target.resolve() != Path(path).resolve():
        shutil.copyfile(path, target)
    content = json.loads(registry.read_text(encoding="utf-8"))
    content["weights"] = [r for r in content["weights"] if r["name"] != record["name"]] + [record]
    registry.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return record


def sha256(path: str | Path) -> str:
    """SHA-256 of a file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
