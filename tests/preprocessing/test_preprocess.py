"""Preprocessing against analytic images, scipy and photutils."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.preprocessing import RECIPES, Preprocess, Recipe

BANDS = ("W1", "W2", "W3")
MAGZP = (20.5, 19.5, 18.0)
LEVEL = np.array([2.7, 7.0, 440.0])
STEP = 50 / 80 / 1.375
SIGMA = 6.3 / 2.3548

LINEAR = Recipe(name="linear", stretch="asinh", softening=dict.fromkeys(BANDS, 1e4), gain=1e4)
"""The calibrated recipe so soft that it is linear: isolates the resampling."""


@pytest.fixture
def rng():
    return np.random.default_rng(20230805)


def _grid(offset, axis):
    """Native coordinate of every output pixel, from the definition, (N, 80)."""
    return 20 + offset[:, [axis]].astype(float) + (np.arange(80) - 39.5) * STEP


def _sources(offset, flux):
    """Gaussian sources of FWHM 6.3 px at the target, (N, B, 41, 41), on each band's background."""
    y, x = np.mgrid[:41, :41] - 20.0
    r2 = (x - offset[:, 0, None, None]) ** 2 + (y - offset[:, 1, None, None]) ** 2
    shape = np.exp(-r2 / (2 * SIGMA**2)) / (2 * np.pi * SIGMA**2)
    pixels = LEVEL[:, None, None] + np.asarray(flux)[..., :, None, None] * shape[:, None]
    return pixels.astype("f4")


def _apply(recipe, pixels, offset, bands=BANDS, magzp=MAGZP):
    preprocess = Preprocess(recipe, bands, magzp)
    return preprocess(torch.from_numpy(pixels), torch.from_numpy(offset)).numpy()


@pytest.mark.parametrize("size", [64, 80, 81, 128])
@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_a_point_source_lands_in_the_centre(name, size, rng):
    """Within 0.05 output pixels, by photutils' Gaussian fit and by moments, for any sub-pixel offset."""
    centroids = pytest.importorskip("photutils.centroids")
    offset = rng.uniform(-0.5, 0.5, (24, 2)).astype("f4")
    offset[:3] = [[0.5, -0.5], [-0.5, -0.5], [0, 0.5]]
    recipe = dataclasses.replace(RECIPES[name], size=size)
    out = _apply(recipe, _sources(offset, [3000, 1000, 2000]), offset)
    assert out.shape == (24, 3, size, size)
    centre = (size - 1) / 2
    for image in out.reshape(-1, size, size):
        core = np.clip(image - image.max() / 3, 0, None)
        assert np.abs(centroids.centroid_com(core) - centre).max() < 0.05
    for image in out[:4, 0]:
        assert np.abs(centroids.centroid_2dg(image) - centre).max() < 0.05


def test_the_centring_test_can_fail(rng):
    """A tenth of a native pixel of wrong offset shows."""
    centroids = pytest.importorskip("photutils.centroids")
    offset = rng.uniform(-0.4, 0.4, (1, 2)).astype("f4")
    image = _apply(RECIPES["calibrated"], _sources(offset, [3000, 1000, 2000]), offset + np.float32(0.1))[
        0, 0
    ]
    shift = centroids.centroid_com(np.clip(image - image.max() / 3, 0, None)) - 39.5
    np.testing.assert_allclose(shift, -0.1 / STEP, atol=0.05)


def test_planes_are_reproduced(rng):
    """Value, direction and scale of both axes: out[j, k] looks at row j (y), column k (x)."""
    offset = rng.uniform(-0.5, 0.5, (6, 2)).astype("f4")
    y, x = np.mgrid[:41, :41] - 20.0
    plane = (0.3 * x - 0.8 * y).astype("f4")
    out = _apply(LINEAR, np.tile(plane, (6, 3, 1, 1)), offset, magzp=(20.5,) * 3)
    # The background of a plane about the middle is its value there, 0, to a step of the sample.
    level = np.median(plane) - out[0, 0, 39:41, 39:41].mean() + 0.3 * offset[0, 0] - 0.8 * offset[0, 1]
    assert abs(level) < 0.5
    expected = 0.3 * (_grid(offset, 0)[:, None, :] - 20) - 0.8 * (_grid(offset, 1)[:, :, None] - 20)
    np.testing.assert_allclose(out + level, np.broadcast_to(expected[:, None], out.shape), atol=5e-4)


