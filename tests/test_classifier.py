from dataclasses import replace

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from astro_iicnet import job as module
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts
from astro_iicnet.exceptions import IICnetError, ImagesError, RetrievalWarning, SourcesError, WeightsError
from astro_iicnet.labels import CLASSES, Flag, Status
from astro_iicnet.prediction_sets import find_thresholds
from astro_iicnet.results import RESULT_COLUMNS
from astro_iicnet.training.calibration import tabulate_scores
from astro_iicnet.weights import load_weights, new_weights, save_weights

ZERO_POINTS = {"W1": 20.5, "W2": 19.5, "W3": 18.0, "W4": 13.0}


class AnalyticSky:
    """Pixels that follow from the position alone, so that each row can be told from every other.

    Declinations above 80 deg have no coverage; right ascensions above 300 deg lack their middle.
    """

    name = "analytic"
    survey = "allwise-atlas"

    def __init__(self):
        self.asked = []

    def fetch(self, coords, bands):
        self.asked.append(len(coords))
        ra, dec = coords.ra.deg, coords.dec.deg
        y, x = np.mgrid[:CUTOUT_SIZE, :CUTOUT_SIZE] - CUTOUT_SIZE // 2
        offset = np.stack([np.sin(ra) / 2, np.cos(dec) / 2], axis=1).astype(np.float32)
        dx = x - offset[:, 0, None, None]
        dy = y - offset[:, 1, None, None]
        width = 2.5 + np.abs(np.sin(dec))[:, None, None]
        spot = np.exp(-(dx**2 + dy**2) / (2 * width**2))
        flux = 10 ** (1 + 2 * np.abs(np.sin(ra))[:, None] + 0.3 * np.arange(len(bands)))
        pixels = 10 + flux[:, :, None, None] * spot[:, None]
        pixels[ra > 300, :, 17:24, 17:24] = np.nan
        outside = dec > 80
        pixels[outside] = np.nan
        return Cutouts(
            pixels.astype(np.float32),
            offset,
            tuple(bands),
            np.array([ZERO_POINTS[band] for band in bands]),
            np.where(outside, Status.NO_COVERAGE, Status.OK).astype(np.uint8),
            np.where(outside, "", "tile"),
        )


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    import torch

    weights = new_weights("random-v1", seed=3)
    # A fresh network says nearly the same of every image; normalised to these it tells rows apart.
    ra = np.linspace(0, 280, 32)
    cutouts = fetch(Table({"ra": ra, "dec": ra / 4}))
    with torch.no_grad():
        images = weights.preprocess(torch.tensor(cutouts.pixels), torch.tensor(cutouts.offset))
        for layer in weights.model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        weights.model.train()(images)
        weights.model.head.weight *= 30
        weights.model.head.bias -= weights.model(images).mean(dim=0)
    path = tmp_path_factory.mktemp("weights") / "random-v1.safetensors"
    rng = np.random.default_rng(1)
    scores = tabulate_scores(rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300))
    return save_weights(path, weights, temperature=2.0, set_scores=scores)


@pytest.fixture(scope="module")
def classifier(weights_file):
    return IICnetClassifier(weights_file, device="cpu")


@pytest.fixture
def table(rng):
    n = 24
    return Table(
        {"name": [f"s{i}" for i in range(n)], "ra": rng.uniform(0, 290, n), "dec": rng.uniform(-80, 75, n)}
    )


def probabilities(result):
    columns = [result[f"iicnet_p_{name}"] for name in CLASSES]
    return np.stack([np.ma.filled(np.ma.MaskedArray(column), np.nan) for column in columns], axis=1)


def fetch(table, bands=("W1", "W2", "W3")):
    return AnalyticSky().fetch(SkyCoord(table["ra"], table["dec"], unit="deg"), bands)


def classify(classifier, table, **options):
    return classifier.classify(table, **({"images": AnalyticSky(), "progress": False} | options))


