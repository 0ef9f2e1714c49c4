"""The simulated field and its example list."""

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.testing import assert_allclose
from scipy.ndimage import center_of_mass

from astro_iicnet.labels import CLASSES
from astro_iicnet.simulation.field import FIELD_SIZE, example_sources, simulated_field


def test_field_is_an_atlas_like_image():
    field = simulated_field()
    assert field.images.shape == (4, FIELD_SIZE, FIELD_SIZE)
    assert field.images.dtype == np.float32
    assert np.isfinite(field.images).all()
    assert_allclose(field.wcs.proj_plane_pixel_scales()[0].to_value("arcsec"), 1.375)
    east = field.wcs.wcs_pix2world([[0, 300]], 0)[0, 0]
    assert east > field.wcs.wcs.crval[0]


def test_bright_sources_lie_at_their_listed_positions():
    field = simulated_field()
    bright = field.sources[(field.sources["w1"] < 15) & (field.sources["class"] != "galaxy")]
    assert len(bright) >= 5
    x, y = field.wcs.wcs_world2pix(bright["ra"], bright["dec"], 0)
    image = field.images[0] - np.median(field.images[0])
    shifts = []
    for column, row in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        stamp = np.clip(image[row - 4 : row + 5, column - 4 : column + 5], 0, None)
        shifts.append(np.array(center_of_mass(stamp)) - 4 + [row, column])
    shift = np.hypot(*(np.array(shifts) - np.stack([y, x], axis=1)).T) * 1.375
    assert np.median(shift) < 0.6
    assert shift.max() < 2.6


def test_example_list_holds_every_class_and_positions_outside():
    example = example_sources()
    inside = example[~example["true_class"].mask]
    assert len(example) - len(inside) == 3
    assert set(inside["true_class"]) == set(CLASSES)
    assert np.unique(inside["true_class"], return_counts=True)[1].tolist() == [20, 20, 20]
    coords = SkyCoord(example["ra"], example["dec"], unit="deg")
    nearest = coords.match_to_catalog_sky(coords, nthneighbor=2)[1].arcsec
    assert nearest.min() > 36
    field = simulated_field()
    x, y = field.wcs.wcs_world2pix(example["ra"], example["dec"], 0)
    margin = np.minimum.reduce([x, y, FIELD_SIZE - 1 - x, FIELD_SIZE - 1 - y])
    assert margin[: len(inside)].min() > 17
    assert margin[len(inside) :].max() < -25


def test_the_field_is_the_same_every_time():
    first = simulated_field().images
    simulated_field.cache_clear()
    np.testing.assert_array_equal(simulated_field().images, first)
