"""The door ``magnitudes=`` of the classifier."""

from functools import partial

import numpy as np
import pytest
import torch
from astropy.table import Table

from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.exceptions import (
    IICnetError,
    ImagesError,
    RetrievalError,
    RetrievalWarning,
    SourcesError,
)
from astro_iicnet.fusion import catalogue
from astro_iicnet.fusion.colours import from_table
from astro_iicnet.fusion.networks import photometry_tensor
from astro_iicnet.labels import Flag
from astro_iicnet.resume import Journal
from astro_iicnet.simulation.field import example_sources
from astro_iicnet.training.calibration import tabulate_scores
from astro_iicnet.weights.load import load_weights, new_weights, save_weights


def make_weights(folder, architecture, **options):
    weights = new_weights(f"{architecture}-test", architecture=architecture, seed=3, **options)
    color = getattr(weights.model, "color", weights.model)
    generator = torch.Generator().manual_seed(1)
    mag = torch.tensor([15.0, 14.5, 12.0]) + torch.randn((200, 3), generator=generator)
    color.fit_standardisation(torch.stack([mag, torch.zeros_like(mag)], dim=1))
    return save_weights(folder / f"{weights.name}.safetensors", weights)


@pytest.fixture(scope="module")
def color(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("color"), "color")


@pytest.fixture(scope="module")
def fusion(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("fusion"), "fusion")


@pytest.fixture
def table() -> Table:
    """Four sources in the field: all bands, no W3, nothing at all, a limit in W3."""
    table = example_sources()[:4]["ra", "dec"]
    table["w1mpro"] = [15.0, 15.2, np.nan, 16.0]
    table["w2mpro"] = [14.0, 15.2, np.nan, 15.5]
    table["w3mpro"] = [11.0, np.nan, np.nan, 12.4]
    table["w1sigmpro"] = table["w2sigmpro"] = 0.03
    table["w3sigmpro"] = [0.1, np.nan, np.nan, np.nan]
    return table


def probabilities(result: Table) -> np.ndarray:
    names = ("iicnet_p_galaxy", "iicnet_p_quasar", "iicnet_p_star")
    return np.stack([np.ma.filled(result[name], np.nan) for name in names], axis=1)


def test_columns_are_what_the_network_sees(color, table):
    result = IICnetClassifier(color, device="cpu").classify(
        table, images="simulated", magnitudes="columns", progress=False
    )
    assert result["iicnet_status"].tolist() == ["ok", "ok", "missing_magnitudes", "ok"]
    with torch.no_grad():
        logits = load_weights(color).model(photometry_tensor(from_table(table)))
    known = [0, 1, 3]
    np.testing.assert_allclose(probabilities(result)[known], logits.softmax(1)[known], atol=1e-6)
    assert np.isnan(probabilities(result)[2]).all()
    assert result.meta["astro_iicnet"]["magnitudes"] == "columns"


def test_no_pixels_are_needed_for_magnitudes_from_elsewhere(color, table):
    """The same classes, status by status, as with pixels, and anywhere on the sky."""
    table["ra"][0] = np.nan
    classifier = IICnetClassifier(color, device="cpu")
    options = {"magnitudes": "columns", "progress": False}
    with_pixels = classifier.classify(table, images="simulated", **options)
    table["dec"] = -60.0
    without = classifier.classify(table, images=None, **options)
    assert without["iicnet_status"].tolist() == ["bad_coordinates", "ok", "missing_magnitudes", "ok"]
    assert with_pixels["iicnet_status"].tolist() == without["iicnet_status"].tolist()
    np.testing.assert_allclose(probabilities(without), probabilities(with_pixels), atol=1e-6)
    assert set(without["iicnet_flags"]) <= {0, Flag.LOW_CONFIDENCE}
    assert without.meta["astro_iicnet"]["images"] == "none"


def test_no_pixels_where_they_are_looked_at(color, fusion, table):
    classifier = IICnetClassifier(fusion, device="cpu")
    with pytest.raises(ImagesError, match="images=None .*but the weights 'fusion-test' look at images"):
        classifier.classify(table, images=None, magnitudes="columns")
    with pytest.raises(ImagesError, match="images=None .*measured on images unless magnitudes='catalog'"):
        IICnetClassifier(color, device="cpu").classify(table, images=None)
    with pytest.raises(IICnetError, match="average=True, but the weights 'color-test' look at no image"):
        IICnetClassifier(color, device="cpu").classify(table, images="simulated", average=True)


def test_the_catalogue_is_asked_in_large_chunks_without_pixels(color, table, monkeypatch):
    asked = []

    def match(coords):
        asked.append(len(coords))
        found = Table(table[:1]["w1mpro", "w2mpro", "w3mpro", "w1sigmpro", "w2sigmpro", "w3sigmpro"])
        found["row"] = [0]
        return found

    monkeypatch.setattr(catalogue, "from_catalogue", partial(catalogue.from_catalogue, match=match))
    many = Table({"ra": np.linspace(0, 359, 25_000), "dec": np.linspace(-80, 80, 25_000)})
    result = IICnetClassifier(color, device="cpu").classify(
        many, images=None, magnitudes="catalog", progress=False
    )
    assert asked == [20_000, 5_000]
    assert (result["iicnet_status"] == "ok").sum() == 2


