"""Weights of the package, those that do not ship with it among them."""

import json
import re

import pytest
from file_server import FileServer

from astro_iicnet.config import conf
from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights import (
    add_record,
    add_weights,
    find_weights,
    get_record,
    new_weights,
    read_registry,
    save_weights,
    verify_weights,
)
from astro_iicnet.weights.find import tell_place


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A package with two records; the file of the second, "large-v1", is on a server alone."""
    registry = tmp_path / "package" / "registry.json"
    registry.parent.mkdir()
    registry.write_text(json.dumps({"default": "small-v1", "weights": []}))
    with FileServer() as server, conf.set_temp("cache_dir", str(tmp_path / "cache")):
        for name in ("small-v1", "large-v1"):
            file = save_weights(tmp_path / "x.safetensors", new_weights(name))
            add_record(file, registry=registry, urls=[f"{server.url}/{name}"])
            server.files[f"/{name}"] = file.read_bytes()
        registry.with_name("large-v1.safetensors").unlink()
        for module in ("find", "private"):
            monkeypatch.setattr(f"astro_iicnet.weights.{module}.REGISTRY_FILE", registry)
        yield server


def test_what_does_not_ship_is_fetched(server):
    path, record = find_weights("small-v1")
    assert path.parent.name == "package"
    assert verify_weights() == {"small-v1": "ok", "large-v1": "not on this disk"}
    path, record = find_weights("large-v1", progress=False)
    assert (path.parent.name, record["name"]) == ("weights", "large-v1")
    assert path.read_bytes() == server.files["/large-v1"]
    assert server.asked == ["/large-v1"]
    assert verify_weights() == {"small-v1": "ok", "large-v1": "ok"}


def test_where_they_are(server):
    assert tell_place("small-v1") == f"ships with the package, {server.url}/small-v1"
    assert tell_place("large-v1") == f"not on this disk, {server.url}/large-v1"
    find_weights("large-v1", progress=False)
    assert tell_place("large-v1") == f"on this disk, {server.url}/large-v1"


def test_a_name_of_the_package_is_taken_even_where_its_file_is_elsewhere(server, tmp_path):
    other = save_weights(tmp_path / "other.safetensors", new_weights("large-v1", seed=8))
    with pytest.raises(WeightsError, match="not replaced"):
        add_weights(other)


@pytest.mark.parametrize("name", read_registry())
def test_the_package_says_how_and_on_what_its_weights_were_trained(name):
    record = get_record(name)
    assert re.search(r"\b(CPU|GPU|CUDA)\b", record["training_data"], re.IGNORECASE)
    assert "not stated" not in (record["licence"], record["citation"])
    assert record["metrics"]