def test_a_smooth_image_as_scipy_would_resample_it(rng):
    """Cubic spline of scipy on noise of the Atlas images' smoothness: within 2 % of its scatter."""
    offset = rng.uniform(-0.5, 0.5, (4, 2)).astype("f4")
    noise = ndimage.gaussian_filter(rng.normal(size=(4, 3, 60, 60)), (0, 0, SIGMA, SIGMA))[..., 9:50, 9:50]
    pixels = (noise / noise.std()).astype("f4")
    preprocess = Preprocess(LINEAR, BANDS, (20.5,) * 3)
    out = preprocess(torch.from_numpy(pixels), torch.from_numpy(offset)).numpy()
    for i in range(4):
        at = np.meshgrid(_grid(offset, 1)[i], _grid(offset, 0)[i], indexing="ij")
        for b in range(3):
            expected = ndimage.map_coordinates(pixels[i, b], at, order=3)
            difference = out[i, b] - expected
            assert np.std(difference) < 0.02
            # A constant is left: the background, which is the median of the frame.
            frame = np.ones((41, 41), bool)
            frame[4:-4, 4:-4] = False
            assert abs(np.mean(difference) + np.median(pixels[i, b][frame])) < 0.2


@pytest.mark.parametrize(("band", "b"), [("W1", 0), ("W2", 1), ("W3", 2)])
def test_calibrated_is_asinh_of_the_flux_on_one_scale(band, b, rng):
    """The central value of a known source, from its magnitude, through the definition."""
    recipe = RECIPES["calibrated"]
    mag = np.array([9.0, 12.0, 14.0, 16.0])
    offset = rng.uniform(-0.5, 0.5, (4, 2)).astype("f4")
    dn = 10 ** (-0.4 * (mag[:, None] - np.array(MAGZP)))
    out = _apply(recipe, _sources(offset, dn), offset)[:, b]
    peak = 10 ** (-0.4 * (mag - 20.5)) / (2 * np.pi * SIGMA**2)
    r2 = 2 * (STEP / 2) ** 2
    expected = recipe.gain * np.arcsinh(peak * np.exp(-r2 / (2 * SIGMA**2)) / recipe.softening[band])
    np.testing.assert_allclose(out[:, 39:41, 39:41].mean((1, 2)), expected, rtol=3e-3, atol=1e-3)


def test_calibrated_keeps_colour_as_a_difference_of_channels(rng):
    """Well above the noise, W1 - W2 [mag] is the difference of two channels, at any brightness."""
    recipe = RECIPES["calibrated"]
    w1 = np.repeat([8.0, 10.0, 11.0], 3)
    colour = np.tile([-0.04, 0.6, 1.2], 3)
    mag = np.stack([w1, w1 - colour, w1 - colour - 1], axis=1)
    offset = rng.uniform(-0.5, 0.5, (9, 2)).astype("f4")
    out = _apply(recipe, _sources(offset, 10 ** (-0.4 * (mag - np.array(MAGZP)))), offset)[:, :, 39, 39]
    difference = (out[:, 1] - out[:, 0]) / recipe.gain - np.log(
        recipe.softening["W1"] / recipe.softening["W2"]
    )
    np.testing.assert_allclose(difference * 2.5 / np.log(10), colour, atol=0.005)


def test_calibrated_output_is_of_order_one(rng):
    """A W1 = 14 star in noise: the network's input neither vanishes nor overflows."""
    offset = rng.uniform(-0.5, 0.5, (64, 2)).astype("f4")
    mag = rng.uniform(11, 16, (64, 1)) + np.zeros(3)
    noise = ndimage.gaussian_filter(rng.normal(size=(64, 3, 41, 41)), (0, 0, 2, 2))
    noise *= np.array([0.2, 0.12, 0.5])[:, None, None] / noise.std()
    out = _apply(
        RECIPES["calibrated"],
        (_sources(offset, 10 ** (-0.4 * (mag - MAGZP))) + noise).astype("f4"),
        offset,
    )
    assert 0.3 < out.std() < 3
    assert np.abs(out).max() < 10


def test_paper_spans_zero_to_one_in_255_steps(rng):
    offset = np.zeros((2, 2), "f4")
    pixels = _sources(offset, [[3000, 1000, 2000], [30, 10, 20]])
    pixels = (pixels + rng.normal(0, 0.001, pixels.shape)).astype("f4")
    out = _apply(RECIPES["paper"], pixels, offset)
    assert out.max(axis=(2, 3)).min() > 0.98
    assert out.max() <= 1
    assert out.min(axis=(2, 3)).min() >= 0
    assert out.min(axis=(2, 3)).max() < 0.05
    # Flux and colour are gone: a source a hundred times fainter looks the same but for noise.
    assert np.abs(out[0] - out[1]).max() < 0.1


