"""Figures of samples: which point is where, in which colour."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from astro_iicnet.analysis.plots import (
    CLASS_COLOURS,
    plot_colour_plane,
    plot_probabilities,
    plot_sky,
    plot_snr,
)
from astro_iicnet.exceptions import IICnetError


@pytest.fixture
def ax():
    return Figure().add_subplot()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def points(ax, colour):
    """Positions of all points of a colour."""
    found = [
        np.asarray(group.get_offsets())
        for group in ax.collections
        if len(group.get_facecolor()) and np.allclose(group.get_facecolor()[0, :3], to_rgb(colour))
    ]
    return np.concatenate(found) if found else np.empty((0, 2))


# Machado, Oliveira & Fernandes 2009, severity 1, in linear RGB.
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
GREY = [[0.2126, 0.7152, 0.0722]] * 3


@pytest.mark.parametrize("vision", [np.eye(3), DEUTERANOPIA, PROTANOPIA, GREY])
def test_class_colours_can_be_told_apart(vision):
    linear = np.array([to_rgb(colour) for colour in CLASS_COLOURS.values()]) ** 2.2
    seen = np.clip(linear @ np.transpose(vision), 0, 1) ** (1 / 2.2)
    lightness = 100 * seen @ [0.2126, 0.7152, 0.0722]
    distances = np.linalg.norm(100 * (seen[:, None] - seen), axis=2)[np.triu_indices(3, 1)]
    assert distances.min() > 20
    assert np.diff(np.sort(lightness)).min() > 10


def test_marked_sources_are_ringed(ax):
    marked = [False, True, True]
    plot_colour_plane([0.1, 1.2, np.nan], [3.0, 3.1, 1.0], [0, 1, 2], marked=marked, ax=ax)
    (rings,) = [group for group in ax.collections if group.get_label() == "marked (1)"]
    np.testing.assert_allclose(rings.get_offsets(), [[3.1, 1.2]])
    with pytest.raises(IICnetError, match="marked 2"):
        plot_colour_plane([0.1, 1.2, 0], [3.0, 3.1, 1.0], [0, 1, 2], marked=[True, False], ax=ax)


def test_colour_plane(ax):
    w1_w2, w2_w3 = [0.1, 1.2, 0.0, np.nan, 0.5], [3.0, 3.1, 0.1, 1.0, 2.0]
    classes = np.ma.array(["galaxy", "quasar", "star", "star", ""], mask=[0, 0, 0, 0, 1])
    assert plot_colour_plane(w1_w2, w2_w3, classes, ax=ax) is ax
    assert legend(ax) == ["no class (1)", "galaxy (1)", "quasar (1)", "star (1)"]
    np.testing.assert_allclose(points(ax, CLASS_COLOURS["quasar"]), [[3.1, 1.2]])
    np.testing.assert_allclose(points(ax, CLASS_COLOURS["star"]), [[0.1, 0.0]])


def test_colour_plane_with_cuts(ax, rng):
    y, x = rng.uniform(-0.5, 2, 300), rng.uniform(-1, 5, 300)
    cuts = {"Stern 2012": lambda w1_w2, w2_w3: w1_w2 >= 0.8}
    plot_colour_plane(y, x, np.zeros(300, int), cuts=cuts, ax=ax)
    assert "Stern 2012" in legend(ax)
    paths = [path for group in ax.collections for path in group.get_paths() if len(path.vertices) > 500]
    (border,) = paths
    np.testing.assert_allclose(border.vertices[:, 1], 0.8, atol=0.01)


def test_colour_plane_refuses(ax):
    with pytest.raises(IICnetError, match="Lengths differ"):
        plot_colour_plane([1, 2], [1, 2], ["star"], ax=ax)
    with pytest.raises(IICnetError, match="Did you mean 'star'"):
        plot_colour_plane([1], [1], ["stars"], ax=ax)
    with pytest.raises(IICnetError, match="Label 3"):
        plot_colour_plane([1], [1], [3], ax=ax)


def test_nothing_to_show(ax):
    nothing = SkyCoord([], [], unit="deg")
    plot_sky(nothing, np.array([], int), ax=ax)
    plot_colour_plane([], [], np.array([], int), ax=ax)
    plot_probabilities(np.empty((0, 3)), ax=ax)
    plot_snr(np.empty((0, 1)), ["W1"], ax=ax)


def test_snr(ax):
    plot_snr([[5.0, -1.0], [50.0, np.nan], [50.0, 2.0]], ("W1", "W3"), ax=ax)
    assert legend(ax) == ["W1", "W3"]
    shares = [patch.get_path().vertices[:, 1].max() for patch in ax.patches]
    assert shares == pytest.approx([2 / 3, 1 / 2])
    with pytest.raises(IICnetError, match="for W1"):
        plot_snr([5.0], ("W1",), ax=ax)


def test_probabilities(ax):
    rows = [[0.9, 0.1, 0.0], [0.0, 0.98, 0.02], [0.01, 0.97, 0.02], [np.nan] * 3]
    plot_probabilities(rows, ax=ax)
    heights = {
        CLASS_COLOURS[name]: sum(patch.get_height() for patch in group)
        for name, group in zip(("galaxy", "quasar", "star"), ax.containers, strict=True)
    }
    assert list(heights.values()) == [1, 2, 0]


def test_field_has_east_to_the_left_and_no_gap_at_0_h(ax):
    coords = SkyCoord([359.9, 0.1, np.nan], [10, 10.2, 1], unit="deg")
    assert plot_sky(coords, ["galaxy", "star", "star"], ax=ax) is ax
    assert ax.xaxis_inverted()
    galaxy, star = (points(ax, CLASS_COLOURS[name])[0] for name in ("galaxy", "star"))
    assert star[0] - galaxy[0] == pytest.approx(0.2)
    assert "star (1)" in legend(ax)


def test_whole_sky():
    ax = Figure().add_subplot(projection="mollweide")
    coords = SkyCoord([90, 270], [0, 45], unit="deg")
    plot_sky(coords, [0, 1], ax=ax)
    # East is to the left: right ascension grows towards negative x, 180 deg in the middle.
    np.testing.assert_allclose(points(ax, CLASS_COLOURS["galaxy"]), np.radians([[90, 0]]))
    np.testing.assert_allclose(points(ax, CLASS_COLOURS["quasar"]), np.radians([[-90, 45]]))


@pytest.mark.parametrize(
    ("ra", "dec", "name"),
    [
        ([10, 11], [0, 1], "rectilinear"),
        ([0, 120, 240], [0, 0, 0], "mollweide"),
        ([0, 180], [89, 89], "rectilinear"),
    ],
)
def test_map_is_chosen_by_extent(ra, dec, name):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    figure = plt.figure()
    ax = plot_sky(SkyCoord(ra, dec, unit="deg"), np.zeros(len(ra), int))
    assert ax.name == name
    figure.canvas.draw()
    plt.close(figure)
