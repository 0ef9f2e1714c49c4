"""Settings and the learning rate they mean, against torch and the paper."""

import json
import math

import pytest
import torch

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.settings import TrainingSettings, learning_rate


def test_paper_preset():
    settings = TrainingSettings.preset("paper")
    assert (settings.epochs, settings.learning_rate) == (200, 1e-4)
    steps = 272
    assert [learning_rate(settings, epoch * steps, steps) for epoch in (0, 49, 50, 199)] == [
        1e-4, 1e-4, 5e-5, 5e-5,
    ]  # fmt: skip
    assert learning_rate(settings, 50 * steps - 1, steps) == 1e-4


@pytest.mark.parametrize(("epochs", "steps"), [(10, 7), (3, 100), (1, 2)])
def test_one_cycle_is_that_of_torch(epochs, steps):
    settings = TrainingSettings.preset("one-cycle", epochs=epochs, learning_rate=3e-3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=epochs * steps, cycle_momentum=False
    )
    for step in range(epochs * steps):
        assert learning_rate(settings, step, steps) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step + 1 < epochs * steps:
            schedule.step()


def test_plain_data():
    settings = TrainingSettings.preset("one-cycle", epochs=3, patience=2)
    assert TrainingSettings(**json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"flux_jitter": -1}, "flux_jitter=-1"),
        ({"patience": 0}, "patience=0"),
        ({"schedule": "one-cylce"}, "Did you mean 'one-cycle'"),
        ({"precision": "float16"}, "Unknown precision"),
        ({"epoch": 3}, "Did you mean 'epochs'"),
    ],
)
def test_refuses_nonsense(changes, message):
    with pytest.raises(IICnetError, match=message):
        TrainingSettings.preset("one-cycle", **changes)


def test_unknown_preset():
    with pytest.raises(IICnetError, match="Did you mean 'paper'"):
        TrainingSettings.preset("papre")
