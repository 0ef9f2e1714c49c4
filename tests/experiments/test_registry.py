"""The experiments on a sample of a few dozen sources: what is written, kept and said."""

import json

import numpy as np
import pytest
from astropy.table import Table

from astro_iicnet.exceptions import IICnetError, MissingLibraryError
from astro_iicnet.experiments import networks, paper, registry
from astro_iicnet.experiments.budgets import BUDGETS, Budget
from astro_iicnet.experiments.networks import Plan
from astro_iicnet.experiments.registry import EXPERIMENTS, reproduce
from astro_iicnet.weights import load_weights

TINY = Budget("tiny", (31, 32, 33), "one-cycle", 1, (1e-3,), 1, (64,))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All experiments, where the libraries of the peers are missing."""

    def missing(name):
        raise MissingLibraryError(f"{name} cannot be imported: pip install 'astro_iicnet[train]'.")

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("astro_iicnet.models.baselines._library", missing)
        tables = reproduce(folder, TINY, seed=3, device="cpu", progress=False)
    return folder, tables


def test_every_table_is_written_with_what_made_it(made):
    folder, tables = made
    names = ["networks", "learning_curves", "metrics", "confusion_matrix", "first_kernel", "input_size"]
    assert list(tables) == [*names, "bands", "recipes", "photometry", "cuts"]
    for name, table in tables.items():
        read = Table.read(folder / f"{name}.ecsv")
        assert read.colnames == table.colnames
        assert len(read) == len(table)
        assert read.meta["seed"] == 3
        assert read.meta["budget"]["epochs"] == 1
        assert read.meta["command"].startswith("astro-iicnet reproduce --budget tiny --seed 3")


def test_the_sample_has_exact_class_sizes_and_the_papers_split(made):
    folder, tables = made
    truth = Table.read(folder / "sample.fits", hdu="SOURCES")["class"]
    assert [int((truth == name).sum()) for name in ("galaxy", "quasar", "star")] == [31, 32, 33]
    # 8:1:1 as in the paper: the test set takes the odd one.
    assert tables["networks"]["n"][0] == 4 + 4 + 4
    confusion = tables["confusion_matrix"]
    assert sum(confusion["galaxy"]) == sum(confusion["quasar"]) == sum(confusion["star"]) == 4
    assert sum(confusion["paper_galaxy"]) == 730


def test_networks_beside_the_paper(made):
    _, tables = made
    table = tables["networks"]
    assert list(table["network"]) == list(paper.TABLE_3)
    iicnet = table[0]
    assert (iicnet["parameters"], iicnet["multiply_adds_80"]) == (1_749_039, 217_315_346)
    assert iicnet["paper_multiply_adds"] == 218.66e6
    assert iicnet["accuracy_low"] <= iicnet["accuracy"] <= iicnet["accuracy_high"]
    assert iicnet["learning_rate"] == TINY.rates[0]
    for row in table[1:]:
        assert "pip install 'astro_iicnet[train]'" in row["note"]
        assert row["accuracy"] is np.ma.masked
        assert row["paper_parameters"] > 0
    assert set(tables["learning_curves"]["network"]) == {"iicnet"}


def test_variants_differ_from_iicnet_in_one_thing(made):
    folder, tables = made
    assert list(tables["first_kernel"]["first_kernel"]) == [5, 3]
    assert list(tables["input_size"]["size"]) == [64, 80]
    assert list(tables["bands"]["bands"]) == ["W1 W2 W3", "W1 W2 W3 W4"]
    for name in ("first_kernel", "input_size", "bands", "recipes", "photometry"):
        table = tables[name]
        same = table[table["network"] == "iicnet"]
        assert same["accuracy"][0] == tables["networks"]["accuracy"][0]
        other = table[table["network"] != "iicnet"]
        np.testing.assert_allclose(other["difference"], other["accuracy"] - same["accuracy"][0], atol=1e-12)
        if name in ("first_kernel", "input_size", "bands"):
            assert set(table["learning_rate"]) == {same["learning_rate"][0]}
    small = load_weights(folder / "networks" / "iicnet-3x3" / "weights.safetensors")
    assert small.model.features[0].kernel_size == (3, 3)
    size = load_weights(folder / "networks" / "iicnet-64px" / "weights.safetensors")
    assert size.preprocess.recipe.size == 64


def test_nothing_is_done_twice(made, monkeypatch):
    folder, tables = made
    monkeypatch.setattr(networks, "train", None)
    monkeypatch.setattr("astro_iicnet.experiments.run.simulate_dataset", None)
    again = reproduce(folder, TINY, only=["metrics", "first-kernel"], seed=3, progress=False)
    assert list(again) == ["metrics", "confusion_matrix", "first_kernel"]
    for name, table in again.items():
        assert table.pformat() == tables[name].pformat()
    assert not list(folder.rglob("*.state*"))


def test_an_interrupt_between_rates_and_training(tmp_path, monkeypatch):
    """The choice of rate is kept, and the network is the one of an uninterrupted run."""
    run = registry.Run(
        tmp_path, Budget("one", (12, 12, 12), "one-cycle", 1, (1e-4, 2e-3), 1, ()), 5, "cpu", False
    )
    run.open()
    plan, original, calls = Plan("iicnet"), networks.train, []

    def stop_at_third(*arguments, **options):
        calls.append(arguments[4].learning_rate)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(networks, "train", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        networks.run_network(run, plan)
    rates = Table.read(tmp_path / "networks" / "iicnet" / "rates.ecsv")
    best = rates["learning_rate"][np.argmin(rates["validation_loss"])]
    found = networks.run_network(run, plan)
    assert calls == [1e-4, 2e-3, best, best]
    assert found.meta["learning_rate"] == best


def test_a_folder_is_of_one_run(made):
    folder, _ = made
    with pytest.raises(IICnetError, match="holds experiments of .*'seed': 3.*another folder"):
        reproduce(folder, TINY, seed=4)
    assert json.loads((folder / "run.json").read_text())["budget"]["name"] == "tiny"


def test_unknown_names(tmp_path):
    with pytest.raises(IICnetError, match=r"Unknown experiment 'network'.*mean 'networks'"):
        reproduce(tmp_path / "none", only=["network"])
    with pytest.raises(IICnetError, match="Unknown budget 'gpus'.*mean 'gpu'"):
        reproduce(tmp_path / "none", "gpus")
    assert not (tmp_path / "none").exists()


def test_budgets_are_those_of_the_paper():
    assert BUDGETS["gpu"].epochs == 200
    assert BUDGETS["cpu"].epochs <= 10
    for name in ("cpu", "gpu"):
        assert sum(BUDGETS[name].class_sizes) == 21_736
        assert sorted([80, *BUDGETS[name].sizes]) == list(range(64, 129, 8))
    assert set(EXPERIMENTS) == {
        "networks", "metrics", "first-kernel", "input-size", "bands", "recipes", "photometry"
    }  # fmt: skip
