import pytest

from astro_iicnet.exceptions import IICnetError, WeightsError
from astro_iicnet.training.finetune import start_from
from astro_iicnet.training.loop import predict_logits
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import get_record, load_weights, new_weights, save_weights
from astro_iicnet.weights.registry import sha256

BANDS = ("W1", "W2", "W3")


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "first.safetensors"
    facts = {"temperature": 2.0, "training_data": "much", "metrics": {"x": {"n": 1}}}
    return save_weights(path, new_weights("first-v1", seed=7, first_kernel=3, size=64), **facts)


def test_the_network_is_that_of_the_start(weights_file):
    first, second = load_weights(weights_file), start_from(weights_file, "second-v1", bands=BANDS)
    for name, tensor in first.model.state_dict().items():
        assert (second.model.state_dict()[name] == tensor).all()
    assert repr(second.preprocess) == repr(first.preprocess)


def test_the_record_says_where_it_started_and_nothing_else_of_it(weights_file, tmp_path):
    tuned = save_weights(tmp_path / "s.safetensors", start_from(weights_file, "second-v1", bands=BANDS))
    record = load_weights(tuned).record
    assert record["started_from"] == {"name": "first-v1", "sha256": sha256(weights_file)}
    assert record["name"] == "second-v1"
    assert (record["temperature"], record["training_data"], record["metrics"]) == (1.0, "not stated", {})
    assert record["options"]["first_kernel"] == 3


def test_start_from_a_name():
    record = start_from("iicnet-sim-v3", "mine", bands=BANDS, architecture="iicnet", first_kernel=5).record
    assert record["started_from"]["sha256"] == get_record("iicnet-sim-v3")["sha256"]


@pytest.mark.parametrize("architecture", ["iicnet", "student"])
def test_further_bands_do_not_count_until_they_are_learnt(tmp_path, architecture):
    cutouts, _ = simulate_dataset(8, seed=4, bands=(*BANDS, "W4"))
    path = save_weights(tmp_path / "n.safetensors", new_weights("n", architecture=architecture))
    narrow, wide = load_weights(path), start_from(path, "wide-v1", bands=cutouts.bands)
    before = predict_logits(narrow.model, narrow.preprocess, cutouts.select_bands(BANDS))
    assert predict_logits(wide.model, wide.preprocess, cutouts) == pytest.approx(before, abs=1e-4)
    saved = load_weights(save_weights(tmp_path / "w.safetensors", wide))
    assert saved.bands == cutouts.bands
    assert saved.record["options"]["in_channels"] == 4
    assert saved.record["started_from"]["name"] == "n"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"bands": ("W1", "W2")}, r"bands=W1,W2 contradicts.*'first-v1'.*have W1,W2,W3"),
        ({"bands": ("W2", "W1", "W3")}, "bands=W2,W1,W3"),
        ({"bands": ("W4", *BANDS)}, "bands=W4,W1,W2,W3"),
        ({"bands": BANDS, "recipe": "paper"}, "recipe=paper.*have calibrated"),
        ({"bands": BANDS, "size": 80}, "size=80.*have 64"),
        ({"bands": BANDS, "first_kernel": 5}, "first_kernel=5.*have 3"),
        ({"bands": BANDS, "survey": "allwise-hips"}, "survey=allwise-hips"),
        ({"bands": BANDS, "architecture": "vgg16"}, "architecture=vgg16.*have iicnet"),
    ],
)
def test_choices_that_contradict_the_start(weights_file, choices, message):
    with pytest.raises(IICnetError, match=message):
        start_from(weights_file, "second-v1", **choices)


def test_an_option_that_the_file_leaves_to_the_architecture():
    with pytest.raises(IICnetError, match="first_kernel=3.*have 5"):
        start_from("iicnet-sim-v3", "mine", bands=BANDS, first_kernel=3)


def test_unknown_start():
    with pytest.raises(WeightsError, match="Did you mean"):
        start_from("iicnet-sim-v0", "mine", bands=BANDS)
