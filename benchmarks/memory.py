"""Memory of a long list: resident size of the process while many rows are classified.

    python benchmarks/memory.py [--n 100000] [--weights NAME_OR_PATH] [--images simulated]

Positions are drawn at random in the simulated field. The resident size is read each time a chunk of
pixels is asked for; after the first chunks it should stay where it is. Needs Linux (/proc).
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord

from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.cutouts import open_images
from astro_iicnet.cutouts.base import Cutouts
from astro_iicnet.cutouts.retrieve import CHUNK_SIZE


class Watched:
    """An image source that notes the resident size [MB] at every fetch."""

    def __init__(self, images: str) -> None:
        self._source = open_images(images)
        self.name, self.survey = self._source.name, self._source.survey
        self.sizes: list[float] = []

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Note the size, then fetch."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        return self._source.fetch(coords, bands)


def main() -> None:
    """Classify and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--weights")
    parser.add_argument("--images", default="simulated")
    options = parser.parse_args()
    rng = np.random.default_rng(3)
    centre = SkyCoord(150.12, 2.21, unit="deg")
    coords = centre.spherical_offsets_by(*(rng.uniform(-0.13, 0.13, (2, options.n)) << centre.ra.unit))
    images = Watched(options.images)
    start = time.perf_counter()
    table = IICnetClassifier(options.weights).classify(coords, images=images, progress=False)
    seconds = time.perf_counter() - start
    print(f"{len(table)} rows, {np.count_nonzero(table['iicnet_status'] == 'ok')} ok, {seconds:.0f} s")
    print(f"resident size [MB] when chunk n of {CHUNK_SIZE} rows is fetched:")
    for number in sorted({0, 1, 2, 4, *range(9, len(images.sizes), 10), len(images.sizes) - 1}):
        if number < len(images.sizes):
            print(f"  {number + 1:4d}  {images.sizes[number]:8.0f}")


if __name__ == "__main__":
    main()