def test_a_file_without_pixels_goes_on(color, table, tmp_path):
    """Killed after the first chunk, resumed: the table of a run that was not."""
    list_, output = tmp_path / "list.ecsv", tmp_path / "out.ecsv"
    table.write(list_)
    classifier = IICnetClassifier(color, device="cpu")
    options = {"images": None, "magnitudes": "columns", "progress": False}
    whole = classifier.classify(table, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "add", stop_at_second(Journal.add))
        with pytest.raises(KeyboardInterrupt):
            classifier.classify_file(list_, output, chunk_size=1, **options)
    result = classifier.classify_file(list_, output, resume=True, **options)
    np.testing.assert_allclose(probabilities(result), probabilities(whole), atol=1e-6)
    assert result["iicnet_status"].tolist() == whole["iicnet_status"].tolist()


def stop_at_second(add):
    calls = []

    def add_or_stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(*arguments)

    return add_or_stop


def test_a_fusion_network_looks_at_both(fusion, table):
    classifier = IICnetClassifier(fusion, device="cpu")
    columns = classifier.classify(table, images="simulated", magnitudes="columns", progress=False)
    assert columns["iicnet_status"].tolist() == ["ok", "ok", "missing_magnitudes", "ok"]
    measured = classifier.classify(table, images="simulated", progress=False)
    assert set(measured["iicnet_status"]) == {"ok"}
    assert measured.meta["astro_iicnet"]["magnitudes"] == "cutouts"
    assert not np.allclose(probabilities(measured)[:2], probabilities(columns)[:2])
    explicit = classifier.classify(table, images="simulated", magnitudes="cutouts", progress=False)
    np.testing.assert_array_equal(probabilities(explicit), probabilities(measured))


def test_rows_in_any_order_and_batch(fusion, table):
    classifier = IICnetClassifier(fusion, device="cpu")
    order = [3, 0, 2, 1]
    options = {"images": "simulated", "magnitudes": "columns", "progress": False}
    whole = probabilities(classifier.classify(table, **options))
    shuffled = IICnetClassifier(fusion, device="cpu", batch_size=1).classify(table[order], **options)
    np.testing.assert_allclose(probabilities(shuffled), whole[order], atol=1e-5)


def test_the_catalogue_is_asked_by_position(color, table, monkeypatch):
    def match(coords):
        # The sources come in an order of the sky; the third is in no catalogue.
        place = np.abs(coords.ra.deg[:, None] - np.asarray(table["ra"])).argmin(axis=1)
        found = table[place]["w1mpro", "w2mpro", "w3mpro", "w1sigmpro", "w2sigmpro", "w3sigmpro"]
        found["row"] = np.arange(len(coords))
        return found[place != 2]

    from_catalogue = catalogue.from_catalogue
    monkeypatch.setattr(catalogue, "from_catalogue", partial(from_catalogue, match=match))
    options = {"images": "simulated", "progress": False}
    classifier = IICnetClassifier(color, device="cpu")
    result = classifier.classify(table["ra", "dec"], magnitudes="catalog", **options)
    assert result["iicnet_status"].tolist() == ["ok", "ok", "missing_magnitudes", "ok"]
    columns = classifier.classify(table, magnitudes="columns", **options)
    np.testing.assert_array_equal(probabilities(result), probabilities(columns))

    def fail(coords):
        raise RetrievalError("CDS XMatch answered HTTP 503.")

    monkeypatch.setattr(catalogue, "from_catalogue", partial(from_catalogue, match=fail))
    with pytest.warns(RetrievalWarning, match="HTTP 503"):
        result = classifier.classify(table["ra", "dec"], magnitudes="catalog", **options)
    assert set(result["iicnet_status"]) == {"retrieval_failed"}


def test_colours_alone_need_a_colour(tmp_path, table):
    path = make_weights(tmp_path, "color", features="colours")
    table["w2mpro"] = [14.0, np.nan, np.nan, 15.5]
    result = IICnetClassifier(path, device="cpu").classify(
        table, images="simulated", magnitudes="columns", progress=False
    )
    assert result["iicnet_status"].tolist() == ["ok", "missing_magnitudes", "missing_magnitudes", "ok"]


def test_a_run_goes_on_with_the_same_choice_only(color, table, tmp_path):
    table.write(tmp_path / "in.ecsv")
    classifier, output = IICnetClassifier(color, device="cpu"), tmp_path / "out.ecsv"
    options = {"images": "simulated", "progress": False}
    classifier.classify_file(tmp_path / "in.ecsv", output, magnitudes="columns", **options)
    with pytest.raises(IICnetError, match="choice of magnitudes"):
        classifier.classify_file(tmp_path / "in.ecsv", output, magnitudes="cutouts", resume=True, **options)
    # The same choice, but the list has other magnitudes now: what is there was found from the old ones.
    table["w2mpro"] -= 1.4
    table.write(tmp_path / "in.ecsv", overwrite=True)
    with pytest.raises(IICnetError, match="begun with other magnitudes in the list. Ask"):
        classifier.classify_file(tmp_path / "in.ecsv", output, magnitudes="columns", resume=True, **options)


def test_bad_choices_are_refused_before_any_work(color, table):
    with pytest.raises(IICnetError, match="'columns'"):
        IICnetClassifier(color).classify(table, images="simulated", magnitudes="column")
    with pytest.raises(SourcesError, match="w1mpro"):
        IICnetClassifier(color).classify(table["ra", "dec"], images="simulated", magnitudes="columns")
    with pytest.raises(IICnetError, match="look at the image alone"):
        IICnetClassifier().classify(table, images="simulated", magnitudes="columns")
    scores = tabulate_scores(np.random.default_rng(1).dirichlet(np.ones(3), 300), np.arange(300) % 3)
    path = save_weights(color.with_name("scored.safetensors"), load_weights(color), set_scores=scores)
    with pytest.raises(IICnetError, match="coverage=0.9 and magnitudes='columns' do not go together"):
        IICnetClassifier(path).classify(table, images="simulated", magnitudes="columns", coverage=0.9)
