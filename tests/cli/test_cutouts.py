import numpy as np
import pytest
from click.testing import CliRunner

from astro_iicnet import conf
from astro_iicnet.cli import main
from astro_iicnet.cutouts.store import FILE_NAME, CutoutStore


@pytest.fixture
def folder(tmp_path):
    with conf.set_temp("cache_dir", str(tmp_path / "cache")):
        yield tmp_path / "cache"


@pytest.fixture
def filled(folder):
    x = np.arange(30)
    store = CutoutStore()
    store.put("irsa", np.full(30, "0000p015_ac51"), "W1", x, x, np.ones((30, 41, 41), "f4"))
    store.put("aws", np.full(5, "0000p015_ac51"), "W2", x[:5], x[:5], np.ones((5, 41, 41), "f4"))
    return folder


def run(*arguments, **options):
    result = CliRunner().invoke(main, ["cutouts", *arguments], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("verb", [(), ("info",), ("clear",)])
def test_help_has_an_example(verb):
    result = run(*verb, "--help")
    assert result.exit_code == 0
    assert " ".join(["astro-iicnet cutouts", *verb]) in result.output


def test_info(filled):
    with conf.set_temp("cache_size", 2.5):
        result = run("info")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"file     {filled / FILE_NAME}",
        "cutouts  35 (aws 5, irsa 30)",
        f"size     {(filled / FILE_NAME).stat().st_size / 1e9:.3f} of at most 2.5 GB",
    ]


def test_info_and_clear_of_nothing(folder):
    result = run("info")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == ["cutouts  0", "size     0.000 of at most 10 GB"]
    assert run("clear", "--yes").exit_code == 0
    assert not folder.exists()


def test_clear(filled):
    result = run("clear", "--yes")
    assert result.exit_code == 0
    assert "removed 35 cutouts" in result.output
    assert CutoutStore().info().n_cutouts == 0
    assert (filled / FILE_NAME).stat().st_size < 100_000


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 35), ("", 35)])
def test_clear_asks(filled, answer, left):
    result = run("clear", input=answer)
    assert f"Remove 35 cutouts (0.000 GB) from {filled / FILE_NAME}? [y/N]" in result.output
    assert result.exit_code == (1 if left else 0)
    assert CutoutStore().info().n_cutouts == left


@pytest.mark.parametrize("verb", [("info",), ("clear", "--yes"), ("clear",)])
def test_trouble_ends_in_a_message(folder, verb):
    folder.mkdir()
    (folder / FILE_NAME).write_text("not a database " * 100)
    result = run(*verb)
    assert result.exit_code == 2
    assert "is a file of something else: it is not used. Move it away" in result.output
    assert "Remove" not in result.output
    assert "Warning" not in result.output
    assert (folder / FILE_NAME).read_text() == "not a database " * 100
