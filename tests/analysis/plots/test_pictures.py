"""Pictures: hue, orientation, what is missing."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from astro_iicnet.allwise.bands import BANDS, zero_points
from astro_iicnet.analysis.plots import (
    CLASS_COLOURS,
    compose_rgb,
    plot_attribution,
    plot_field,
    plot_maps,
    plot_montage,
    plot_rgb_histogram,
)
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.exceptions import IICnetError, ImagesError
from astro_iicnet.simulation.field import example_sources, simulated_field


@pytest.fixture
def ax():
    return Figure().add_subplot()


def make_cutouts(pixels, bands=("W1", "W2", "W3")):
    n = len(pixels)
    status = np.zeros(n, np.uint8)
    return Cutouts(
        pixels.astype(np.float32), np.zeros((n, 2)), bands, zero_points(bands), status, np.full(n, "t")
    )


@pytest.fixture
def pixels(rng):
    """Noise on a background, as AllWISE has it."""
    noise = np.array([BANDS[band].noise for band in ("W1", "W2", "W3")])[:, None, None]
    return 100 + noise * rng.normal(size=(3, 3, 41, 41))


def test_hue_follows_the_bands(pixels):
    pixels[0, 2, 19:22, 19:22] += 50  # in W3 alone: red
    pixels[1, 0, 19:22, 19:22] += 50  # in W1 alone: blue
    pictures = compose_rgb(make_cutouts(pixels))
    assert pictures.shape == (3, 41, 41, 3)
    assert pictures.dtype == np.uint8
    red, blue = pictures[0, 20, 20].astype(int), pictures[1, 20, 20].astype(int)
    assert red[0] > 240
    assert red[0] - red[2] > 150
    assert blue[2] - blue[0] > 150
    # An empty image stays dark.
    assert np.median(pictures[2]) < 80
    paper = compose_rgb(make_cutouts(pixels), channels=("W1", "W2", "W3"))
    np.testing.assert_array_equal(paper, pictures[..., ::-1])


def test_zero_points_are_allowed_for(pixels):
    cutouts = make_cutouts(pixels)
    other = Cutouts(
        (pixels * 10**0.4).astype(np.float32), cutouts.offset, cutouts.bands, cutouts.magzp + 1,
        cutouts.status, cutouts.tile,
    )  # fmt: skip
    difference = compose_rgb(cutouts).astype(int) - compose_rgb(other)
    assert np.abs(difference).max() <= 1


def test_missing_pixels_are_grey(pixels):
    pixels[0, :, :5] = np.nan
    pixels[1] = np.nan
    pictures = compose_rgb(make_cutouts(pixels))
    for part in (pictures[0, :5], pictures[1]):
        assert len(np.unique(part)) == 1
    assert compose_rgb(make_cutouts(pixels[:0])).shape == (0, 41, 41, 3)


def test_band_that_is_not_there(pixels):
    with pytest.raises(ImagesError, match="W1, W2: give three bands"):
        compose_rgb(make_cutouts(pixels[:, :2], ("W1", "W2")))


def test_montage(ax, pixels):
    probabilities = [[0.1, 0.7, 0.2], [0.9, 0.05, 0.05], [np.nan] * 3]
    cutouts = make_cutouts(pixels)
    assert plot_montage(cutouts, probabilities=probabilities, titles="abc", n_columns=2, ax=ax) is ax
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["quasar 0.70", "a", "galaxy 0.90", "b", "no class", "c"]
    assert to_rgb(ax.lines[0].get_color()) == to_rgb(CLASS_COLOURS["quasar"])
    extents = [image.get_extent() for image in ax.images]
    assert extents[2][0] == extents[0][0]
    assert extents[2][3] < extents[0][2]
    # North stays up in a tile.
    assert all(image.origin == "lower" for image in ax.images)


def test_montage_refuses_other_lengths(ax, pixels):
    with pytest.raises(IICnetError, match="3 cutouts"):
        plot_montage(make_cutouts(pixels), titles=["one"], ax=ax)
    with pytest.raises(IICnetError, match="3 cutouts"):
        plot_montage(make_cutouts(pixels), probabilities=np.eye(3)[:2], ax=ax)


def test_montage_of_nothing(ax, pixels):
    plot_montage(make_cutouts(pixels[:0]), ax=ax)


def test_rgb_histogram(ax):
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    pictures[..., 0] = 255
    plot_rgb_histogram(pictures, ax=ax)
    red, _, blue = (patch.get_path().vertices for patch in ax.patches)
    assert red[red[:, 1] > 0.5, 0].min() == 252
    assert blue[blue[:, 1] > 0.5, 0].max() == 4
    with pytest.raises(IICnetError, match="red, green and blue"):
        plot_rgb_histogram(np.zeros((4, 4)), ax=ax)


def test_field(ax):
    field, row = simulated_field(), example_sources()[3]
    position = SkyCoord(row["ra"], row["dec"], unit="deg")
    assert plot_field(field, position, width=600, ax=ax) is ax
    assert ax.get_xlim() == (300, -300)
    left, right, bottom, top = ax.images[0].get_extent()
    # A pixel of the field, its corner at 0: 1.375 arcsec a pixel, east to the left.
    x, y = field.wcs.world_to_pixel(position)
    assert (left, bottom) == (pytest.approx((x + 0.5) * 1.375), pytest.approx(-(y + 0.5) * 1.375))
    assert left - right == pytest.approx(736 * 1.375)
    assert np.ptp(ax.lines[0].get_xdata()) == 50
    with pytest.raises(ImagesError, match="outside the simulated field"):
        plot_field(field, SkyCoord(10, 10, unit="deg"), ax=ax)


def test_maps(ax, rng):
    plot_maps({"conv1": rng.normal(size=(40, 40)), "RFB": rng.normal(size=(20, 20))}, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["conv1", "RFB"]
    assert [image.get_array().shape for image in ax.images] == [(40, 40), (20, 20)]


def test_attribution_has_white_at_zero_and_one_scale(ax, rng):
    values = np.zeros((2, 10, 10))
    values[0, 5, 5], values[1, 2, 2] = 3, -5
    assert plot_attribution(values, ("W1", "W2"), ax=ax) is ax
    assert [text.get_text() for text in ax.texts] == ["W1", "W2"]
    first, second = ax.images
    assert first.get_clim() == second.get_clim()
    low, high = first.get_clim()
    assert low == -high
    red, blue = first.to_rgba([[3.0]])[0, 0], second.to_rgba([[-5.0]])[0, 0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    plot_attribution(np.zeros((2, 10, 10)), ("W1", "W2"), ax=ax)
    with pytest.raises(IICnetError, match=r"expected \(2, H, W\)"):
        plot_attribution(values[0], ("W1", "W2"), ax=ax)
