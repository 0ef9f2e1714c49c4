"""The experiments on a sample of a few dozen sources: what is written, kept and said."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from astro_iicnet.exceptions import IICnetError, MissingLibraryError
from astro_iicnet.experiments import methods, networks, paper, photometry, registry, speed
from astro_iicnet.experiments.budgets import BUDGETS, Budget
from astro_iicnet.experiments.methods import METHODS, SVM
from astro_iicnet.experiments.networks import Plan
from astro_iicnet.experiments.registry import EXPERIMENTS, reproduce
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.training.datasets import read_dataset, write_dataset
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import load_weights

TINY = Budget("tiny", (31, 32, 33), "one-cycle", 1, (1e-3,), 20, (64,))


def missing(name):
    raise MissingLibraryError(f"{name} cannot be imported: pip install 'astro_iicnet[train]'.")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All experiments, where the libraries of the peers are missing."""

    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("astro_iicnet.models.baselines._library", missing)
        patch.setitem(speed.SOURCES, "cpu", 16)
        patch.setattr(speed, "ROUNDS", 2)
        tables = reproduce(folder, TINY, seed=3, device="cpu", progress=False)
    return folder, tables


def test_every_table_is_written_with_what_made_it(made):
    folder, tables = made
    names = ["metrics", "confusion_matrix", "recipes", "bands", "photometry", "cuts", "first_kernel"]
    names += ["input_size", "speed", "methods", "methods_by_class", "networks", "learning_curves"]
    assert list(tables) == names
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


