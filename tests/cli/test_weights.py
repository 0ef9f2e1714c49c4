import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from file_server import FileServer

from astro_iicnet.cli import main
from astro_iicnet.config import conf
from astro_iicnet.weights import get_record, make_record, new_weights, save_weights
from astro_iicnet.weights.fetch import cached_file


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save_weights(tmp_path_factory.mktemp("weights") / "lab-v1.safetensors", new_weights("lab-v1"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(*arguments):
        result = CliRunner().invoke(main, ["weights", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    monkeypatch.chdir(tmp_path)
    with conf.set_temp("cache_dir", str(tmp_path / "cache")), conf.set_temp("retries", 0):
        yield run


@pytest.fixture
def server(file):
    with FileServer() as server:
        record = make_record(file) | {"urls": [f"{server.url}/file"]}
        server.files |= {"/file": file.read_bytes(), "/r.json": json.dumps({"weights": [record]}).encode()}
        yield server


@pytest.mark.parametrize("verb", ["list", "info", "download", "verify", "add"])
def test_help_has_an_example(run, verb):
    assert f"astro-iicnet weights {verb}" in run(verb, "--help").output


def test_from_registry_to_disk(run, server, file):
    result = run("add", f"{server.url}/r.json")
    assert (result.exit_code, result.stdout.split()[0]) == (0, "lab-v1")
    assert (
        f"lab-v1  iicnet  W1/W2/W3  calibrated  private, not on this disk, {server.url}/file"
        in run("list").stdout
    )
    assert json.loads(run("info", "lab-v1").stdout)["urls"] == [f"{server.url}/file"]
    assert server.asked == ["/r.json"]
    result = run("verify")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "lab-v1  not on this disk")
    assert run("verify", "lab-v1").exit_code == 1
    result = run("download", "lab-v1", "--no-progress")
    assert (result.exit_code, result.stderr) == (0, "")
    assert Path(result.stdout.strip()).read_bytes() == file.read_bytes()
    cached_file(make_record(file)).unlink()
    assert "lab-v1: 100%" in run("download", "lab-v1").stderr
    assert run("verify", "lab-v1").stdout == "lab-v1  ok\n"


def test_add_a_file(run, file):
    assert run("add", file).stdout == "lab-v1  private, on this disk, no published address\n"
    assert run("verify", "lab-v1").exit_code == 0
    cached_file(make_record(file)).write_bytes(b"")
    result = run("verify")
    assert (result.exit_code, "lab-v1  damaged" in result.stdout) == (1, True)
    assert "weights add FILE" in result.stderr
    result = run("download", "lab-v1")
    assert result.exit_code == 2
    assert "no published address" in result.stderr


def test_what_ships_with_the_package(run):
    name = get_record()["name"]
    listed = run("list").stdout.splitlines()[0]
    assert listed.startswith(name)
    assert "ships with the package, no published address" in listed
    result = run("info", name)
    assert json.loads(result.stdout)["name"] == name
    assert result.stderr == f"{name}: ships with the package, no published address\n"
    assert run("download", name).stdout.strip().endswith(f"{name}.safetensors")
    assert f"{name}  ok" in run("verify").stdout


@pytest.mark.parametrize("verb", ["info", "download", "verify"])
def test_unknown_names(run, verb, file):
    run("add", file)
    result = run(verb, "lab-v2")
    assert result.exit_code == 2
    assert "Did you mean 'lab-v1'?" in result.stderr


def test_add_what_cannot_be_added(run, file, tmp_path):
    assert run("add", "none.json").exit_code == 2
    run("add", file)
    other = save_weights(tmp_path / "b.safetensors", new_weights("lab-v1", seed=3))
    result = run("add", other)
    assert (result.exit_code, "--overwrite" in result.stderr) == (2, True)
    assert run("add", other, "--overwrite").exit_code == 0
    (tmp_path / "same.json").write_text(json.dumps({"weights": [get_record()]}))
    result = run("add", "same.json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing to add" in result.stderr


def test_the_dry_run_downloads_nothing(run, server, tmp_path):
    run("add", f"{server.url}/r.json")
    (tmp_path / "list.csv").write_text("ra,dec\n10,20\n")
    result = CliRunner().invoke(main, ["classify", "list.csv", "--dry-run", "--weights", "lab-v1"])
    assert (result.exit_code, server.asked) == (0, ["/r.json"])


@pytest.mark.parametrize("option", ["-q", "--no-progress"])
def test_classify_fetches_as_quietly_as_it_is_told(run, server, tmp_path, option):
    run("add", f"{server.url}/r.json")
    (tmp_path / "list.csv").write_text("ra,dec\n150.1201,2.2103\n10,20\n")
    call = ["classify", "list.csv", "--images", "simulated", "--weights", "lab-v1", "-o", "o.csv", option]
    result = CliRunner().invoke(main, call)
    assert (result.exit_code, server.asked) == (0, ["/r.json", "/file"])
    assert "100%" not in result.stderr
    assert option != "-q" or not result.stderr
