import numpy as np
import pytest
from astropy.nddata import Cutout2D
from scipy.ndimage import map_coordinates

from astro_iicnet.cutouts import cut_image
from astro_iicnet.exceptions import ImagesError


def peer(image: np.ndarray, x: float, y: float, size: int) -> np.ndarray:
    return Cutout2D(
        image, (np.floor(x + 0.5), np.floor(y + 0.5)), size, mode="partial", fill_value=np.nan
    ).data


@pytest.mark.parametrize("size", [1, 5, 41])
@pytest.mark.parametrize("shape", [(120, 90), (30, 200), (7, 7)])
def test_same_as_cutout2d(rng, shape, size):
    image = rng.normal(size=shape)
    x, y = rng.uniform(-0.4, shape[1] - 0.6, 400), rng.uniform(-0.4, shape[0] - 0.6, 400)
    pixels, _ = cut_image(image, x, y, size)
    expected = np.array([peer(image, *position, size) for position in zip(x, y, strict=True)])
    assert np.array_equal(pixels, expected.astype(np.float32), equal_nan=True)


def test_offset_points_at_the_target(rng):
    column, row = np.meshgrid(np.arange(100.0), np.arange(80.0))
    x, y = rng.uniform(25, 50, (2, 50))
    for image, truth in ((column, x), (row, y)):
        pixels, offset = cut_image(image, x, y)
        assert abs(offset).max() <= 0.5
        at_target = [
            map_coordinates(cut, [[20 + dy], [20 + dx]], order=1)[0]
            for cut, (dx, dy) in zip(pixels, offset, strict=True)
        ]
        assert at_target == pytest.approx(truth, abs=1e-4)


@pytest.mark.parametrize("value", [10.5, 10.4999999999, 10.5000000001, -0.5])
def test_offset_on_the_border_of_a_pixel(value):
    _, offset = cut_image(np.zeros((50, 50)), [value], [10.0])
    assert abs(offset).max() <= 0.5


def test_types_and_byte_order(rng):
    image = rng.uniform(0, 100, (60, 60))
    reference, _ = cut_image(image.astype(np.float32), [30.2, 2], [29.7, 58])
    for kind in (">f4", ">f8", "<f8"):
        pixels, offset = cut_image(image.astype(kind), [30.2, 2], [29.7, 58])
        assert pixels.dtype == np.dtype("=f4")
        assert offset.dtype == np.dtype("=f4")
        assert np.array_equal(pixels, reference, equal_nan=True)
    pixels, _ = cut_image(np.arange(3600, dtype=">i2").reshape(60, 60), [0], [0], 3)
    assert pixels[0, 1].tolist()[1:] == [0.0, 1.0]


def test_memory_map_is_left_alone(tmp_path, rng):
    image = rng.normal(size=(100, 100)).astype(">f4")
    image.tofile(tmp_path / "image")
    mapped = np.memmap(tmp_path / "image", ">f4", "r", shape=(100, 100))
    pixels, _ = cut_image(mapped, [50, 3], [50, 3])
    assert type(pixels) is np.ndarray
    pixels[:] = 0
    assert np.array_equal(mapped, image)


def test_outside_and_missing_positions():
    x, y = [-500, 1e300, np.nan, np.inf, 20, -20.6, -20.4], [20, 20, 20, 20, 20, 20, 20]
    pixels, offset = cut_image(np.ones((41, 41)), x, y)
    assert np.isfinite(pixels).mean(axis=(1, 2)) == pytest.approx([0, 0, 0, 0, 1, 0, 1 / 41])
    assert np.isfinite(offset).all()
    assert not offset[2:4].any()


def test_nan_in_the_image_stays():
    image = np.ones((50, 50))
    image[25, 26] = np.nan
    pixels, _ = cut_image(image, 25, 25)
    assert np.argwhere(np.isnan(pixels)).tolist() == [[0, 20, 21]]


def test_no_positions_and_no_pixels():
    assert cut_image(np.ones((50, 50)), [], [])[0].shape == (0, 41, 41)
    assert np.isnan(cut_image(np.ones((0, 5)), [1], [1])[0]).all()


def test_order_is_kept_over_many_chunks(rng):
    image = np.arange(300.0 * 300).reshape(300, 300)
    column, row = rng.integers(0, 300, (2, 2000))
    pixels, _ = cut_image(image, column, row, 3)
    assert np.array_equal(pixels[:, 1, 1], image[row, column])


@pytest.mark.parametrize(("image", "size"), [(np.ones(9), 3), (np.ones((2, 9, 9)), 3), (np.ones((9, 9)), 4)])
def test_bad_arguments(image, size):
    with pytest.raises(ImagesError, match="expected"):
        cut_image(image, [1], [1], size)
