"""Weights on disk: whole, readable by others, and refused when they are not right."""

import json
import os
import pickle
import struct

import pytest
import safetensors.torch
import torch

from astro_iicnet.exceptions import WeightsError
from astro_iicnet.models import IICnet, read_checkpoint, read_metadata, save_checkpoint

RECORD = {
    "name": "test-v1",
    "bands": ["W1", "W2"],
    "temperature": 1.25,
    "nested": {"a": None, "é": [1, 2]},
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return IICnet(in_channels=2).to(memory_format=torch.channels_last)


@pytest.fixture
def path(tmp_path, model):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, model, RECORD)
    return path


def test_round_trip(path, model):
    state, record = read_checkpoint(path)
    assert record == RECORD == read_metadata(path)
    assert state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    other = IICnet(in_channels=2)
    other.load_state_dict(state)


def test_the_file_is_plain_safetensors_with_one_key(path):
    """Read by the format's definition: 8 bytes of length, then JSON."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header["__metadata__"].keys() == {"astro_iicnet"}
    assert json.loads(header["__metadata__"]["astro_iicnet"]) == RECORD


def test_only_the_file_is_left_and_it_replaces_an_older_one(path, model):
    save_checkpoint(path, model, {"name": "newer"})
    assert read_metadata(path) == {"name": "newer"}
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_write_leaves_the_older_file(path, model, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, model, {"name": "newer"})
    assert read_metadata(path) == RECORD
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    for read in (read_checkpoint, read_metadata):
        with pytest.raises(WeightsError, match="damaged, cut short or not a safetensors file"):
            read(path)


def test_pickle_is_never_opened(tmp_path):
    path = tmp_path / "foreign.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"other": "{}"}, {"astro_iicnet": "{"}, {"astro_iicnet": "[]"}])
def test_foreign_safetensors(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(WeightsError, match="not one of astro_iicnet"):
        read_checkpoint(path)


def test_missing_file_and_folder(tmp_path, model):
    with pytest.raises(WeightsError, match="Cannot read weights from"):
        read_checkpoint(tmp_path / "no.safetensors")
    with pytest.raises(WeightsError, match="Cannot read weights from"):
        read_checkpoint(tmp_path)
    with pytest.raises(WeightsError, match="Cannot write weights to"):
        save_checkpoint(tmp_path / "no" / "weights.safetensors", model, RECORD)


@pytest.mark.parametrize("bad", [{"x": float("nan")}, {"x": {1, 2}}])
def test_metadata_that_is_not_plain_data(tmp_path, model, bad):
    with pytest.raises(WeightsError, match="not plain JSON data"):
        save_checkpoint(tmp_path / "w.safetensors", model, bad)
    assert not os.listdir(tmp_path)
