"""The training loop on a problem so small that a few thousand numbers learn it."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from astropy.table import Table
from safetensors.torch import load_file
from torch import nn

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES, Status
from astro_iicnet.training import datasets, loop, simulated
from astro_iicnet.training.datasets import read_dataset, write_dataset
from astro_iicnet.training.loop import HISTORY_COLUMNS, predict_logits, train
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.training.simulated import SimulatedStream, simulate_dataset
from astro_iicnet.weights import new_weights

SETTINGS = TrainingSettings(epochs=4, learning_rate=0.02, batch_size=32, precision="float32")
MANY_EPOCHS = TrainingSettings(epochs=12, learning_rate=0.02, batch_size=16, precision="float32")


class Shrink(nn.Module):
    """Stands in for preprocessing: background off, centre only."""

    def forward(self, pixels, offset):
        level = pixels.flatten(2).nanmedian(dim=2).values[..., None, None]
        return torch.nan_to_num(pixels - level)[..., 14:27, 14:27]


def make_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def make_data(n, seed):
    """Three classes by the band that shines."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    pixels = rng.normal(10, 1, (n, 3, 41, 41)).astype(np.float32)
    pixels[np.arange(n), labels, 18:23, 18:23] += 3
    cutouts = Cutouts(
        pixels,
        np.zeros((n, 2), np.float32),
        ("W1", "W2", "W3"),
        np.array([20.5, 19.5, 18.0]),
        np.zeros(n, np.uint8),
        np.full(n, "x"),
    )
    return cutouts, Table({"class": np.array(CLASSES)[labels]})


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over threads may differ in the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    return make_data(300, 1), make_data(150, 2)


def run(data, settings=SETTINGS, model=None, **options):
    model = model or make_model()
    history = train(model, Shrink(), *data, settings, progress=False, **options)
    return model, history


