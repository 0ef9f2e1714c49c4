"""From the local stand-in of the archives to classes: all ways agree, whatever happens to the store."""

from pathlib import Path

import numpy as np
import pytest
import torch
from archive_server import ArchiveServer
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from astro_iicnet import IICnetClassifier
from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile
from astro_iicnet.config import conf
from astro_iicnet.cutouts.irsa import IrsaArchive
from astro_iicnet.exceptions import StoreWarning
from astro_iicnet.results import PROBABILITY_COLUMNS

# In a tile, where two overlap, at RA 0, near the poles and at one, and where the best tile ends.
SKY = SkyCoord(
    [150.12, 121.76, 0.0, 359.99999, 17.0, 0.0, 269.8272979],
    [2.21, 1.5, 10.0, -20.0, 89.2, 90.0, -87.0595542],
    unit="deg",
)


@pytest.fixture(scope="module")
def classifier() -> IICnetClassifier:
    return IICnetClassifier(device="cpu")


def probabilities(table: Table) -> np.ndarray:
    return np.stack([np.ma.filled(table[name], np.nan) for name in PROBABILITY_COLUMNS], axis=1)


def write_parts(server: ArchiveServer, folder: Path) -> None:
    """Files around each position, as a user might have them."""
    for row, tile in enumerate(best_tile(SKY)[0].tolist()):
        position = skycoord_to_pixel(SKY[row], WCS(server.header(tile, "W1")), mode="wcs")
        (x0, y0), (x1, y1) = (np.clip(np.rint(position).astype(int) + d, 0, TILE_SIZE) for d in (-40, 40))
        (folder / str(row)).mkdir(parents=True)
        for band in ("W1", "W2", "W3"):
            server.write_tile(folder / str(row), tile, band, (y0, y1, x0, x1))


def test_probabilities_agree_whichever_way_the_pixels_came(archive_server, classifier, tmp_path):
    write_parts(archive_server, tmp_path / "folder")
    by_cutouts = classifier.classify(SKY, images="irsa", progress=False)
    with conf.set_temp("tile_threshold", 1), conf.set_temp("cache_size", 0):
        by_rows = classifier.classify(SKY, images="irsa", progress=False)
    from_aws = classifier.classify(SKY, images="aws", progress=False)
    from_folder = classifier.classify(SKY, images=tmp_path / "folder", progress=False)
    expected = probabilities(by_cutouts)
    assert np.isfinite(expected).all()
    for table in (by_rows, from_aws, from_folder):
        assert table["iicnet_status"].tolist() == ["ok"] * len(SKY)
        assert probabilities(table) == pytest.approx(expected, abs=1e-5)


def test_a_source_of_the_archive_is_in_the_middle_of_the_input(archive_server, classifier):
    coords = SkyCoord([150.4321, 17.0, 0.0003], [2.3456, 89.2, -20.0], unit="deg", frame="fk5")
    for position in coords:
        archive_server.add_source(position.ra.deg, position.dec.deg, 1e6)
    cutouts = IrsaArchive().fetch(coords.icrs, ("W1", "W2", "W3"))
    weights = classifier.weights_
    pixels, offset = torch.from_numpy(cutouts.pixels), torch.from_numpy(cutouts.offset)
    images = weights.preprocess(pixels, offset).numpy()
    core = np.clip(images - 0.7 * images.max(axis=(2, 3), keepdims=True), 0, None)
    size = images.shape[-1]
    axis = (np.arange(size) - (size - 1) / 2) * 80 / size  # in units of 50 arcsec / 80
    for direction in (2, 3):
        profile = core.sum(axis=5 - direction)
        assert profile @ axis / profile.sum(axis=2) == pytest.approx(0, abs=0.05)


def test_without_a_place_for_the_store_the_work_goes_on(archive_server, classifier, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with conf.set_temp("cache_dir", str(tmp_path / "file" / "store")):
        with pytest.warns(StoreWarning, match="store of cutouts") as caught:
            table = classifier.classify(SKY, images="irsa", progress=False)
    assert len(caught) == 1
    assert table["iicnet_status"].tolist() == ["ok"] * len(SKY)