def test_paper_percentiles_are_those_of_numpy(rng):
    """What is clipped to 0 and 1 before resampling, on a smooth random image."""
    noise = ndimage.gaussian_filter(rng.normal(size=(1, 3, 41, 41)), (0, 0, 2, 2))
    recipe = dataclasses.replace(RECIPES["paper"], percentiles=(20, 80))
    out = _apply(recipe, noise.astype("f4"), np.zeros((1, 2), "f4"))
    for b in range(3):
        low, high = np.percentile(noise[0, b, 2:39, 2:39], [20, 80])
        assert np.mean(out[0, b] <= 0.005) == pytest.approx(np.mean(noise[0, b, 2:39, 2:39] <= low), abs=0.04)
        native = np.clip((noise[0, b] - low) / (high - low), 0, 1)
        at = np.meshgrid(*[_grid(np.zeros((1, 2)), 0)[0]] * 2, indexing="ij")
        assert (
            np.corrcoef(out[0, b].ravel(), ndimage.map_coordinates(native, at, order=1).ravel())[0, 1] > 0.995
        )


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_rows_are_independent(name, rng):
    offset = rng.uniform(-0.5, 0.5, (10, 2)).astype("f4")
    pixels = _sources(offset, rng.uniform(10, 1e4, (10, 3))) + rng.normal(0, 0.1, (10, 3, 41, 41)).astype(
        "f4"
    )
    whole = _apply(RECIPES[name], pixels, offset)
    order = rng.permutation(10)
    np.testing.assert_allclose(_apply(RECIPES[name], pixels[order], offset[order]), whole[order], atol=1e-5)
    np.testing.assert_allclose(_apply(RECIPES[name], pixels[3:4], offset[3:4]), whole[3:4], atol=1e-5)
    assert _apply(RECIPES[name], pixels[:0], offset[:0]).shape == (0, 3, 80, 80)


def test_bands_do_not_see_each_other(rng):
    offset = rng.uniform(-0.5, 0.5, (2, 2)).astype("f4")
    pixels = _sources(offset, [100, 200, 300])
    whole = _apply(RECIPES["calibrated"], pixels, offset)
    flipped = _apply(RECIPES["calibrated"], pixels[:, ::-1].copy(), offset, BANDS[::-1], MAGZP[::-1])
    np.testing.assert_allclose(flipped[:, ::-1], whole, atol=1e-5)


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_the_background_level_does_not_matter(name, rng):
    offset = rng.uniform(-0.5, 0.5, (2, 2)).astype("f4")
    pixels = _sources(offset, [500, 200, 300])
    np.testing.assert_allclose(
        _apply(RECIPES[name], pixels + np.float32(64), offset),
        _apply(RECIPES[name], pixels, offset),
        atol=5e-3,
    )


def test_background_resists_a_neighbour_at_the_edge(rng):
    """A source of W1 = 13 on the frame moves the level by less than a noise sigma."""
    y, x = np.mgrid[:41, :41]
    pixels = np.zeros((1, 3, 41, 41), "f4")
    noise = ndimage.gaussian_filter(rng.normal(size=(41, 41)), 2)
    pixels += (0.2 * noise / noise.std()).astype("f4")
    clean = _apply(LINEAR, pixels, np.zeros((1, 2), "f4"), magzp=(20.5,) * 3)
    pixels += (1000 / (2 * np.pi * SIGMA**2) * np.exp(-((x - 38) ** 2 + (y - 4) ** 2) / 2 / SIGMA**2)).astype(
        "f4"
    )
    busy = _apply(LINEAR, pixels, np.zeros((1, 2), "f4"), magzp=(20.5,) * 3)
    assert np.abs((busy - clean)[:, :, 60:, :20]).max() < 0.2


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_missing_pixels(name, rng):
    offset = rng.uniform(-0.5, 0.5, (4, 2)).astype("f4")
    pixels = _sources(offset, [500, 200, 300])
    pixels = (pixels + rng.normal(0, 0.001, pixels.shape)).astype("f4")
    pixels[0, 1] = np.nan
    pixels[1] = np.nan
    offset[1] = np.nan
    pixels[2, :, :, 30:] = np.nan
    pixels[3, 0, 20, 20] = np.inf
    out = _apply(RECIPES[name], pixels, offset)
    assert np.isfinite(out).all()
    assert not out[0, 1].any()
    assert not out[1].any()
    # Half a frame gives the same background; where nothing was seen, the picture is empty sky.
    whole = _apply(RECIPES[name], _sources(offset, [500, 200, 300]), offset)
    assert np.abs(out[2] - whole[2])[:, :, :50].max() < 0.06
    assert np.abs(out[2][:, :, 70:]).max() < 0.06


