"""Labelled datasets: what is written is read."""

import mmap

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import CLASSES
from astro_iicnet.training.datasets import (
    class_labels,
    read_dataset,
    split,
    write_dataset,
)


@pytest.fixture
def labelled(rng):
    n = 7
    pixels = rng.normal(size=(n, 2, 41, 41)).astype(np.float32)
    pixels[3, 1, 5] = np.nan
    status = np.array([0, 0, 2, 0, 0, 0, 4], dtype=np.uint8)
    tile = np.array(["0000p000_ac51", "", "", "a", "b", "c", "d"])
    cutouts = Cutouts(
        pixels,
        rng.uniform(-0.5, 0.5, (n, 2)).astype(np.float32),
        ("W1", "W2"),
        np.array([20.5, 19.5]),
        status,
        tile,
    )
    table = Table({"class": np.array(CLASSES)[np.arange(n) % 3], "w1": rng.uniform(10, 17, n)})
    table["vector"] = rng.normal(size=(n, 4))
    table.meta = {
        "seed": "42",
        "origin": "a test",
        "a_long_provenance_key": 1.5,
        "skipped": {"not": "scalar"},
    }
    return cutouts, table


def test_round_trip(tmp_path, labelled):
    cutouts, table = labelled
    path = tmp_path / "set.fits"
    write_dataset(path, cutouts, table)
    again, sources = read_dataset(path)
    np.testing.assert_array_equal(again.pixels, cutouts.pixels)
    np.testing.assert_array_equal(again.offset, cutouts.offset)
    np.testing.assert_array_equal(again.status, cutouts.status)
    np.testing.assert_array_equal(again.tile, cutouts.tile)
    np.testing.assert_array_equal(again.magzp, cutouts.magzp)
    assert again.bands == cutouts.bands
    for name in table.colnames:
        np.testing.assert_array_equal(sources[name], table[name])
    assert sources.meta == {"seed": "42", "origin": "a test", "a_long_provenance_key": 1.5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.fits"]


def test_pixels_stay_on_disk(tmp_path, labelled):
    write_dataset(tmp_path / "set.fits", *labelled)
    holder = read_dataset(tmp_path / "set.fits")[0].pixels
    while isinstance(holder, np.ndarray):
        holder = holder.base
    assert isinstance(holder, mmap.mmap)


def test_layout_is_plain_fits(tmp_path, labelled):
    write_dataset(tmp_path / "set.fits", *labelled)
    with fits.open(tmp_path / "set.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "PIXELS", "SOURCES"]
        assert hdus["PIXELS"].data.shape == (7, 2, 41, 41)
        assert (hdus["PIXELS"].header["MAGZP2"], hdus["PIXELS"].header["BAND2"]) == (19.5, "W2")
        assert {"class", "offset_x", "offset_y", "status", "tile", "w1"} <= set(hdus["SOURCES"].columns.names)


def test_overwriting_replaces_whole_file(tmp_path, labelled):
    cutouts, table = labelled
    path = tmp_path / "set.fits"
    write_dataset(path, cutouts, table)
    write_dataset(path, cutouts[:2], table[:2])
    assert len(read_dataset(path)[0]) == 2


def test_failed_write_leaves_old_file(tmp_path, labelled, monkeypatch):
    cutouts, table = labelled
    path = tmp_path / "set.fits"
    write_dataset(path, cutouts, table)

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fits.HDUList, "writeto", full_disk)
    with pytest.raises(IICnetError, match="No space left"):
        write_dataset(path, cutouts[:2], table[:2])
    assert len(read_dataset(path)[0]) == 7


def test_plain_errors(tmp_path, labelled):
    cutouts, table = labelled
    with pytest.raises(IICnetError, match="No dataset at"):
        read_dataset(tmp_path / "none.fits")
    (tmp_path / "text.fits").write_text("not FITS")
    with pytest.raises(IICnetError, match="not a complete dataset"):
        read_dataset(tmp_path / "text.fits")
    fits.PrimaryHDU().writeto(tmp_path / "other.fits")
    with pytest.raises(IICnetError, match="not a complete dataset"):
        read_dataset(tmp_path / "other.fits")
    with pytest.raises(IICnetError, match="7 cutouts and 3"):
        write_dataset(tmp_path / "set.fits", cutouts, table[:3])
    with pytest.raises(IICnetError, match="Cannot write"):
        write_dataset(tmp_path / "nowhere" / "set.fits", cutouts, table)
    table["class"] = table["class"].astype("U10")
    table["class"][0] = "galaxies"
    with pytest.raises(IICnetError, match="Did you mean 'galaxy'"):
        write_dataset(tmp_path / "set.fits", cutouts, table)
    table.remove_column("class")
    with pytest.raises(IICnetError, match="No column 'class'"):
        class_labels(table)


@pytest.mark.parametrize("kept", [0.3, 0.95, 0.999])
def test_truncated_file(tmp_path, labelled, kept):
    path = tmp_path / "set.fits"
    write_dataset(path, *labelled)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(IICnetError, match="not a complete dataset"):
        read_dataset(path)


def test_split_has_the_paper_sizes():
    sizes = (7298, 7215, 7223)
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], sizes))
    parts = split(labels)
    expected = {"train": (5838, 5772, 5778), "test": (730, 722, 723), "validation": (730, 721, 722)}
    for name, counts in expected.items():
        assert tuple(np.bincount(labels[getattr(parts, name)])) == counts
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(sum(sizes)))
    np.testing.assert_array_equal(split(labels).test, parts.test)
    assert not np.array_equal(split(labels, seed=1).test, parts.test)
