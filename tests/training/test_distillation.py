"""What a trained network teaches another one."""

import numpy as np
import pytest
import torch
from astropy.table import Table

from astro_iicnet import IICnetClassifier
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.distillation import Teacher
from astro_iicnet.training.loop import predict_logits, train
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import get_record, load_weights
from astro_iicnet.weights.load import new_weights


@pytest.fixture(scope="module")
def sources():
    return simulate_dataset(256, seed=77)


def test_the_teacher_says_what_the_classifier_says(sources):
    """Up to bfloat16, where the device has it."""
    cutouts = sources[0][:32]
    teacher = Teacher(load_weights(), device="cpu")
    taught = teacher(torch.from_numpy(cutouts.pixels), torch.from_numpy(cutouts.offset)).numpy()
    expected = IICnetClassifier(device="cpu").predict_proba(cutouts)
    assert taught.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert taught == pytest.approx(expected, abs=0.03)
    assert f"iicnet-sim-v3 {get_record()['sha256'][:12]}" in repr(teacher)


def test_the_teacher_picks_its_bands():
    cutouts, _ = simulate_dataset(8, seed=77, bands=("W4", "W1", "W2", "W3"), workers=1)
    offset = torch.from_numpy(cutouts.offset)
    with_w4 = Teacher(load_weights(), bands=cutouts.bands, device="cpu")
    alone = Teacher(load_weights(), device="cpu")
    pixels = torch.from_numpy(cutouts.pixels)
    torch.testing.assert_close(with_w4(pixels, offset), alone(pixels[:, 1:], offset))
    with pytest.raises(IICnetError, match=r"in W1,W2,W3, the cutouts are images in W1,W2: take another"):
        Teacher(load_weights(), bands=("W1", "W2"))


def test_labels_do_not_matter_where_the_teacher_has_all_the_say(sources):
    """Labels in disorder: with share 1 the teacher's probabilities are learnt all the same."""
    cutouts, table = sources
    labels = class_labels(table)
    wrong = Table({"class": np.array(CLASSES)[(labels + 1) % 3]})

    def right_after(share: float) -> float:
        weights = new_weights("pupil", architecture="student", size=36, seed=5)
        settings = TrainingSettings(
            epochs=3, learning_rate=3e-3, batch_size=32, distillation=share, precision="float32"
        )
        teacher = Teacher(load_weights(), device="cpu")
        data = (cutouts, wrong)
        train(
            weights.model,
            weights.preprocess,
            data,
            (cutouts, table),
            settings,
            teacher=teacher,
            progress=False,
        )
        return float((predict_logits(weights.model, weights.preprocess, cutouts).argmax(1) == labels).mean())

    assert right_after(1.0) > 0.6
    assert right_after(0.0) < 0.4


def test_the_teacher_looks_once_at_cutouts_that_epochs_repeat(sources):
    seen = []
    teacher = Teacher(load_weights(), device="cpu")

    def counting(pixels, offset):
        seen.append(len(pixels))
        return teacher(pixels, offset)

    weights = new_weights("pupil", architecture="student", size=36, seed=5)
    settings = TrainingSettings(epochs=3, precision="float32")
    arguments = (weights.model, weights.preprocess, sources, sources, settings)
    train(*arguments, teacher=counting, progress=False)
    assert sum(seen) == len(sources[0])


def test_share_out_of_range():
    with pytest.raises(IICnetError, match=r"distillation=1.5: expected a number from 0 to 1"):
        TrainingSettings(distillation=1.5)
