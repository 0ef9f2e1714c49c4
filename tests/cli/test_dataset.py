import pytest
from astropy.table import Table
from sdss_server import local_sdss

from astro_iicnet.training.datasets import read_dataset
from astro_iicnet.weights import get_record, load_weights


@pytest.mark.parametrize("verb", ["dataset", "dataset build"])
def test_help_has_an_example(run, verb):
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    assert "astro-iicnet dataset build" in result.output


def test_build_fine_tune_evaluate(run, archive_server, monkeypatch):
    with local_sdss(monkeypatch):
        result = run("dataset", "build", "real.fits", "--per-class", 5, "--bands", "w1,W2,W3", "--seed", 2)
    assert result.exit_code == 0, result.output
    assert "real.fits: 15 sources" in result.stderr
    assert "validation" in result.stderr
    assert result.stdout == ""
    _, table = read_dataset("real.fits")
    n_test = sum(table["split"] == "test")
    more = ("--from", "iicnet-sim-v3", "--learning-rate", 1e-4, "--epochs", 1, "-q", "--device", "cpu")
    result = run("train", "real.fits", "-o", "tuned.safetensors", *more)
    assert result.exit_code == 0, result.output
    assert f"on {n_test} test sources" in result.stderr
    start = get_record("iicnet-sim-v3")
    tuned = load_weights("tuned.safetensors")
    assert tuned.record["started_from"] == {"name": "iicnet-sim-v3", "sha256": start["sha256"]}
    # One small step away: the network is that of the start, not one of random weights.
    before, after = load_weights("iicnet-sim-v3").model.features[0].weight, tuned.model.features[0].weight
    assert 0 < (after - before).abs().max() < 0.01
    assert max(Table.read("tuned.history.ecsv")["learning_rate"]) <= 1e-4
    result = run("evaluate", "real.fits", "--part", "test", "--weights", "tuned.safetensors")
    assert f"{n_test} of {n_test} sources" in result.stdout


def test_options_that_contradict_the_start(run):
    assert run("simulate", 30, "-o", "data.fits", "--workers", 1).exit_code == 0
    for option, value in [("--first-kernel", 3), ("--recipe", "paper"), ("--bands", "W1,W2"), ("--size", 64)]:
        result = run("train", "data.fits", "-o", "t.safetensors", "--from", "iicnet-sim-v3", option, value)
        assert result.exit_code == 2
        assert "contradicts the weights 'iicnet-sim-v3'" in result.stderr
    result = run("evaluate", "data.fits", "--part", "test")
    assert result.exit_code == 2
    assert "leave --part out" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--bands", "W1,w1", "names a band twice"),
        ("--bands", "W1,W7", "'W7'"),
        ("--images", "simulated", "'simulated' show no real sources"),
        ("--images", "irsa,simulated", "'simulated' show no real sources"),
    ],
)
def test_refused_before_any_query(run, sdss_server, tmp_path, option, value, message):
    result = run("dataset", "build", "real.fits", option, value)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not sdss_server.requests
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there(run, tmp_path):
    (tmp_path / "real.fits").write_text("mine")
    result = run("dataset", "build", "real.fits")
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