def test_probabilities_are_the_softmax_of_the_network(classifier, weights_file, table):
    import torch

    cutouts = fetch(table)
    weights = load_weights(weights_file)
    with torch.no_grad():
        images = weights.preprocess(torch.tensor(cutouts.pixels), torch.tensor(cutouts.offset))
        logits = weights.model(images).double().numpy() / 2.0
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = classifier.predict_proba(cutouts)
    assert found.dtype == np.float32
    assert found.shape == (24, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 0.1
    assert list(classifier.predict(cutouts)) == [CLASSES[i] for i in expected.argmax(axis=1)]
    assert tuple(classifier.classes_) == CLASSES


def test_bands_are_found_by_name(classifier, table):
    cutouts = fetch(table)
    four = fetch(table, ("W1", "W2", "W3", "W4"))
    order = [3, 2, 1, 0]
    turned = Cutouts(
        four.pixels[:, order],
        four.offset,
        ("W4", "W3", "W2", "W1"),
        four.magzp[order],
        four.status,
        four.tile,
    )
    np.testing.assert_array_equal(classifier.predict_proba(turned), classifier.predict_proba(cutouts))
    with pytest.raises(ImagesError, match="lack W3"):
        classifier.predict_proba(fetch(table, ("W1", "W2")))


def test_other_zero_points_mean_other_counts(classifier, table):
    cutouts = fetch(table)
    bright = Cutouts(
        cutouts.pixels * np.float32(10**0.4),
        cutouts.offset,
        cutouts.bands,
        cutouts.magzp + 1,
        cutouts.status,
        cutouts.tile,
    )
    np.testing.assert_allclose(classifier.predict_proba(bright), classifier.predict_proba(cutouts), atol=1e-4)


def test_pixels_as_fits_has_them(classifier, table):
    cutouts = fetch(table)
    big = Cutouts(
        cutouts.pixels.astype(">f4"),
        cutouts.offset,
        cutouts.bands,
        cutouts.magzp,
        cutouts.status,
        cutouts.tile,
    )
    np.testing.assert_array_equal(classifier.predict_proba(big), classifier.predict_proba(cutouts))


def test_rows_without_pixels_are_unknown(classifier):
    table = Table({"ra": [10.0, 310.0, 20.0], "dec": [0.0, 0.0, 85.0]})
    found = classifier.predict_proba(fetch(table))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, False]
    assert np.ma.getmaskarray(classifier.predict(fetch(table))).tolist() == [False, True, True]


def test_no_cutouts_at_all(classifier, table):
    empty = fetch(table)[:0]
    assert classifier.predict_proba(empty).shape == (0, 3)
    assert len(classifier.predict(empty)) == 0


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_does_not_matter(classifier, weights_file, table, batch_size):
    cutouts = fetch(table)
    other = IICnetClassifier(weights_file, device="cpu", batch_size=batch_size).predict_proba(cutouts)
    np.testing.assert_allclose(other, classifier.predict_proba(cutouts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 7, 24, 25])
def test_chunks_do_not_matter_and_are_bounded(classifier, table, monkeypatch, chunk_size):
    expected = classify(classifier, table)
    monkeypatch.setattr(module, "CHUNK_SIZE", chunk_size)
    sky = AnalyticSky()
    found = classify(classifier, table, images=sky)
    assert max(sky.asked) <= chunk_size
    assert sum(sky.asked) == len(table)
    np.testing.assert_allclose(probabilities(found), probabilities(expected), rtol=0, atol=1e-5)
    for name in ("iicnet_class", "iicnet_status", "iicnet_flags"):
        assert list(found[name]) == list(expected[name])


def test_at_most_two_chunks_live_at_a_time(classifier, rng, monkeypatch):
    import weakref

    monkeypatch.setattr(module, "CHUNK_SIZE", 5)
    alive, most = weakref.WeakSet(), []

    class Watched(AnalyticSky):
        def fetch(self, coords, bands):
            cutouts = super().fetch(coords, bands)
            alive.add(cutouts)
            most.append(len(alive))
            return cutouts

    table = Table({"ra": rng.uniform(0, 290, 30), "dec": rng.uniform(-80, 75, 30)})
    classify(classifier, table, images=Watched())
    # One at work, one waiting, one being handed over.
    assert max(most) <= 3


