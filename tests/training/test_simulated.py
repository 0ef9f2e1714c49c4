"""Simulated datasets: they depend on the seed alone."""

import numpy as np
import pytest

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import Status
from astro_iicnet.training import simulated
from astro_iicnet.training.datasets import class_labels
from astro_iicnet.training.simulated import SimulatedStream, simulate_dataset


def same(first, second):
    return np.array_equal(first[0].pixels, second[0].pixels, equal_nan=True) and all(
        np.array_equal(first[1][name], second[1][name]) for name in first[1].colnames
    )


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(simulated, "CHUNK_SIZE", 20)


def test_simulated_dataset(small_chunks):
    cutouts, table = simulate_dataset(50, seed=3, bands=("W1", "W2"), workers=1)
    assert cutouts.pixels.shape == (50, 2, 41, 41)
    assert cutouts.pixels.dtype == np.float32
    assert (cutouts.status == Status.OK).all()
    assert np.abs(cutouts.offset).max() <= 0.5
    np.testing.assert_array_equal(cutouts.magzp, [20.5, 19.5])
    assert set(np.unique(class_labels(table))) == {0, 1, 2}
    assert table.meta["seed"] == "3"
    # Chunks differ from each other, and so do seeds.
    assert not np.array_equal(table["w1"][:20], table["w1"][20:40])
    assert not same((cutouts, table), simulate_dataset(50, seed=4, bands=("W1", "W2"), workers=1))
    only_stars = simulate_dataset(20, seed=3, fractions=(0, 0, 1), bands=("W1",), workers=1)[1]
    assert set(only_stars["class"]) == {"star"}


def test_simulation_does_not_depend_on_workers(small_chunks):
    one = simulate_dataset(50, seed=3, bands=("W1",), workers=1)
    two = simulate_dataset(50, seed=3, bands=("W1",), workers=2)
    assert same(one, two)


def test_a_denser_sky_has_more_stars(small_chunks):
    """The same sources, for the sky is drawn after them; some fields are fuller."""
    usual = simulate_dataset(100, seed=3, bands=("W1",), workers=1)
    dense = simulate_dataset(100, seed=3, bands=("W1",), densest=512, workers=1)
    np.testing.assert_array_equal(dense[1]["w1"], usual[1]["w1"])
    assert (usual[1].meta["densest"], dense[1].meta["densest"]) == ("16", "512")
    light = [
        np.nanmean(c.pixels, axis=(1, 2, 3)) - np.nanmin(c.pixels, axis=(1, 2, 3)) for c, _ in (usual, dense)
    ]
    assert np.quantile(light[1], 0.9) > 1.5 * np.quantile(light[0], 0.9)


def test_simulation_refuses_nonsense():
    with pytest.raises(IICnetError, match="n=0"):
        simulate_dataset(0, seed=1)
    with pytest.raises(IICnetError, match="workers=0"):
        simulate_dataset(1, seed=1, workers=0)


def test_stream_is_a_function_of_the_epoch(small_chunks):
    stream = SimulatedStream(30, seed=3, bands=("W1",), workers=1)
    try:
        stream.prefetch(1)
        first, second = stream.epoch(0), stream.epoch(1)
        stream.close()
        again = stream.epoch(1)
    finally:
        stream.close()
    assert same(second, again)
    assert not np.array_equal(first[1]["w1"], second[1]["w1"])
    # Nothing in common with a dataset of the same seed.
    plain = simulate_dataset(30, seed=3, bands=("W1",), workers=1)
    assert not np.intersect1d(plain[1]["w1"], np.concatenate([first[1]["w1"], second[1]["w1"]])).size
