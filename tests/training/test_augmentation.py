"""Augmentation: what it must change and what it must not."""

import numpy as np
import pytest
import torch

from astro_iicnet.allwise.bands import zero_points
from astro_iicnet.preprocessing.preprocess import Preprocess
from astro_iicnet.preprocessing.recipes import RECIPES
from astro_iicnet.training.augmentation import dihedral, jitter_flux

BANDS = ("W1", "W2", "W3")
ORIENTATIONS = [(turns, mirror) for turns in range(4) for mirror in (False, True)]


def orient(image, turns, mirror):
    """Turn by 90 degrees and mirror, by numpy alone."""
    image = np.rot90(image, turns, axes=(-2, -1))
    return image[..., ::-1] if mirror else image


def test_dihedral_gives_all_eight_orientations_evenly(rng):
    image = rng.normal(size=(2, 5, 5)).astype(np.float32)
    n = 4000
    out = dihedral(torch.from_numpy(image).expand(n, -1, -1, -1), torch.Generator().manual_seed(1)).numpy()
    counts = [
        int((out == orient(image, turns, mirror)).all(axis=(1, 2, 3)).sum()) for turns, mirror in ORIENTATIONS
    ]
    assert sum(counts) == n
    # Binomial, n = 4000, p = 1/8: sigma 21.
    assert np.abs(np.array(counts) - n / 8).max() < 4 * 21


@pytest.mark.parametrize("recipe", ["calibrated", "paper"])
@pytest.mark.parametrize(("turns", "mirror"), ORIENTATIONS)
def test_turning_the_input_is_turning_pixels_and_offset(rng, recipe, turns, mirror):
    """The argument for augmenting the network input, checked for each orientation."""
    y, x = np.mgrid[-20:21, -20:21]
    offset = np.array([0.3, -0.4], dtype=np.float32)
    pixels = 5 + rng.normal(size=(3, 41, 41)) * 0.2
    pixels += 40 * np.exp(-((x - offset[0]) ** 2 + (y - offset[1]) ** 2) / 18)
    pixels += 15 * np.exp(-((x - 8) ** 2 + (y + 5) ** 2) / 18)
    preprocess = Preprocess(RECIPES[recipe], BANDS, zero_points(BANDS))
    turned = orient(pixels, turns, mirror)
    # A turn takes (x, y) to (y, -x): rot90 turns rows into columns.
    turned_offset = offset.copy()
    for _ in range(turns):
        turned_offset = np.array([turned_offset[1], -turned_offset[0]])
    if mirror:
        turned_offset[0] *= -1

    def network_input(image, shift):
        image = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
        return preprocess(image, torch.from_numpy(shift.astype(np.float32))[None])[0].numpy()

    straight = network_input(pixels, offset)
    # One step of 1/255 in "paper", where rounding may fall to either side.
    tolerance = 2e-4 if recipe == "calibrated" else 1.01 / 255
    np.testing.assert_allclose(
        network_input(turned, turned_offset), orient(straight, turns, mirror), atol=tolerance
    )
    assert (
        np.abs(network_input(turned, -turned_offset) - orient(straight, turns, mirror)).max() > 10 * tolerance
    )


def test_jitter_scales_bands_together(rng):
    pixels = torch.from_numpy(rng.normal(size=(500, 2, 41, 41)).astype(np.float32) + 7)
    pixels[:, :, 18:23, 18:23] += 100
    pixels[0, 0, 0, 0] = torch.nan
    out = jitter_flux(pixels, 0.5, torch.Generator().manual_seed(1))
    level = np.nanmedian(pixels.numpy(), axis=(2, 3))
    np.testing.assert_allclose(np.nanmedian(out.numpy(), axis=(2, 3)), level, atol=1e-3)
    gain = (out.numpy()[:, :, 20, 20] - level) / (pixels.numpy()[:, :, 20, 20] - level)
    np.testing.assert_allclose(gain[:, 0], gain[:, 1], rtol=1e-4)
    change = -2.5 * np.log10(gain[:, 0])
    assert np.abs(change).max() <= 0.5 + 1e-5
    # Uniform within +-0.5: standard deviation 0.289.
    assert abs(change.std() - 0.289) < 0.02
    assert torch.isnan(out[0, 0, 0, 0])
    assert torch.isnan(out).sum() == 1
