import json

import numpy as np
import pytest
import torch

from astro_iicnet.exceptions import IICnetError, WeightsError
from astro_iicnet.models.checkpoint import save_checkpoint
from astro_iicnet.preprocessing import RECIPES
from astro_iicnet.weights import Weights, add_record, load_weights, new_weights, save_weights
from astro_iicnet.weights import find as module


@pytest.fixture(scope="module")
def weights():
    return new_weights("tiny-v1", bands=("W1", "W2", "W3", "W4"), recipe="paper", seed=7)


@pytest.fixture
def file(tmp_path, weights):
    return save_weights(tmp_path / "file.safetensors", weights, temperature=1.7, metrics={"accuracy": 0.9})


@pytest.fixture
def registry(tmp_path, file, monkeypatch):
    path = tmp_path / "package" / "registry.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"default": "tiny-v1", "weights": []}))
    add_record(file, registry=path)
    monkeypatch.setattr(module, "REGISTRY_FILE", path)
    return path


def same(a: Weights, b: Weights) -> bool:
    states = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_round_trip(file, weights):
    loaded = load_weights(file)
    assert same(loaded, weights)
    assert not loaded.model.training
    assert (loaded.name, loaded.bands) == ("tiny-v1", ("W1", "W2", "W3", "W4"))
    assert loaded.preprocess.recipe == RECIPES["paper"]
    assert loaded.record["temperature"] == 1.7
    assert loaded.record["metrics"] == {"accuracy": 0.9}
    out = loaded.model(loaded.preprocess(torch.rand(2, 4, 41, 41), torch.zeros(2, 2)))
    assert out.shape == (2, 3)
    assert "tiny-v1" in repr(loaded)


def test_by_name_and_by_default(registry, weights):
    assert same(load_weights("tiny-v1"), weights)
    assert same(load_weights(), weights)
    with pytest.raises(WeightsError, match="Did you mean 'tiny-v1'"):
        load_weights("tinny-v1")


def test_seed_makes_the_network_and_leaves_torch_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second, third = (new_weights("a", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert same(first, second)
    assert not same(first, third)


def test_a_changed_byte_is_found(registry):
    path = registry.with_name("tiny-v1.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256.*Install"):
        load_weights("tiny-v1")


def test_a_missing_file_of_the_package(registry):
    registry.with_name("tiny-v1.safetensors").unlink()
    with pytest.raises(WeightsError, match="missing from the package"):
        load_weights()


@pytest.mark.parametrize("length", [0, 5, 100, 100_000])
def test_truncated(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(WeightsError):
        load_weights(file)


def test_noise(tmp_path):
    path = tmp_path / "noise.safetensors"
    path.write_bytes(np.random.default_rng(1).bytes(1000))
    with pytest.raises(WeightsError):
        load_weights(path)


def test_no_such_file(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        load_weights(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="no weights file"):
        load_weights(str(tmp_path))


GOOD = {
    "architecture": "iicnet",
    "options": {"in_channels": 4},
    "bands": ["W1", "W2", "W3", "W4"],
    "recipe": RECIPES["paper"].to_dict(),
    "survey": "allwise-atlas",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "iicnot"},
        {"options": {"in_channels": 3}},
        {"options": {"in_chanels": 4}},
        {"bands": ["W1", "W2", "W3", "W5"]},
        {"recipe": "paper"},
        {"recipe": {"name": "x"}},
        {"recipe": {"name": "x", "stretch": "log"}},
        {"classes": ["star", "quasar", "galaxy"]},
        {"temperature": 0},
        {"temperature": "warm"},
        {"training_fractions": [0.5, 0.5, 0.0]},
        {"training_fractions": 0.3},
    ],
)
def test_headers_that_do_not_fit(tmp_path, weights, changes):
    path = tmp_path / "odd.safetensors"
    save_checkpoint(path, weights.model, GOOD | changes)
    with pytest.raises(WeightsError, match="odd"):
        load_weights(path)


def test_the_good_header_is_good(tmp_path, weights):
    path = tmp_path / "nameless.safetensors"
    save_checkpoint(path, weights.model, GOOD)
    assert load_weights(path).name == "nameless"


@pytest.mark.parametrize("key", GOOD)
def test_headers_that_lack_something(tmp_path, weights, key):
    path = tmp_path / "odd.safetensors"
    save_checkpoint(path, weights.model, {k: v for k, v in GOOD.items() if k != key})
    with pytest.raises(WeightsError, match=key):
        load_weights(path)


def test_bad_names(weights, tmp_path):
    with pytest.raises(IICnetError, match="Did you mean 'calibrated'"):
        new_weights("a", recipe="calibratd")
    with pytest.raises(WeightsError, match="Did you mean 'licence'"):
        save_weights(tmp_path / "a.safetensors", weights, license="MIT")


def test_options_are_in_the_file(tmp_path):
    """Loading needs the file alone: kernel, size and bands come from its header."""
    made = new_weights("other-v1", bands=("W2", "W1", "W3", "W4"), size=64, seed=2, first_kernel=3)
    loaded = load_weights(save_weights(tmp_path / "other.safetensors", made))
    assert same(loaded, made)
    assert loaded.model.features[0].kernel_size == (3, 3)
    assert loaded.bands == ("W2", "W1", "W3", "W4")
    assert loaded.preprocess.recipe.size == 64
    assert loaded.preprocess(torch.rand(1, 4, 41, 41), torch.zeros(1, 2)).shape == (1, 4, 64, 64)
    with pytest.raises(IICnetError, match="size is 30: expected 32 to 128"):
        new_weights("small-v1", size=30)
    with pytest.raises(IICnetError, match="Unknown option of iicnet 'kernel'"):
        new_weights("odd-v1", kernel=3)