def test_probabilities_of_another_machine_stand_for_the_networks(made, tmp_path, monkeypatch):
    """Kept files alone, without weights, give the tables again; those of another sample are refused."""
    folder, tables = made
    for path in folder.glob("networks/*/*.ecsv"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    monkeypatch.setattr(networks, "train", None)
    monkeypatch.setattr("astro_iicnet.models.baselines._library", missing)
    again = reproduce(tmp_path, TINY, only=["metrics", "photometry", "networks"], seed=3, progress=False)
    for name, table in again.items():
        assert table.pformat() == tables[name].pformat()
    methods = reproduce(tmp_path, TINY, only=["methods"], seed=3, progress=False)["methods"]
    assert list(methods["accuracy"]) == list(tables["methods"]["accuracy"])
    assert methods["parameters"][list(METHODS).index(SVM)] is np.ma.masked
    assert not list(tmp_path.rglob("*.safetensors"))
    (tmp_path / "run.json").unlink()
    with pytest.raises(IICnetError, match="iicnet.test.ecsv holds probabilities of other sources.* seed 4"):
        reproduce(tmp_path, TINY, only=["metrics"], seed=4, progress=False)


def test_an_interrupt_between_rates_and_training(tmp_path, monkeypatch):
    """The choice of rate is kept, and the network is the one of an uninterrupted run."""
    run = registry.Run(
        tmp_path, Budget("one", (12, 12, 12), "one-cycle", 1, (1e-4, 2e-3), 20, ()), 5, "cpu", False
    )
    run.open()
    plan, original, calls = Plan("iicnet"), networks.train, []

    def stop_at_training(*arguments, **options):
        calls.append((arguments[4].learning_rate, len(arguments[2][0])))
        if [n for _, n in calls] == [20] * (len(calls) - 1) + [27]:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(networks, "train", stop_at_training)
    with pytest.raises(KeyboardInterrupt):
        networks.run_network(run, plan)
    rates = Table.read(tmp_path / "networks" / "iicnet" / "rates.ecsv")
    best = rates["learning_rate"][np.argmin(rates["validation_loss"])]
    found = networks.run_network(run, plan)
    # The rates are tried on 20 of the 27 sources, then the best is trained on all, twice begun.
    assert {(rate, 20) for rate in rates["learning_rate"]} == set(calls[:-2])
    assert len(calls) == len(rates) + 2
    assert calls[-2:] == [(best, 27), (best, 27)]
    (row,) = methods._rates(run)
    assert row.pop("network") == "iicnet"
    assert min(row, key=row.get) == f"{best:g}"
    assert list(row.values()) == list(rates["validation_loss"])
    assert found.meta["learning_rate"] == best


@pytest.fixture
def labelled(tmp_path):
    """A dataset that names its parts, of which every tenth cutout is not usable."""
    cutouts, table = simulate_dataset(90, seed=8, bands=("W1", "W2", "W3", "W4"), workers=1)
    table["split"] = np.resize(["train", "test", "train", "validation", "train"], 90)
    cutouts.status[::10] = Status.BAD_PIXELS
    cutouts.pixels[::10] = np.nan
    path = tmp_path / "mine.fits"
    write_dataset(path, cutouts, table)
    return path


def test_data_of_ones_own(labelled, tmp_path):
    """The same command; what is tested are the usable rows that the data call the test set."""
    out = tmp_path / "out"
    tables = reproduce(out, TINY, data=labelled, only=["metrics"], device="cpu", progress=False)
    cutouts, table = read_dataset(labelled)
    tested = np.flatnonzero((table["split"] == "test") & (np.arange(90) % 10 > 0))
    found = Table.read(out / "networks" / "iicnet" / "test.ecsv")
    np.testing.assert_array_equal(found["row"], tested)
    np.testing.assert_array_equal(found["class"], table["class"][tested])
    assert tables["metrics"]["n"].sum() == len(tested)
    meta = tables["metrics"].meta
    assert meta["data"] == "mine.fits, test set"
    assert "--data mine.fits" in meta["command"]
    assert meta["budget"]["class_sizes"] == [int((table["class"] == name).sum()) for name in CLASSES]
    assert not (out / "sample.fits").exists()
    with pytest.raises(IICnetError, match="holds experiments of"):
        reproduce(out, TINY, only=["metrics"], progress=False)


def test_data_that_will_not_do(labelled, tmp_path):
    cutouts, table = read_dataset(labelled)
    table.meta["survey"] = "allwise-hips"
    write_dataset(tmp_path / "hips.fits", cutouts, table)
    table.meta.pop("survey")
    write_dataset(tmp_path / "three.fits", cutouts.select_bands(["W1", "W2", "W3"]), table)
    table["split"] = "train"
    write_dataset(tmp_path / "parts.fits", cutouts, table)
    for name, message in [
        ("hips.fits", "is of the survey 'allwise-hips': expected 'allwise-atlas'"),
        ("three.fits", "W4 is missing"),
        ("parts.fits", "the part test lacks a class"),
        ("none.fits", "No dataset at"),
    ]:
        with pytest.raises(IICnetError, match=message):
            reproduce(tmp_path / "out", TINY, data=tmp_path / name, progress=False)
    assert not (tmp_path / "out").exists()


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
    assert sum(BUDGETS["cpu"].class_sizes) == sum(BUDGETS["gpu"].class_sizes) == 21_736
    assert BUDGETS["gpu"].search_sources == 5838 + 5772 + 5778  # its Table 1
    assert sorted([80, *BUDGETS["gpu"].sizes]) == list(range(64, 129, 8))
    assert set(EXPERIMENTS) == {
        "networks", "metrics", "first-kernel", "input-size", "bands", "recipes", "photometry", "methods",
        "speed"
    }  # fmt: skip


def test_methods_side_by_side(made):
    folder, tables = made
    table = tables["methods"]
    assert list(table["network"]) == list(METHODS)
    by_name = {row["network"]: row for row in table}
    for name, row in by_name.items():
        if name in paper.TABLE_3 and name != "iicnet":
            assert row["note"].startswith("not trained: ")
            assert row["accuracy"] is row["parameters"] is np.ma.masked
            continue
        predictions = Table.read(folder / "networks" / name / "test.ecsv")
        best = [max(CLASSES, key=lambda c, source=source: source[f"p_{c}"]) for source in predictions]
        assert row["accuracy"] == np.mean(np.array(best) == predictions["class"])
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert row["images_per_second"] > 0
        of_class = tables["methods_by_class"]
        of_class = of_class[of_class["network"] == name]
        assert list(of_class["class"]) == list(CLASSES)
        # With as many sources of each class, the accuracy is the mean recall.
        assert np.mean(of_class["recall"]) == row["mean_recall"] == pytest.approx(row["accuracy"])
        place = of_class.colnames.index("recall")
        assert of_class.colnames[place : place + 3] == ["recall", "recall_low", "recall_high"]
    assert by_name["iicnet"]["multiply_adds_own"] == by_name["iicnet"]["multiply_adds_80"] == 217_315_346
    assert (by_name["student"]["own_size"], by_name["student"]["multiply_adds_own"]) == (36, 41_537_472)
    # 15 numbers to 64, 128 and 3.
    assert by_name["color"]["multiply_adds_80"] == 15 * 64 + 64 * 128 + 128 * 3
    assert by_name["color"]["own_size"] is np.ma.masked
    assert (
        "what iicnet says of them"
        in (load_weights(folder / "networks" / "student" / "weights.safetensors").record["training_data"])
    )


def test_speed_of_all_methods(made):
    _, tables = made
    table = tables["speed"]
    assert list(table["network"]) == list(METHODS)
    assert set(table["precision"]) == {"float32"}
    measured = table[~table["images_per_second"].mask]
    assert len(measured) == len(METHODS) - 6
    assert all(measured["images_per_second_low"] <= measured["images_per_second"])
    assert "ratio_to_mobilenet_v1" not in table.colnames
    assert table["note"][list(METHODS).index("vgg16")].startswith("not measured: ")


def test_ratio_to_mobilenet_is_taken_within_a_round():
    """A machine that is twice as slow in one round changes no ratio."""
    speeds = np.array([[300.0, 100.0], [150.0, 50.0], [330.0, 100.0]])
    rows = speed._summarise(["student", "mobilenet_v1"], speeds)
    assert rows["student"]["ratio_to_mobilenet_v1"] == 3
    assert rows["student"]["images_per_second"] == 300
    assert (rows["student"]["images_per_second_low"], rows["student"]["images_per_second_high"]) == (150, 330)


def test_what_is_broken_off_has_a_table(made, tmp_path, monkeypatch):
    """VGG16 comes last; without it the others are written."""
    folder, _ = made
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "methods.ecsv").unlink()

    def broken(run):
        raise KeyboardInterrupt

    monkeypatch.setattr("astro_iicnet.models.baselines._library", missing)
    monkeypatch.setitem(METHODS, "vgg16", replace(METHODS["vgg16"], predict=broken))
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path / "run", TINY, only=["methods"], seed=3, progress=False)
    found = Table.read(tmp_path / "run" / "methods.ecsv")
    assert list(found["network"]) == [name for name in METHODS if name != "vgg16"]


