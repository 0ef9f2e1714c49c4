"""The verb ``reproduce``: options reach the experiments, tables come out."""

import pytest
from astropy.table import MaskedColumn, Table
from click.testing import CliRunner

from astro_iicnet.cli import main
from astro_iicnet.cli.experiments import _BUDGETS
from astro_iicnet.experiments import registry
from astro_iicnet.experiments.budgets import BUDGETS


def invoke(*arguments):
    return CliRunner().invoke(main, ["reproduce", *map(str, arguments)])


def test_help_names_all_there_is():
    text = " ".join(invoke("--help").output.split())
    assert tuple(BUDGETS) == _BUDGETS
    assert all(name in text for name in (*BUDGETS, *registry.EXPERIMENTS))
    assert "astro-iicnet reproduce --budget smoke --out smoke" in text


def test_tables_and_what_is_missing(tmp_path, monkeypatch):
    table = Table({"network": ["iicnet", "vgg16"], "accuracy": [0.5, 0.0], "note": ["", "not trained: why"]})
    table["paper_accuracy"] = MaskedColumn([0.95213, 1.0], mask=[False, True])
    monkeypatch.setitem(registry.EXPERIMENTS, "bands", lambda run: {"bands": table.copy()})
    result = invoke("--out", tmp_path / "out", "--only", "bands", "--seed", 7)
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if "vgg16" in line)
    assert row.split()[-1] == "--"
    assert "0.9521" in result.stdout
    assert result.stderr == "vgg16: not trained: why\n"
    written = Table.read(tmp_path / "out" / "bands.ecsv")
    assert (written.meta["seed"], written.meta["budget"]["name"]) == (7, "smoke")
    result = invoke("--out", tmp_path / "out", "--only", "bands", "--seed", 8)
    assert result.exit_code == 2
    assert "another folder" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--only", "band"), "Did you mean 'bands'"), (("--budget", "huge"), "'smoke'"), ((), "--out")],
)
def test_usage(tmp_path, arguments, message):
    out = ("--out", tmp_path / "out") if arguments else ()
    result = invoke(*out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
