import json
import shutil
import subprocess
import sys

import pytest
import torch
from file_server import FileServer, status

from astro_iicnet.config import conf
from astro_iicnet.exceptions import WeightsError
from astro_iicnet.weights import (
    add_record,
    add_weights,
    all_records,
    find_weights,
    get_record,
    load_weights,
    new_weights,
    save_weights,
    verify_weights,
)
from astro_iicnet.weights.fetch import cached_file
from astro_iicnet.weights.find import find_record, tell_place
from astro_iicnet.weights.private import _record_file


@pytest.fixture(scope="module")
def weights():
    return new_weights("lab-v1", seed=4)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, weights):
    """A registry with one file beside it, as a group would share it."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "registry.json").write_text('{"default": "lab-v1", "weights": []}')
    file = save_weights(folder / "a.safetensors", weights, temperature=1.3)
    add_record(file, registry=folder / "registry.json")
    file.unlink()
    return folder / "registry.json"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("astro_iicnet.weights._http.BACKOFF", 0.01)
    with conf.set_temp("cache_dir", str(tmp_path / "cache")), conf.set_temp("retries", 0):
        yield tmp_path / "cache"


@pytest.fixture
def server(lab):
    with FileServer() as server:
        for path in lab.parent.iterdir():
            server.files[f"/lab/{path.name}"] = path.read_bytes()
        yield server


def record_of(lab):
    return json.loads(lab.read_text())["weights"][0]


def changed(tmp_path, lab, changes, more=()):
    """The registry with one record changed, elsewhere, without the file."""
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({"weights": [record_of(lab) | changes, *more]}))
    return path


def is_it(loaded, weights):
    states = loaded.model.state_dict(), weights.model.state_dict()
    return loaded.name == "lab-v1" and all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_add_a_file_and_load_it_by_name(lab, weights, tmp_path):
    mine = shutil.copy(lab.with_name("lab-v1.safetensors"), tmp_path / "mine.safetensors")
    (record,) = add_weights(mine)
    assert record["name"] == "lab-v1"
    (tmp_path / "mine.safetensors").unlink()
    with conf.set_temp("offline", True):
        loaded = load_weights("lab-v1")
    assert is_it(loaded, weights)
    assert loaded.record["temperature"] == 1.3
    assert tell_place("lab-v1") == "private, on this disk, no published address"
    assert verify_weights(["lab-v1"]) == {"lab-v1": "ok"}


def test_add_a_registry_by_path_takes_the_files_beside_it(lab, weights):
    assert [record["name"] for record in add_weights(lab)] == ["lab-v1"]
    assert list(all_records())[-1] == "lab-v1"
    with conf.set_temp("offline", True):
        assert is_it(load_weights("lab-v1"), weights)


def test_add_a_registry_by_address(server, weights, cache):
    add_weights(f"{server.url}/lab/registry.json")
    assert server.asked == ["/lab/registry.json"]
    assert find_record("lab-v1")["urls"] == [f"{server.url}/lab/lab-v1.safetensors"]
    assert tell_place("lab-v1").startswith("private, not on this disk, http://127.0.0.1")
    assert verify_weights()["lab-v1"] == "not on this disk"
    assert is_it(load_weights("lab-v1", progress=False), weights)
    assert is_it(load_weights("lab-v1"), weights)
    assert server.asked == ["/lab/registry.json", "/lab/lab-v1.safetensors"]
    assert verify_weights()["lab-v1"] == "ok"


def test_what_counts_is_the_verified_file_not_what_a_registry_says_of_it(tmp_path, lab, weights, server):
    url = f"{server.url}/lab/lab-v1.safetensors"
    false = {"temperature": 9.0, "recipe": "paper", "architecture": "other", "bands": ["W4"], "urls": [url]}
    add_weights(changed(tmp_path, lab, false))
    loaded = load_weights("lab-v1", progress=False)
    assert is_it(loaded, weights)
    assert loaded.record["temperature"] == 1.3
    assert (loaded.record["recipe"], loaded.bands) == ("calibrated", ("W1", "W2", "W3"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "../../evil"}, "letters, digits"),
        ({"name": "a/b"}, "letters, digits"),
        ({"name": ".hidden"}, "letters, digits"),
        ({"name": "\x1b[2J"}, "letters, digits"),
        ({"name": "a.safetensors"}, "not the name of a file"),
        ({"name": 5}, "letters, digits"),
        ({"file": "../lab-v1.safetensors"}, "file"),
        ({"file": "/etc/passwd"}, "file"),
        ({"sha256": "../" * 21 + "x"}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"size": -1}, "size"),
        ({"size": "many"}, "size"),
        ({"bands": ["\x1b"]}, "bands"),
        ({"architecture": "\x1b"}, "architecture"),
        ({"recipe": {}}, "recipe"),
        ({"urls": "https://example.org"}, "urls"),
        ({"urls": ["file:///etc/passwd"]}, "http"),
        ({"urls": ["https://"]}, "a host"),
        ({"urls": ["https://[x/"]}, "a host"),
        ({"urls": ["https://example.org/a b"]}, "http"),
    ],
)
def test_records_that_are_not_sound(tmp_path, lab, cache, changes, words):
    with pytest.raises(WeightsError, match=words) as caught:
        add_weights(changed(tmp_path, lab, changes, [record_of(lab) | {"name": "good-v1"}]))
    assert "changed.json" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not cache.exists()


def test_a_name_of_the_package_is_not_replaced(tmp_path, lab, cache):
    name = get_record()["name"]
    with pytest.raises(WeightsError, match="not replaced.*a name of their own"):
        add_weights(changed(tmp_path, lab, {"name": name}), overwrite=True)
    assert not cache.exists()


def test_what_the_package_has_itself_is_left_out(tmp_path, lab):
    registry = changed(tmp_path, lab, {}, [get_record()])
    assert [record["name"] for record in add_weights(registry)] == ["lab-v1"]


def test_the_package_goes_first_even_if_a_private_name_is_older(lab):
    """As after an update that brings weights of this name."""
    add_weights(lab)
    name, sha256 = get_record()["name"], get_record()["sha256"]
    record = record_of(lab) | {"name": name}
    _record_file(name).write_text(json.dumps(record))
    assert list(all_records()).count(name) == 1
    assert find_record(name)["sha256"] == sha256
    assert find_weights()[1]["sha256"] == sha256


def test_another_file_of_the_same_name(tmp_path, lab):
    add_weights(lab)
    add_weights(lab)  # the same again is no conflict
    other = save_weights(tmp_path / "b.safetensors", new_weights("lab-v1", seed=9))
    with pytest.raises(WeightsError, match="with another file already.*--overwrite"):
        add_weights(other)
    old = find_record("lab-v1")["sha256"]
    add_weights(other, overwrite=True)
    assert find_record("lab-v1")["sha256"] != old
    assert find_weights("lab-v1")[0].read_bytes() == other.read_bytes()


def test_two_records_of_one_name(tmp_path, lab):
    with pytest.raises(WeightsError, match="two records of the name 'lab-v1'"):
        add_weights(changed(tmp_path, lab, {}, [record_of(lab)]))


def test_a_file_beside_that_is_another_one(tmp_path, lab, cache):
    registry = changed(tmp_path, lab, {})
    (tmp_path / "lab-v1.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="has SHA-256 .* expected"):
        add_weights(registry)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert "lab-v1" not in all_records()


def test_records_without_file_and_address_say_so(tmp_path, lab):
    add_weights(changed(tmp_path, lab, {}))
    assert tell_place("lab-v1") == "private, not on this disk, no published address"
    with pytest.raises(WeightsError, match="no published address: there is nothing to download"):
        load_weights("lab-v1")


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"weights": 5}', '{"weights": [5]}', "[" * 100_000, "\xff\x00"]
)
def test_what_is_no_registry(tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"odd\.json"):
        add_weights(path)


def test_sources_that_are_not_there(tmp_path, server):
    with pytest.raises(WeightsError, match="Cannot read the registry .*none.json"):
        add_weights(tmp_path / "none.json")
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        add_weights(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="answered HTTP 404"):
        add_weights(f"{server.url}/none.json")
    server.files["/broken"] = status(500)
    with pytest.raises(WeightsError, match="answered HTTP 500"):
        add_weights(f"{server.url}/broken")
    with conf.set_temp("offline", True), pytest.raises(WeightsError, match="offline is set"):
        add_weights(f"{server.url}/lab/registry.json")


def test_unknown_names_get_the_closest_of_all(lab):
    add_weights(lab)
    with pytest.raises(WeightsError, match="Did you mean 'lab-v1'"):
        load_weights("lab-v2")
    with pytest.raises(WeightsError, match="Did you mean 'lab-v1'"):
        verify_weights(["lab-v2"])


def test_a_damaged_record_harms_no_other_name(lab, cache, tmp_path):
    add_weights(lab)
    add_weights(changed(tmp_path, lab, {"name": "second-v1"}))
    for path in (cache / "weights").glob("*.json"):
        if "second" in path.read_text():
            path.write_text("{")
    assert load_weights("lab-v1").name == "lab-v1"
    assert find_weights()[1] == get_record()
    with pytest.raises(WeightsError, match="is damaged .* delete it, and add"):
        all_records()


def test_verify_finds_a_changed_byte(lab):
    add_weights(lab)
    assert set(verify_weights().values()) == {"ok"}
    path = cached_file(find_record("lab-v1"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert verify_weights()["lab-v1"] == "damaged"
    with pytest.raises(WeightsError, match="damaged on this disk"):
        load_weights("lab-v1")
    add_weights(lab)
    assert verify_weights(["lab-v1"]) == {"lab-v1": "ok"}


def test_two_processes_add_at_once(tmp_path, lab, cache):
    names = [f"lab-v{number}" for number in range(2, 6)]
    code = (
        "import sys; from astro_iicnet import conf; from astro_iicnet.weights import add_weights\n"
        f"conf.cache_dir = {str(cache)!r}\n"
        "add_weights(sys.argv[1])"
    )
    processes = []
    for name in names:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"weights": [record_of(lab) | {"name": name}]}))
        processes.append(subprocess.Popen([sys.executable, "-c", code, str(path)]))
    assert [process.wait() for process in processes] == [0] * 4
    assert set(names) < set(all_records())
