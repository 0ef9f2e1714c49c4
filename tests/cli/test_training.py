"""``train`` for networks that look at magnitudes, and what it and ``evaluate`` refuse."""

import numpy as np
import pytest
import torch
from astropy.table import Table

from astro_iicnet.fusion.colours import from_table
from astro_iicnet.fusion.networks import photometry_tensor
from astro_iicnet.training.datasets import class_labels, read_dataset, write_dataset
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.training.svm import fit_svm
from astro_iicnet.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset of 240 simulated sources."""
    path = tmp_path_factory.mktemp("data") / "data.fits"
    write_dataset(path, *simulate_dataset(240, seed=11, workers=1))
    return path


def train(run, data, *arguments):
    more = ("-o", "my.safetensors", "-q", "--device", "cpu", "--overwrite", "--epochs", 30)
    return run("train", data, *more, *arguments)


def test_colours_alone(run, data, tmp_path):
    """It learns, and does not see how bright a source is."""
    result = train(run, data, "--architecture", "color", "--features", "colours")
    assert result.exit_code == 0, result.stderr
    weights = load_weights("my.safetensors")
    assert weights.inputs == ("magnitudes",)
    assert weights.record["training_data"].endswith("191 sources of data.fits, 30 epochs on cpu")
    assert len(Table.read("my.history.ecsv")) == 30
    table = Table({"w1mpro": [15.0, 13.0], "w2mpro": [13.8, 11.8], "w3mpro": [11.0, 9.0]})
    table["w1sigmpro"] = table["w2sigmpro"] = table["w3sigmpro"] = 0.02
    with torch.no_grad():
        bright, faint = weights.model(photometry_tensor(from_table(table))).softmax(1)
    torch.testing.assert_close(bright, faint, atol=1e-5, rtol=0)
    assert bright.argmax() == 1  # W1-W2 of 1.2 is a quasar's
    assert run("evaluate", data, "--weights", "my.safetensors").exit_code == 0


def test_fusion_keeps_its_image_branch(run, data):
    start = load_weights("iicnet-sim-v3")
    result = train(run, data, "--architecture", "fusion", "--from", "iicnet-sim-v3", "--learning-rate", 5e-4)
    assert result.exit_code == 0, result.stderr
    weights = load_weights("my.safetensors")
    for name, tensor in start.model.state_dict().items():
        torch.testing.assert_close(weights.model.image.state_dict()[name], tensor, atol=0, rtol=0)
    assert weights.preprocess.recipe.size == start.preprocess.recipe.size
    assert weights.record["started_from"] == {"name": start.name, "sha256": start.record["sha256"]}
    joined = weights.model.head.weight[:, 512:]
    assert torch.count_nonzero(joined) == joined.numel()
    assert run("evaluate", data, "--weights", "my.safetensors").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--architecture fusion", "--architecture fusion needs --from"),
        ("--architecture color --from iicnet-sim-v3", "trained from scratch: leave --from out"),
        ("--architecture color --size 64", "--architecture color does not go with --size"),
        ("--architecture color --resume", "--architecture color does not go with --resume"),
        ("--architecture color --flux-jitter 1", "does not go with --flux-jitter"),
        ("--architecture fusion --from iicnet-sim-v3 --features colours", "does not go with --features"),
        ("--architecture fusion --from student-sim-v2", "have the architecture 'student'"),
        (
            "--architecture fusion --from iicnet-sim-v3 --bands W1,W2",
            "the colours are of W1,W2: take other",
        ),
        ("--architecture iicnet_svm", "is fitted, not trained"),
        ("--features colours", "Unknown option of iicnet 'features'"),
    ],
)
def test_contradictions(run, data, tmp_path, arguments, message):
    result = train(run, data, *arguments.split())
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("my.*"))


def test_the_state_of_another_training_stays(run, data, tmp_path):
    state = tmp_path / "my.safetensors.state"
    state.write_bytes(b"half")
    for more in ((), ("--resume",)):
        assert train(run, data, "--architecture", "color", *more).exit_code == 2
        assert state.read_bytes() == b"half"


def test_a_fitted_head_is_not_trained_on(run, data, tmp_path):
    start = load_weights("iicnet-sim-v3")
    cutouts, table = read_dataset(data)
    save_weights(tmp_path / "svm.safetensors", fit_svm(start, cutouts, class_labels(table)))
    result = train(run, data, "--from", "svm.safetensors")
    assert result.exit_code == 2
    assert "is fitted, not trained" in result.stderr


def test_images_of_another_survey(run, data, tmp_path):
    cutouts, table = read_dataset(data)
    table.meta["survey"] = "allwise-hips"
    write_dataset(tmp_path / "other.fits", cutouts, table)
    for verb in (
        ("evaluate", "other.fits"),
        ("train", "other.fits", "-o", "my.safetensors", "--teacher", "student-sim-v2"),
        ("train", "other.fits", "-o", "my.safetensors", "--from", "iicnet-sim-v3"),
    ):
        result = run(*verb)
        assert result.exit_code == 2, verb
        assert "'allwise-hips'" in result.stderr or "survey=allwise-hips" in result.stderr


def test_datasets_without_what_is_needed(run, data, tmp_path):
    cutouts, table = read_dataset(data)
    table["split"] = "train"
    write_dataset(tmp_path / "parts.fits", cutouts, table)
    result = run("evaluate", "parts.fits", "--part", "test")
    assert (result.exit_code, "has no source in the part test" in result.stderr) == (2, True)
    result = train(run, "parts.fits")
    assert (result.exit_code, "240 of train, 0 of test, 0 of validation" in result.stderr) == (2, True)
    cutouts.status[:] = 3
    cutouts.pixels[:] = np.nan
    write_dataset(tmp_path / "bad.fits", cutouts, table)
    result = run("evaluate", "bad.fits")
    assert (result.exit_code, "None of the 240 sources" in result.stderr) == (2, True)
    result = train(run, "bad.fits")
    assert (result.exit_code, "none of its 240 cutouts has the status ok" in result.stderr) == (2, True)