def test_missing_pixels_are_filled_with_the_background(rng):
    """NaN and the level written in by hand give the same picture."""
    offset = np.zeros((1, 2), "f4")
    pixels = _sources(offset, [500, 200, 300])
    holed, filled = pixels.copy(), pixels.copy()
    hole = np.s_[:, :, 15:19, 12:18]
    holed[hole] = np.nan
    # Without noise the frame is the level itself, but for the wings of the source.
    filled[hole] = np.median(pixels[:, :, 37:], axis=(2, 3))[..., None, None]
    np.testing.assert_allclose(_apply(LINEAR, holed, offset), _apply(LINEAR, filled, offset), atol=0.01)


def test_constant_image_is_empty_sky():
    pixels = np.full((1, 3, 41, 41), 440, "f4")
    for recipe in RECIPES.values():
        assert not _apply(recipe, pixels, np.zeros((1, 2), "f4")).any()


def test_float32_under_autocast_and_input_untouched(rng):
    offset = rng.uniform(-0.5, 0.5, (3, 2)).astype("f4")
    pixels = _sources(offset, [500, 200, 300])
    kept = pixels.copy()
    preprocess = Preprocess(RECIPES["calibrated"], BANDS, MAGZP)
    x, shift = torch.from_numpy(pixels), torch.from_numpy(offset)
    plain = preprocess(x, shift)
    with torch.autocast("cpu", torch.bfloat16):
        under = preprocess(x, shift)
    assert plain.dtype == under.dtype == torch.float32
    assert torch.equal(plain, under)
    assert plain.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(pixels, kept)
    assert torch.equal(preprocess(x.double(), shift.double()), plain)


def test_nothing_to_train_or_save():
    preprocess = Preprocess(RECIPES["calibrated"], BANDS, MAGZP)
    assert not list(preprocess.parameters())
    assert not preprocess.state_dict()
    assert repr(preprocess) == "Preprocess(calibrated, W1/W2/W3, size=80)"


def test_four_bands():
    out = _apply(
        RECIPES["calibrated"],
        np.ones((1, 4, 41, 41), "f4"),
        np.zeros((1, 2), "f4"),
        (*BANDS, "W4"),
        (*MAGZP, 13),
    )
    assert out.shape == (1, 4, 80, 80)


def test_wrong_input_is_refused():
    recipe = RECIPES["calibrated"]
    with pytest.raises(IICnetError, match=r"magzp has shape \(2,\)"):
        Preprocess(recipe, BANDS, MAGZP[:2])
    with pytest.raises(IICnetError, match="no softening for W5: it knows W1, W2, W3, W4"):
        Preprocess(recipe, ("W1", "W5"), MAGZP[:2])
    preprocess = Preprocess(recipe, BANDS, MAGZP)
    offset = torch.zeros(2, 2)
    with pytest.raises(IICnetError, match=r"shape \(2, 4, 41, 41\): expected \(N, 3, S, S\)"):
        preprocess(torch.zeros(2, 4, 41, 41), offset)
    for shape in [(41, 43), (40, 40), (39, 39)]:
        with pytest.raises(IICnetError, match=f"cutouts are {shape[0]} x {shape[1]} pixels"):
            preprocess(torch.zeros(2, 3, *shape), offset)
    with pytest.raises(IICnetError, match=r"offset has shape \(3, 2\): expected \(2, 2\)"):
        preprocess(torch.zeros(2, 3, 41, 41), torch.zeros(3, 2))


def test_real_stars_are_in_the_middle(shared_data):
    """Real Atlas pixels, W1 8 to 12: the typical star is within an output pixel of the centre."""
    stars = np.load(shared_data / "real_stars.npz")
    pick = np.flatnonzero(stars["half"] == 0)[:64]
    images = stars["images"][pick, :3]
    x, y = stars["target_x"][pick], stars["target_y"][pick]
    inside = (np.abs(x - 21.5) <= 1) & (np.abs(y - 21.5) <= 1)
    images, x, y = images[inside], x[inside], y[inside]
    left, low = np.rint(x).astype(int) - 20, np.rint(y).astype(int) - 20
    pixels = np.stack([m[:, b : b + 41, a : a + 41] for m, a, b in zip(images, left, low, strict=True)])
    offset = np.stack([x - np.rint(x), y - np.rint(y)], axis=1).astype("f4")
    out = _apply(RECIPES["calibrated"], pixels.astype("f4"), offset)
    assert np.isfinite(out).all()
    core = np.clip(out[:, 0] - out[:, 0].max((1, 2), keepdims=True) * 0.7, 0, None)
    weight = core.sum((1, 2))
    centre = [(core.sum(axis) * np.arange(80)).sum(1) / weight for axis in (1, 2)]
    assert np.median(np.hypot(centre[0] - 39.5, centre[1] - 39.5)) < 1
