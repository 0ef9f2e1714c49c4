"""Weights on disk: safetensors, with all that is known about them in the header."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from astro_iicnet.exceptions import WeightsError

METADATA_KEY = "astro_iicnet"
"""The one key of the safetensors header; its value is JSON."""


def save_checkpoint(path: str | os.PathLike[str], model: nn.Module, metadata: dict[str, Any]) -> None:
    """Write a network's weights and their record to one file.

    The file appears whole or not at all: it is written beside its place and moved there.

    Parameters
    ----------
    path : str or path-like
        File to write, ending in ``.safetensors`` by custom; an older one is replaced.
    model : torch.nn.Module
        The network; parameters and buffers are saved.
    metadata : dict
        The record: plain data that JSON can hold, without NaN.

    Raises
    ------
    WeightsError
        If the metadata is not plain data, or the file cannot be written.
    """
    path = Path(path)
    try:
        header = json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"The metadata of {path} is not plain JSON data ({error}): use str, int, finite float, "
            "bool, None, and lists and dicts of them."
        ) from error
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    data = safetensors.torch.save(tensors, metadata={METADATA_KEY: header})
    try:
        _write_whole(path, data)
    except OSError as error:
        raise WeightsError(
            f"Cannot write weights to {path} ({error.strerror}): give a path in a folder that exists "
            "and can be written."
        ) from error


def _write_whole(path: Path, data: bytes) -> None:
    """Write bytes to a file that nobody ever sees half-written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights and their record.

    Parameters
    ----------
    path : str or path-like
        A file written by `save_checkpoint`.

    Returns
    -------
    state_dict : dict of str to torch.Tensor
        On the CPU, for `torch.nn.Module.load_state_dict`.
    metadata : dict
        The record.

    Raises
    ------
    WeightsError
        If the file is missing, truncated, damaged, or not one of ours.
    """
    metadata = read_metadata(path)
    return safetensors.torch.load_file(path), metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the record alone; the weights stay on disk.

    Parameters
    ----------
    path : str or path-like
        A file written by `save_checkpoint`.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    WeightsError
        If the file is missing, truncated, damaged, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            header = stream.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is damaged, cut short or not a safetensors file ({error}): fetch or copy it again."
        ) from error
    except OSError as error:
        raise WeightsError(f"Cannot read weights from {path} ({error}): check the path.") from error
    try:
        metadata = json.loads(header[METADATA_KEY])
    except (KeyError, json.JSONDecodeError):
        metadata = None
    if not isinstance(metadata, dict):
        raise WeightsError(
            f"{path} is a safetensors file but not one of astro_iicnet: its header has no JSON record "
            f"under {METADATA_KEY!r}. Expected a file written by astro_iicnet."
        )
    return metadata