def test_more_epochs_are_another_run(tmp_path, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "bands", lambda run: {"bands": Table({"epochs": [run.budget.epochs]})})
    folder = tmp_path / "run"
    table = reproduce(folder, "cpu", epochs=5, only=["bands"])["bands"]
    assert list(table["epochs"]) == [5]
    assert table.meta["command"] == "astro-iicnet reproduce --budget cpu --epochs 5 --seed 1 --out DIR"
    with pytest.raises(IICnetError, match="'epochs': 5.*'epochs': 3.*another folder"):
        reproduce(folder, "cpu", only=["bands"])
    with pytest.raises(IICnetError, match="epochs=0: expected at least 1"):
        reproduce(tmp_path / "none", "cpu", epochs=0)


def test_cuts_beside_a_network(made):
    _, tables = made
    table = tables["cuts"]
    assert {"Stern 2012", "Mateos 2012"} < set(table["selection"])
    for row in table:
        assert row["completeness_low"] <= row["completeness"] <= row["completeness_high"]
        assert 0 <= row["iicnet_purity_low"] <= row["iicnet_purity"] <= row["iicnet_purity_high"] <= 1


def test_selections_of_equal_completeness_and_of_equal_purity():
    """Best first: two quasars, a star, a quasar, two stars, the last quasar."""
    quasar = np.array([True, True, False, True, False, False, True])
    score = np.linspace(0.9, 0.1, 7)
    as_complete, as_pure = photometry._match(score, quasar, 0.75, 0.7)
    assert list(as_complete) == list(as_pure) == [True] * 4 + [False] * 3
    as_complete, as_pure = photometry._match(score[::-1], quasar[::-1], 0.5, 0.99)
    assert list(np.flatnonzero(as_complete)) == list(np.flatnonzero(as_pure)) == [5, 6]
    found = photometry._measure_selection(np.array([True] * 4 + [False] * 3), quasar)
    assert (found["completeness"], found["purity"]) == (0.75, 0.75)
    # A share of 3 in 4 is known badly: exactly, half or less and all are well within 95 %.
    assert found["purity_low"] <= 0.5
    assert found["purity_high"] == 1
    none = photometry._measure_selection(np.zeros(7, dtype=bool), quasar)
    assert none["completeness"] == 0
    assert np.isnan([none["purity"], none["purity_low"], none["purity_high"]]).all()
