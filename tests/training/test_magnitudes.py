import numpy as np
import pytest
import torch

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.colours import from_cutouts
from astro_iicnet.fusion.networks import ColorNet, FusionNet, photometry_tensor
from astro_iicnet.labels import Status
from astro_iicnet.models.iicnet import IICnet
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.distillation import Teacher
from astro_iicnet.training.magnitudes import (
    MeasuredSources,
    magnitude_logits,
    measure_sources,
    train_on_magnitudes,
)
from astro_iicnet.training.settings import TrainingSettings
from astro_iicnet.training.simulated import simulate_dataset
from astro_iicnet.weights import load_weights
from astro_iicnet.weights.load import new_weights

SETTINGS = TrainingSettings(epochs=6, batch_size=64, seed=4)


def colour_sources(n: int, seed: int, n_features: int = 0) -> MeasuredSources:
    """Sources whose W1-W2 and W2-W3 tell the class, but for a scatter of 0.1 mag."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    blue = np.array([0.2, 1.2, 0.0])[labels] + rng.normal(0, 0.1, n)
    red = np.array([2.5, 3.0, 0.0])[labels] + rng.normal(0, 0.1, n)
    w2 = rng.uniform(12, 15, n)
    mag = np.stack([w2 + blue, w2, w2 - red], axis=1).astype(np.float32)
    photometry = torch.from_numpy(np.stack([mag, np.zeros_like(mag)], axis=1))
    taught = torch.empty(n, 0)
    return MeasuredSources(torch.zeros(n, n_features), photometry, torch.from_numpy(labels), taught)


def accuracy(model, data) -> float:
    return float((magnitude_logits(model, data).argmax(1) == data.labels.numpy()).mean())


@pytest.mark.parametrize("features", ["magnitudes", "colours"])
def test_a_colour_network_learns_and_does_without_a_band(features):
    torch.manual_seed(1)
    model = ColorNet(features=features)
    history = train_on_magnitudes(model, colour_sources(1500, 1), colour_sources(300, 2), SETTINGS)
    test = colour_sources(1000, 3)
    assert not model.training
    assert len(history) == SETTINGS.epochs
    assert accuracy(model, test) > 0.99
    # The truth without W3: quasars by W1-W2, galaxies and stars a good two sigma apart in it.
    test.photometry[:, 0, 2] = torch.nan
    found = magnitude_logits(model, test).argmax(1)
    assert ((found == 1) == (test.labels.numpy() == 1)).mean() > 0.98
    assert (found == test.labels.numpy()).mean() > 0.8


def test_the_same_seed_gives_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        model = ColorNet()
        train_on_magnitudes(model, colour_sources(300, 1), colour_sources(100, 2), SETTINGS)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_teacher_has_its_share_of_the_say():
    """Labels in disorder and a teacher that is right: the share decides whom the network follows."""
    data, validation, test = colour_sources(1500, 1), colour_sources(300, 2), colour_sources(1000, 3)
    right = torch.nn.functional.one_hot(data.labels, 3).float()
    wrong = data._replace(labels=(data.labels + 1) % 3, taught=right)

    def right_after(share: float) -> float:
        torch.manual_seed(1)
        model = ColorNet()
        settings = TrainingSettings(epochs=6, batch_size=64, seed=4, distillation=share)
        train_on_magnitudes(model, wrong, validation, settings)
        return accuracy(model, test)

    assert right_after(0.9) > 0.99
    assert right_after(0.1) < 0.5


def test_a_fusion_network_is_trained_around_its_image_branch():
    torch.manual_seed(1)
    color, image = ColorNet(), IICnet()
    train, validation = colour_sources(1500, 1, 512), colour_sources(300, 2, 512)
    train_on_magnitudes(color, train, validation, SETTINGS)
    model = FusionNet()
    model.start_from(image, color)
    before = {name: value.clone() for name, value in image.state_dict().items()}
    train_on_magnitudes(model, train, validation, SETTINGS)
    assert all(torch.equal(value, before[name]) for name, value in model.image.state_dict().items())
    # The features of the image are all zero here: what it knows, it has from the magnitudes.
    assert accuracy(model, colour_sources(1000, 3, 512)) > 0.99


def test_sources_are_measured_on_their_pixels():
    cutouts, table = simulate_dataset(40, seed=5, workers=1)
    status = np.where(np.arange(40) == 7, Status.RETRIEVAL_FAILED, Status.OK).astype(np.uint8)
    cutouts = Cutouts(cutouts.pixels, cutouts.offset, cutouts.bands, cutouts.magzp, status, cutouts.tile)
    weights = new_weights("test-v1")
    found = measure_sources((cutouts, table), weights.model, weights.preprocess, device="cpu")
    rows = np.delete(np.arange(40), 7)
    np.testing.assert_array_equal(found.labels, class_labels(table)[rows])
    torch.testing.assert_close(
        found.photometry, photometry_tensor(from_cutouts(cutouts[rows])), equal_nan=True, rtol=0, atol=0
    )
    pixels, offset = (torch.from_numpy(x[rows]) for x in (cutouts.pixels, cutouts.offset))
    with torch.no_grad():
        expected = weights.model.eval().embed(weights.preprocess(pixels, offset))
    torch.testing.assert_close(found.embedding, expected, rtol=1e-4, atol=1e-4)
    assert measure_sources((cutouts, table)).embedding.shape == (39, 0)
    teacher = Teacher(load_weights(), device="cpu")
    taught = measure_sources((cutouts, table), teacher=teacher, device="cpu").taught
    torch.testing.assert_close(taught, teacher(pixels, offset))


def test_bad_data_are_refused():
    cutouts, table = simulate_dataset(2, seed=5, workers=1)
    with pytest.raises(IICnetError, match="preprocess"):
        measure_sources((cutouts, table), IICnet())
    cutouts.status[:] = Status.NO_COVERAGE
    with pytest.raises(IICnetError, match="status ok"):
        measure_sources((cutouts, table))
    with pytest.raises(IICnetError, match="lower learning_rate"):
        train_on_magnitudes(
            ColorNet(),
            colour_sources(300, 1),
            colour_sources(9, 2),
            TrainingSettings(epochs=3, learning_rate=1e30),
        )
