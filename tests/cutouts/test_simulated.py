"""The image source "simulated"."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import Cutout2D
from numpy.testing import assert_allclose

from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.simulated import SimulatedSky
from astro_iicnet.labels import Status
from astro_iicnet.simulation.field import example_sources, simulated_field


def test_it_cuts_what_astropy_cuts():
    example = example_sources()
    coords = SkyCoord(example["ra"], example["dec"], unit="deg")
    cutouts = SimulatedSky().fetch(coords, ("W1", "W3"))
    field = simulated_field()
    truth = Cutout2D(field.images[2], coords[7], 41, wcs=field.wcs)
    np.testing.assert_array_equal(cutouts.pixels[7, 1], truth.data)
    assert_allclose(
        cutouts.offset[7], np.array(truth.input_position_original) - truth.position_original, atol=1e-3
    )
    assert cutouts.bands == ("W1", "W3")
    assert_allclose(cutouts.magzp, [20.5, 18.0])


def test_each_row_has_its_own_status():
    coords = SkyCoord([150.12, 150.12, np.nan, 330.12, 0.0], [2.21, 12.0, 2.21, -2.21, -90.0], unit="deg")
    cutouts = open_images("simulated").fetch(coords, ("W1",))
    expected = [Status.OK, Status.NO_COVERAGE, Status.BAD_COORDINATES, Status.NO_COVERAGE, Status.NO_COVERAGE]
    assert cutouts.status.tolist() == expected
    assert np.isnan(cutouts.pixels[1:]).all()
    assert cutouts.tile.tolist() == ["simulated", "", "", "", ""]


def test_galactic_coordinates_and_no_coordinates():
    coords = SkyCoord([150.1201], [2.2103], unit="deg")
    source = SimulatedSky()
    np.testing.assert_allclose(
        source.fetch(coords.galactic, ("W2",)).offset, source.fetch(coords, ("W2",)).offset, atol=1e-4
    )
    assert len(source.fetch(coords[:0], ("W1", "W2", "W3"))) == 0


def test_a_target_at_the_edge_has_bad_pixels():
    field = simulated_field()
    edge = SkyCoord(*field.wcs.wcs_pix2world([[0.0, 300.0], [20.0, 300.0]], 0).T, unit="deg")
    assert SimulatedSky().fetch(edge, ("W1",)).status.tolist() == [Status.BAD_PIXELS, Status.OK]
