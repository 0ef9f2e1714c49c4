import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.allwise.tiles import best_tile
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.training.splits import dataset_split, split_on_sky


def shares(split, labels):
    """Share of each class in each part, (3, 3)."""
    return np.array([np.bincount(labels[part], minlength=3) for part in split]) / np.bincount(labels)


def test_no_two_parts_share_a_tile_and_each_class_is_divided_8_1_1(rng):
    n = 6000
    coords = SkyCoord(rng.uniform(120, 240, n), np.degrees(np.arcsin(rng.uniform(0, 0.8, n))), unit="deg")
    tile, _ = best_tile(coords)
    labels = rng.integers(0, 3, n)
    split = split_on_sky(labels, tile, seed=1)
    assert sorted(np.concatenate(split)) == list(range(n))
    assert sum(len(set(tile[part])) for part in split) == len(set(tile))
    np.testing.assert_allclose(shares(split, labels), np.repeat([[0.8], [0.1], [0.1]], 3, axis=1), atol=0.005)


def test_classes_that_crowd_in_some_tiles(rng):
    """A class that is common in a few tiles is not all in one part."""
    tile = rng.integers(0, 200, 5000)
    labels = np.where(rng.uniform(size=5000) < tile / 200, 2, rng.integers(0, 2, 5000))
    split = split_on_sky(labels, tile)
    np.testing.assert_allclose(shares(split, labels), np.repeat([[0.8], [0.1], [0.1]], 3, axis=1), atol=0.02)


def test_the_seed_decides(rng):
    tile, labels = rng.integers(0, 300, 1000), rng.integers(0, 3, 1000)
    first, same, other = (split_on_sky(labels, tile, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, same.test)
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize("n_tiles", [3, 4, 9])
def test_few_tiles_leave_no_part_empty(rng, n_tiles):
    tile = np.arange(300) % n_tiles
    split = split_on_sky(rng.integers(0, 3, 300), tile)
    assert all(len(part) for part in split)
    assert len(split.train) == max(map(len, split))


def test_too_few_tiles():
    with pytest.raises(IICnetError, match="2 tile"):
        split_on_sky(np.zeros(4, dtype=int), np.array(["a", "b", "a", "b"]))
    with pytest.raises(IICnetError, match="4 labels and 3 tiles"):
        split_on_sky(np.zeros(4, dtype=int), np.array(["a", "b", "c"]))


def test_a_dataset_may_name_its_parts():
    parts = ["test", "train", "train", "validation"]
    table = Table({"class": ["star", "galaxy", "quasar", "star"], "split": parts})
    split = dataset_split(table)
    assert [list(part) for part in split] == [[1, 2], [0], [3]]
    table["split"][0] = "tset"
    with pytest.raises(IICnetError, match="Did you mean 'test'"):
        dataset_split(table)
    del table["split"]
    assert sum(map(len, dataset_split(table))) == 4
