import numpy as np
import pytest

from astro_iicnet.cutouts import CUTOUT_SIZE, Cutouts
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.labels import Status


def fields(n: int = 3, n_bands: int = 2) -> dict:
    return {
        "pixels": np.arange(n * n_bands * CUTOUT_SIZE**2, dtype=np.float32).reshape(
            n, n_bands, CUTOUT_SIZE, CUTOUT_SIZE
        ),
        "offset": np.zeros((n, 2), np.float32),
        "bands": ("W1", "W2")[:n_bands],
        "magzp": np.array([20.5, 19.5])[:n_bands],
        "status": np.zeros(n, np.uint8),
        "tile": np.array([f"tile{i}" for i in range(n)], dtype="U13"),
    }


def test_length_and_text():
    given = fields()
    given["status"][1] = Status.NO_COVERAGE
    cutouts = Cutouts(**given)
    assert len(cutouts) == 3
    assert repr(cutouts) == "<Cutouts: 3 sources (2 ok), W1/W2, 41 x 41 px>"


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0]), np.array([True, False, True]), slice(0, 0)])
def test_rows_stay_together(rows):
    whole = Cutouts(**fields())
    part = whole[rows]
    assert np.array_equal(part.pixels, whole.pixels[rows])
    assert np.array_equal(part.tile, whole.tile[rows])
    assert part.bands == whole.bands


def test_no_sources():
    assert len(Cutouts(**fields(n=0))) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pixels", np.zeros((3, 2, 41))),
        ("pixels", np.zeros((3, 2, 41, 40))),
        ("pixels", np.zeros((3, 1, 41, 41))),
        ("offset", np.zeros((3, 3))),
        ("magzp", np.zeros(3)),
        ("status", np.zeros(2)),
        ("tile", np.array(["a"])),
    ],
)
def test_shapes_must_fit(name, value):
    with pytest.raises(ValueError, match="has shape"):
        Cutouts(**{**fields(), name: value})


def test_select_bands():
    cutouts = Cutouts(**fields(n_bands=2))
    first, second = cutouts.bands
    assert cutouts.select_bands(list(cutouts.bands)) is cutouts
    turned = cutouts.select_bands([second, first])
    assert turned.bands == (second, first)
    np.testing.assert_array_equal(turned.pixels, cutouts.pixels[:, ::-1])
    np.testing.assert_array_equal(turned.magzp, cutouts.magzp[::-1])
    assert len(cutouts.select_bands([second])) == len(cutouts)
    with pytest.raises(IICnetError, match="W9 is missing"):
        cutouts.select_bands([first, "W9"])
