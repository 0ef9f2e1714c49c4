"""Where a network runs, and how finely it counts."""

from typing import Any

import torch

from astro_iicnet.exceptions import IICnetError


def choose_device(device: str) -> torch.device:
    """Choose the torch device of a name.

    Parameters
    ----------
    device : str
        A torch device, as in "cpu" or "cuda:1"; "auto" is CUDA where there is one, else the CPU.

    Returns
    -------
    torch.device
        The device, which has been tried.

    Raises
    ------
    IICnetError
        If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise IICnetError(
            f"The device {device!r} cannot be used ({reason}): expected 'auto', 'cpu' or 'cuda'."
        ) from error
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Choose the precision that "auto" means on a device.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where that is quicker: on a GPU that has it, and on a CPU with matrix
        instructions for it (AMX). With vector instructions alone float32 trains faster.
    device : torch.device
        Where the network runs.

    Returns
    -------
    str
        "float32" or "bfloat16".
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = device.type == "cpu" and torch.cpu._is_amx_tile_supported()
    return "bfloat16" if has else "float32"


def describe_device(device: torch.device) -> dict[str, Any]:
    """Say what a speed was measured on.

    Parameters
    ----------
    device : torch.device
        Where the network ran.

    Returns
    -------
    dict
        ``device``, with its kind, as in "cpu, AVX512"; ``threads`` of the CPU.
    """
    cuda = device.type == "cuda"
    kind = torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability()
    return {"device": f"{device.type}, {kind}", "threads": torch.get_num_threads()}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Make the context in which a network runs in a precision.

    Parameters
    ----------
    device : torch.device
        Where the network runs.
    precision : {"float32", "bfloat16"}
        With "float32" the context changes nothing.

    Returns
    -------
    torch.autocast
        The context manager.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
