"""The verb report."""

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner

from astro_iicnet.cli import main
from astro_iicnet.output import write_results
from astro_iicnet.results import make_results
from astro_iicnet.simulation.field import example_sources
from astro_iicnet.sources import read_sources


@pytest.fixture
def run(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    sources = read_sources(example_sources()[:9])
    probabilities = rng.dirichlet([0.5] * 3, 9)
    nothing = np.zeros(9, np.int16)
    write_results(make_results(sources, probabilities, nothing, nothing, {"weights": "w-v1"}), "found.fits")
    return lambda *arguments: CliRunner().invoke(main, ["report", *arguments])


def test_page_beside_the_result(run, tmp_path):
    result = run("found.fits")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "found.html: page of 9 rows" in result.stderr
    assert "in found.fits</h1>" in (tmp_path / "found.html").read_text()
    # What is there stays.
    again = run("found.fits")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run("found.fits", "--overwrite", "-q").stderr == ""


def test_page_with_pictures(run, tmp_path):
    assert run("found.fits", "-o", "page.html", "--images", "simulated").exit_code == 0
    assert "data:image/png" in (tmp_path / "page.html").read_text()


def test_images_none_as_in_classify(run, tmp_path):
    assert run("found.fits", "--images", "none").exit_code == 0
    assert "No images were asked for" in (tmp_path / "found.html").read_text()


def test_what_is_no_result(run, tmp_path):
    Table({"ra": [1.0], "dec": [1.0]}).write("list.csv")
    result = run("list.csv")
    assert result.exit_code == 2
    assert "not a table of results" in result.stderr
    assert run("missing.fits").exit_code == 2
    assert not list(tmp_path.glob("*.html"))


def test_help_has_an_example(run):
    assert "astro-iicnet report classified.fits" in run("--help").output


def test_page_of_labelled_cutouts(run, tmp_path):
    from astro_iicnet.weights import new_weights, save_weights

    def verb(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    weights = save_weights(tmp_path / "random.safetensors", new_weights("random-v1"))
    assert verb("simulate", 30, "-o", "fresh.fits", "--workers", 1).exit_code == 0
    command = ["evaluate", "fresh.fits", "--weights", weights, "--report", "page.html"]
    result = verb(*command)
    assert result.exit_code == 0, result.output
    assert "page.html: page of 30 sources" in result.stderr
    page = (tmp_path / "page.html").read_text()
    assert "random-v1 on fresh.fits</h1>" in page
    assert "dataset: seed" in page
    again = verb(*command)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
