import hashlib
import json

import numpy as np
import pytest

from astro_iicnet.exceptions import WeightsError
from astro_iicnet.labels import CLASSES
from astro_iicnet.weights import add_record, get_record, make_record, new_weights, read_registry, save_weights
from astro_iicnet.weights.registry import REGISTRY_FILE


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "one.safetensors"
    return save_weights(path, new_weights("one-v1"), temperature=1.5, licence="BSD-3-Clause")


@pytest.fixture
def registry(tmp_path, weights_file):
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"default": "one-v1", "weights": []}))
    return path


def test_record_says_what_header_and_file_say(weights_file):
    record = make_record(weights_file, ["https://example.org/one"])
    content = weights_file.read_bytes()
    assert record["name"] == "one-v1"
    assert record["file"] == "one.safetensors"
    assert record["size"] == len(content)
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["urls"] == ["https://example.org/one"]
    assert record["bands"] == ["W1", "W2", "W3"]
    assert record["classes"] == list(CLASSES)
    assert (record["recipe"], record["survey"]) == ("calibrated", "allwise-atlas")
    assert (record["temperature"], record["licence"]) == (1.5, "BSD-3-Clause")
    assert record["training_data"] == "not stated"


def test_add_record_copies_and_replaces(registry, weights_file, tmp_path):
    add_record(weights_file, registry=registry)
    other = save_weights(tmp_path / "x.safetensors", new_weights("other-v1"))
    add_record(other, registry=registry)
    newer = save_weights(tmp_path / "newer.safetensors", new_weights("one-v1", seed=5))
    record = add_record(newer, registry=registry)
    assert list(read_registry(registry)) == ["one-v1", "other-v1"]
    assert get_record(path=registry) == record == get_record("one-v1", registry)
    assert (tmp_path / "one-v1.safetensors").read_bytes() == newer.read_bytes()


def test_add_record_in_place(registry):
    path = save_weights(registry.with_name("one-v1.safetensors"), new_weights("one-v1"))
    assert add_record(path, registry=registry)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_unknown_name_gets_the_closest(registry, weights_file):
    add_record(weights_file, registry=registry)
    with pytest.raises(WeightsError, match=r"Did you mean 'one-v1'\?"):
        get_record("one-v2", registry)


def test_empty_registry(registry):
    with pytest.raises(WeightsError, match="is empty"):
        get_record(path=registry)


def test_records_of_the_package_are_true():
    assert next(iter(read_registry())) == "iicnet-sim-v3"
    for name, record in read_registry().items():
        path = REGISTRY_FILE.with_name(record["file"])
        assert path.is_file(), name
        found = make_record(path, record["urls"])
        # Such a table may be made when the file is there already.
        assert found | {"set_scores": found["set_scores"] or record["set_scores"]} == record


def test_the_default_weights_make_prediction_sets():
    scores = get_record()["set_scores"]
    assert min(scores["n"]) > 6000
    assert list(scores)[2:] == list(CLASSES)
    for name in CLASSES:
        assert len(scores[name]) == len(scores["coverage"])
        assert (np.diff(scores[name]) >= 0).all()
