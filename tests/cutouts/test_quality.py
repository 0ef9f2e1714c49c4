import numpy as np
import pytest

from astro_iicnet.cutouts.quality import core_is_missing


def holed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    pixels = np.zeros((1, 2, 41, 41), np.float32)
    pixels[0, 1, y, x] = np.nan
    return pixels


def test_complete_and_empty():
    pixels = np.stack([np.zeros((2, 41, 41)), np.full((2, 41, 41), np.nan)]).astype(np.float32)
    assert core_is_missing(pixels, np.zeros((2, 2))).tolist() == [False, True]
    assert core_is_missing(pixels[:0], np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize(("n", "bad"), [(0, False), (2, False), (3, True), (9, True)])
def test_more_than_a_tenth_of_the_disc(n, bad):
    # 25 pixel centres lie within 4 arcsec of the middle of a pixel.
    x, y = np.meshgrid([19, 20, 21], [19, 20, 21])
    assert core_is_missing(holed(x.ravel()[:n], y.ravel()[:n]), np.zeros((1, 2)))[0] == bad


def test_missing_pixels_elsewhere_do_not_count():
    pixels = np.full((1, 1, 41, 41), np.nan, np.float32)
    y, x = np.indices((41, 41)) - 20
    pixels[0, 0][np.hypot(x, y) * 1.375 <= 4] = 1
    assert not core_is_missing(pixels, np.zeros((1, 2)))[0]


def test_disc_follows_the_target():
    column = holed(np.full(41, 23), np.arange(41))  # 4.1 arcsec east or west of the middle
    assert not core_is_missing(column, np.array([[0.0, 0.0]]))[0]
    assert not core_is_missing(column, np.array([[-0.5, 0.0]]))[0]
    assert core_is_missing(column, np.array([[0.5, 0.0]]))[0]