def same_weights(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killed(Exception):
    pass


def kill_after(monkeypatch, epochs):
    """End the process, as far as the loop can tell, once the state of some epochs is on disk."""
    save, count = loop.save_state, iter(range(1, 1000))

    def save_and_die(*args):
        save(*args)
        if next(count) == epochs:
            raise Killed

    monkeypatch.setattr(loop, "save_state", save_and_die)


def test_learns(data):
    model, history = run(data)
    assert tuple(history.colnames) == HISTORY_COLUMNS
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert list(history["images_seen"]) == [300, 600, 900, 1200]
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert history["validation_accuracy"][-1] > 0.95
    assert history.meta["ended_by"] == "epochs"
    best = history.meta["best_epoch"] - 1
    assert history["validation_loss"][best] == history["validation_loss"].min()
    # The model is left as it was in its best epoch, on the CPU, ready to be used.
    logits = predict_logits(model, Shrink(), data[1][0], device="cpu")
    labels = datasets.class_labels(data[1][1])
    loss = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert loss == pytest.approx(history["validation_loss"][best], rel=1e-6)
    assert not model.training


def test_labels_that_mean_nothing_are_not_learnt(data):
    (cutouts, table), validation = data
    shuffled = Table({"class": np.random.default_rng(5).permutation(table["class"])})
    _, history = run(((cutouts, shuffled), validation))
    assert history["validation_accuracy"].max() < 0.6


@pytest.mark.parametrize("epochs", [1, 3])
def test_resumed_equals_uninterrupted(tmp_path, data, monkeypatch, epochs):
    path = tmp_path / "training.safetensors"
    settings = TrainingSettings(
        epochs=4,
        learning_rate=0.02,
        batch_size=32,
        precision="float32",
        flux_jitter=0.3,
        label_smoothing=0.05,
    )
    whole, history = run(data, settings)
    with monkeypatch.context() as patch:
        kill_after(patch, epochs)
        with pytest.raises(Killed):
            run(data, settings, checkpoint=path)
    torch.manual_seed(99)
    # The start of the second process does not matter: all comes from the file.
    resumed, resumed_history = run(data, settings, make_model(seed=7), checkpoint=path)
    assert same_weights(whole, resumed)
    for name in set(HISTORY_COLUMNS) - {"seconds"}:
        np.testing.assert_array_equal(history[name], resumed_history[name])
    written = Table.read(tmp_path / "training.ecsv")
    np.testing.assert_array_equal(written["validation_loss"], history["validation_loss"])
    assert written.meta["settings"] == settings.to_dict()
    # Once finished, it only gives back what it has.
    finished, _ = run(data, settings, make_model(seed=8), checkpoint=path)
    assert same_weights(whole, finished)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["training.ecsv", "training.safetensors"]


def test_resume_after_kill_minus_nine(tmp_path, data):
    """A real process, really killed, at a moment that nobody chose."""
    for name, part in zip(("train", "validation"), data, strict=True):
        write_dataset(tmp_path / f"{name}.fits", *part)
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import importlib.util, torch
        spec = importlib.util.spec_from_file_location("test_loop", {__file__!r})
        here = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(here)
        torch.set_num_threads(1)
        data = tuple(here.read_dataset(f"{tmp_path}/{{name}}.fits") for name in ("train", "validation"))
        here.run(data, here.MANY_EPOCHS, checkpoint="{tmp_path}/killed.safetensors")
        """)
    )
    path = tmp_path / "killed.safetensors"
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    try:
        while not path.exists() and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert 1 <= len(loop.read_record(path)["history"]) < MANY_EPOCHS.epochs
    data = tuple(read_dataset(tmp_path / f"{name}.fits") for name in ("train", "validation"))
    run(data, MANY_EPOCHS, checkpoint=path)
    run(data, MANY_EPOCHS, checkpoint=tmp_path / "whole.safetensors")
    first, second = load_file(path), load_file(tmp_path / "whole.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_interrupted_write_keeps_the_older_state(tmp_path, data, monkeypatch):
    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(Killed):
            run(data, checkpoint=path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:

        def fail(descriptor):
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", fail)
        with pytest.raises(IICnetError, match="No space left"):
            run(data, checkpoint=path)
    assert path.read_bytes() == before
    model, _ = run(data, checkpoint=path)
    assert same_weights(model, run(data)[0])


def test_checkpoint_of_something_else(tmp_path, data, monkeypatch):
    path = tmp_path / "training.safetensors"
    run(data, TrainingSettings(epochs=1, precision="float32"), checkpoint=path)
    with pytest.raises(IICnetError, match="other settings"):
        run(data, checkpoint=path)
    with pytest.raises(IICnetError, match="other train data"):
        run((data[1], data[1]), TrainingSettings(epochs=1, precision="float32"), checkpoint=path)
    with pytest.raises(IICnetError, match="another network"):
        run(data, TrainingSettings(epochs=1, precision="float32"), nn.Conv2d(3, 3, 1), checkpoint=path)
    monkeypatch.setattr(Shrink, "extra_repr", lambda self: "another recipe", raising=False)
    with pytest.raises(IICnetError, match="other preprocess"):
        run(data, TrainingSettings(epochs=1, precision="float32"), checkpoint=path)
    monkeypatch.undo()
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(IICnetError, match="not the checkpoint of a training"):
        run(data, TrainingSettings(epochs=1, precision="float32"), checkpoint=path)
    with pytest.raises(IICnetError, match="Cannot write"):
        run(data, TrainingSettings(epochs=1, precision="float32"), checkpoint=tmp_path / "nowhere" / "t")


def test_stops_early(data):
    """With labels that mean nothing the validation loss soon only rises."""
    (cutouts, table), validation = data
    shuffled = Table({"class": np.random.default_rng(5).permutation(table["class"])})
    settings = TrainingSettings(epochs=60, learning_rate=0.02, patience=2, precision="float32")
    model, history = run(((cutouts, shuffled), validation), settings)
    assert len(history) < 60
    assert history.meta["ended_by"] == "patience"
    assert len(history) - history.meta["best_epoch"] == 2


def test_paper_schedule_reaches_the_optimiser(data, monkeypatch):
    """Adam, and the rate that the steps really had, 50 epochs of one batch each."""
    used = []

    class Spy(torch.optim.Adam):
        def step(self, *args, **kwargs):
            used.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "Adam", Spy)
    few = tuple((cutouts[:8], table[:8]) for cutouts, table in data)
    _, history = run(few, TrainingSettings.preset("paper", epochs=52, precision="float32"))
    assert used == [1e-4] * 50 + [5e-5] * 2
    np.testing.assert_array_equal(history["learning_rate"], used)


def test_rows_that_are_not_ok_are_left_out(data):
    (cutouts, table), validation = data
    bad = np.arange(300) % 3 == 0
    pixels = cutouts.pixels.copy()
    pixels[bad] = np.nan
    status = np.where(bad, Status.NO_COVERAGE, Status.OK).astype(np.uint8)
    marked = Cutouts(pixels, cutouts.offset, cutouts.bands, cutouts.magzp, status, cutouts.tile)
    first, history = run(((marked, table), validation))
    second, _ = run(((cutouts[~bad], table[~bad]), validation))
    assert history["images_seen"][0] == 200
    assert same_weights(first, second)
    none = Cutouts(pixels, cutouts.offset, cutouts.bands, cutouts.magzp, status | 2, cutouts.tile)
    with pytest.raises(IICnetError, match="nothing to learn from"):
        run(((none, table), validation))
    with pytest.raises(IICnetError, match="300 cutouts and 10 labels"):
        run(((cutouts, table[:10]), validation))


def test_cutouts_of_other_zero_points_are_the_same_light(data):
    """A source of one's own may count in other units; the preprocessing knows AllWISE's."""
    (cutouts, table), validation = data
    # Powers of two, so that not a bit is lost on the way.
    others = np.asarray(cutouts.magzp) + 2.5 * np.log10([2, 0.5, 1])
    pixels = cutouts.pixels * np.array([2, 0.5, 1], np.float32)[:, None, None]
    moved = Cutouts(pixels, cutouts.offset, cutouts.bands, others, cutouts.status, cutouts.tile)
    first, _ = run(((cutouts, table), validation))
    second, _ = run(((moved, table), validation))
    assert same_weights(first, second)
    weights = new_weights("random-v1", bands=cutouts.bands, seed=2)
    network = weights.model, weights.preprocess
    np.testing.assert_array_equal(predict_logits(*network, moved[:8]), predict_logits(*network, cutouts[:8]))


def test_loss_that_is_no_number_ends_the_training(data):
    with pytest.raises(IICnetError, match="lower learning_rate"):
        run(data, TrainingSettings(epochs=2, learning_rate=1e30, precision="float32"))


def test_unknown_device(data):
    with pytest.raises(IICnetError, match="'gpu' cannot be used"):
        run(data, device="gpu")


def test_bfloat16(data):
    settings = TrainingSettings(epochs=4, learning_rate=0.02, batch_size=32, precision="bfloat16")
    model, history = run(data, settings)
    assert history["validation_accuracy"][-1] > 0.95
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_stream_resumes_with_the_next_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "CHUNK_SIZE", 40)
    settings = TrainingSettings(epochs=3, batch_size=16, precision="float32")
    validation = simulate_dataset(40, seed=2, workers=1)
    path = tmp_path / "training.safetensors"

    def stream():
        return SimulatedStream(60, seed=1, workers=1)

    whole, history = run((stream(), validation), settings)
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(Killed):
            run((stream(), validation), settings, checkpoint=path)
    asked = []
    make = SimulatedStream.epoch
    monkeypatch.setattr(
        SimulatedStream, "epoch", lambda self, epoch: asked.append(epoch) or make(self, epoch)
    )
    resumed, _ = run((stream(), validation), settings, checkpoint=path)
    assert asked == [1, 2]
    assert same_weights(whole, resumed)
    assert list(history["images_seen"]) == [60, 120, 180]