def test_rows_keep_their_order_and_all_columns(classifier, table, rng):
    table["ra"][5] = np.nan
    table["dec"][6] = 95.0
    table["dec"][7] = 85.0
    table["ra"][8] = 310.0
    table["ra"][9], table["dec"][9] = table["ra"][0], table["dec"][0]
    table["note"] = MaskedColumn(["x"] * 24, mask=[i == 3 for i in range(24)])
    result = classify(classifier, table)
    assert result.colnames == [*table.colnames, *RESULT_COLUMNS]
    assert list(result["name"]) == list(table["name"])
    assert result["note"].mask[3]
    status = list(result["iicnet_status"])
    assert status[5:9] == ["bad_coordinates", "bad_coordinates", "no_coverage", "bad_pixels"]
    assert set(status[:5] + status[9:]) == {"ok"}
    found = probabilities(result)
    unknown = np.isin(np.arange(24), [5, 6, 7, 8])
    assert np.isnan(found[unknown]).all()
    np.testing.assert_allclose(found[~unknown].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[9], found[0], atol=1e-6)
    # Shuffled rows take their results with them.
    order = rng.permutation(24)
    shuffled = classify(classifier, table[order])
    np.testing.assert_allclose(probabilities(shuffled), found[order], rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1])
def test_short_lists(classifier, table, n):
    result = classify(classifier, table[:n])
    assert len(result) == n
    assert result.colnames == [*table.colnames, *RESULT_COLUMNS]


def test_all_rows_bad(classifier):
    result = classify(classifier, Table({"ra": [np.nan, 10.0], "dec": [0.0, 85.0]}))
    assert list(result["iicnet_status"]) == ["bad_coordinates", "no_coverage"]
    assert np.isnan(probabilities(result)).all()


def test_low_confidence_flag(classifier, table):
    result = classify(classifier, table)
    low = (np.asarray(result["iicnet_flags"]) & Flag.LOW_CONFIDENCE) > 0
    np.testing.assert_array_equal(low, probabilities(result).max(axis=1) < 0.6)


