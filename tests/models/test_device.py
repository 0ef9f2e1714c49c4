"""Where a network runs."""

import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.models.device import autocast, choose_device, choose_precision, describe_device


def test_choose_device():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", ""])
def test_a_device_that_is_not_there(name):
    with pytest.raises(IICnetError, match="expected 'auto', 'cpu' or 'cuda'"):
        choose_device(name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stated_precision_is_taken_and_used(precision):
    device = torch.device("cpu")
    assert choose_precision(precision, device) == precision
    with autocast(device, precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, precision)


@pytest.mark.parametrize(("matrix", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_the_cpu_counts_in_bfloat16_only_with_matrix_instructions(monkeypatch, matrix, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix)
    assert choose_precision("auto", torch.device("cpu")) == precision


def test_what_a_speed_was_measured_on():
    found = describe_device(torch.device("cpu"))
    assert found["device"].startswith("cpu, ")
    assert found["threads"] == torch.get_num_threads()
