"""A training on disk: one safetensors file that is whole or not there."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn, optim

from astro_iicnet.exceptions import IICnetError

_KEY = "astro_iicnet.training"


def save_state(
    path: Path,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: optim.Optimizer,
    record: dict[str, Any],
) -> None:
    """Write the state after an epoch, in place of that of the epoch before.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    model : torch.nn.Module
        The network as it is.
    best : dict of str to torch.Tensor
        Its state when the validation loss was lowest.
    optimizer : torch.optim.Optimizer
        Its moments are saved; its groups are rebuilt from the settings.
    record : dict
        Plain data for the header: settings, data, history.

    Raises
    ------
    IICnetError
        If the file cannot be written.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in entry.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(path, safetensors.torch.save(tensors, {_KEY: json.dumps(record)}))


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes so that an interrupt leaves the older file or the new one.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    data : bytes
        Its content.

    Raises
    ------
    IICnetError
        If the file cannot be written.
    """
    # One fixed name: what a killed process leaves behind is overwritten by the next.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise IICnetError(
            f"Cannot write {path} ({error.strerror}): give a path in a folder that exists and can be written."
        ) from error


def read_record(path: Path) -> dict[str, Any]:
    """Read the plain data of a saved training.

    Parameters
    ----------
    path : pathlib.Path
        A file of `save_state`.

    Returns
    -------
    dict
        What `save_state` was given.

    Raises
    ------
    IICnetError
        If it is not such a file.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            return json.loads((stream.metadata() or {})[_KEY])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise IICnetError(
            f"{path} is not the checkpoint of a training ({error}): remove it, or give another path."
        ) from error


def load_state(path: Path, model: nn.Module, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """Put model and optimiser back where they were.

    Parameters
    ----------
    path : pathlib.Path
        A file of `save_state`.
    model : torch.nn.Module
        The network, changed in place.
    optimizer : torch.optim.Optimizer
        Its optimiser, changed in place.

    Returns
    -------
    dict of str to torch.Tensor
        The state of the network when the validation loss was lowest.

    Raises
    ------
    IICnetError
        If the file belongs to another network.
    """
    tensors = safetensors.torch.load_file(path)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, key = name.partition(".")
        parts[part][key] = tensor
    try:
        model.load_state_dict(parts["model"])
    except RuntimeError as error:
        raise IICnetError(f"{path} is the checkpoint of another network: {error}") from error
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in parts["optimizer"].items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    # A fused optimiser walks through memory: its moments must lie there as the parameters do.
    for parameter, entry in optimizer.state.items():
        for name, tensor in entry.items():
            if tensor.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter).copy_(tensor)
    return parts["best"]