def test_priors_reweight(classifier, table):
    plain = probabilities(classify(classifier, table)).astype(float)
    weighted = probabilities(
        classify(classifier, table, priors={"star": 0.9, "galaxy": 0.06, "quasar": 0.04})
    )
    expected = plain * [0.06, 0.04, 0.9]
    np.testing.assert_allclose(weighted, expected / expected.sum(axis=1, keepdims=True), atol=1e-6)
    same = classify(classifier, table, priors=[1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(probabilities(same), plain, atol=1e-6)
    assert same.meta["astro_iicnet"]["priors"]["star"] == pytest.approx(1 / 3)


def test_provenance(classifier, weights_file, table):
    import hashlib
    from datetime import datetime

    meta = classify(classifier, table).meta["astro_iicnet"]
    assert meta["weights"] == "random-v1"
    assert meta["weights_sha256"] == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert (meta["images"], meta["survey"]) == ("analytic", "allwise-atlas")
    assert {"astro_iicnet", "torch", "numpy", "astropy"} <= set(meta["versions"])
    assert datetime.fromisoformat(meta["time"]).utcoffset().total_seconds() == 0


def test_another_survey_is_refused(classifier, table):
    sky = AnalyticSky()
    sky.survey = "unwise"
    with pytest.raises(ImagesError, match="'unwise'.*'allwise-atlas'"):
        classify(classifier, table, images=sky)
    assert not sky.asked
    with pytest.warns(RetrievalWarning, match="doubtful") as caught:
        assert len(classify(classifier, table, images=sky, allow_other_survey=True)) == 24
    assert caught[0].filename == __file__


def test_a_source_that_loses_rows_is_an_error(classifier, table):
    class Loser(AnalyticSky):
        def fetch(self, coords, bands):
            return super().fetch(coords, bands)[:-1]

    with pytest.raises(ImagesError, match="23 cutouts for 24"):
        classify(classifier, table, images=Loser())


def test_bad_arguments_end_before_pixels_are_fetched(classifier, table, tmp_path):
    sky = AnalyticSky()
    with pytest.raises(IICnetError, match="Did you mean 'quasar'"):
        classify(classifier, table, images=sky, priors={"qasar": 0.5, "galaxy": 0.3, "star": 0.2})
    clash = table.copy()
    clash["iicnet_class"] = "x"
    with pytest.raises(SourcesError, match="iicnet_class"):
        classify(classifier, clash, images=sky)
    with pytest.raises(WeightsError, match="no weights file"):
        classify(IICnetClassifier(tmp_path / "none.safetensors"), table, images=sky)
    with pytest.raises(IICnetError, match="device 'tpu9'"):
        classify(IICnetClassifier(device="tpu9"), table, images=sky)
    with pytest.raises(ImagesError):
        classify(classifier, table, images="isra")
    with pytest.raises(IICnetError, match="batch_size"):
        IICnetClassifier(batch_size=0)
    assert not sky.asked


def test_constructor_only_stores(tmp_path):
    classifier = IICnetClassifier(tmp_path / "none.safetensors", device="tpu9", batch_size=3)
    assert "none.safetensors" in repr(classifier)
    assert "device='tpu9', batch_size=3" in repr(classifier)


@pytest.mark.parametrize("ending", ["fits", "ecsv", "csv", "vot"])
def test_classify_file(classifier, table, tmp_path, ending):
    table.write(tmp_path / "list.csv")
    output = tmp_path / f"out.{ending}"
    result = classifier.classify_file(tmp_path / "list.csv", output, images=AnalyticSky(), progress=False)
    written = Table.read(output)
    assert [name.lower() for name in written.colnames] == result.colnames
    np.testing.assert_allclose(probabilities(written), probabilities(result), atol=1e-6)
    assert list(np.asarray(written["iicnet_class"]).astype(str)) == list(result["iicnet_class"])
    with pytest.raises(IICnetError, match="overwrite"):
        classifier.classify_file(tmp_path / "list.csv", output, images=AnalyticSky(), progress=False)


@pytest.mark.parametrize("output", ["missing/out.fits", "", "out.nonsense"])
def test_output_is_checked_before_the_work(classifier, table, tmp_path, output):
    table.write(tmp_path / "list.csv")
    sky = AnalyticSky()
    with pytest.raises(IICnetError):
        classifier.classify_file(tmp_path / "list.csv", tmp_path / output, images=sky, progress=False)
    assert not sky.asked


def test_average_is_the_mean_over_the_turned_sky(classifier, table):
    """Pixels and offsets turned by hand, as a turned telescope would have them."""
    cutouts = fetch(table)

    def turned(mirror, quarter_turns):
        pixels, (x, y) = cutouts.pixels, cutouts.offset.T
        if mirror:
            pixels, x = pixels[..., ::-1], -x
        for _ in range(quarter_turns):
            pixels, (x, y) = np.rot90(pixels, axes=(2, 3)), (y, -x)
        return replace(cutouts, pixels=pixels.copy(), offset=np.stack([x, y], axis=1))

    views = [classifier.predict_proba(turned(mirror, k)) for mirror in (False, True) for k in range(4)]
    assert np.ptp(views, axis=0).max() > 1e-3
    found = classifier.predict_proba(cutouts, average=True)
    np.testing.assert_allclose(found, np.mean(views, axis=0), rtol=0, atol=2e-4)
    best = [CLASSES[i] for i in found.argmax(axis=1)]
    assert list(classifier.predict(cutouts, average=True)) == best
    result = classify(classifier, table, average=True)
    np.testing.assert_allclose(probabilities(result), found, rtol=0, atol=1e-5)
    assert result.meta["astro_iicnet"]["average"] is True


def test_prediction_sets_do_not_depend_on_priors(classifier, table):
    table["ra"][4] = np.nan
    plain = classify(classifier, table, coverage=0.5)
    assert plain.colnames == [*table.colnames, *RESULT_COLUMNS, "iicnet_set"]
    assert plain.meta["astro_iicnet"]["coverage"] == 0.5
    inside = probabilities(plain) >= find_thresholds(classifier.weights_.record, 0.5)
    expected = ["|".join(np.array(CLASSES)[row]) for row in inside]
    expected[4] = None
    assert plain["iicnet_set"].tolist() == expected
    assert len(set(expected)) > 3
    weighted = classify(classifier, table, coverage=0.5, priors={"star": 0.9, "galaxy": 0.06, "quasar": 0.04})
    assert weighted["iicnet_set"].tolist() == expected


def test_sets_that_cannot_be_had(classifier, table, tmp_path):
    sky = AnalyticSky()
    with pytest.raises(IICnetError, match=r"Did you mean 0\.95"):
        classify(classifier, table, images=sky, coverage=95)
    with pytest.raises(IICnetError, match="one orientation"):
        classify(classifier, table, images=sky, coverage=0.95, average=True)
    path = save_weights(tmp_path / "plain.safetensors", new_weights("plain-v1"))
    with pytest.raises(WeightsError, match="'plain-v1' have no table"):
        classify(IICnetClassifier(path, device="cpu"), table, images=sky, coverage=0.95)
    assert not sky.asked
