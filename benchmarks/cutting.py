"""Seconds and memory for cutting 41,000 sources out of a full AllWISE tile in three bands.

    python benchmarks/cutting.py [--sources 41000] [--bands W1 W2 W3]

Makes the tile in a temporary folder, then times in one process: handing out the memory of the result
alone, which on a fresh or virtual machine can cost more than the cutting; the whole of
`LocalFolder(...).fetch` (headers, coordinates to pixels, choice of the image, status); cutting by
`cut_image` alone; and, as a peer, a plain loop of slices over padded images. Seconds are the first run and
the best of three, and the best of its processor time, which a busy machine changes
less. The peak of the resident memory so far (Unix only) counts mapped pages of the images.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from astro_iicnet.allwise.bands import get_band
from astro_iicnet.allwise.tiles import TILE_SIZE
from astro_iicnet.cutouts import CUTOUT_SIZE, LocalFolder, cut_image


def atlas_header(band: str) -> fits.Header:
    header = fits.Header()
    header.update(
        CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CRVAL1=121.008858, CRVAL2=1.514444, EQUINOX=2000.0,
        CRPIX1=2048.0, CRPIX2=2048.0, CDELT1=-1.375 / 3600, CDELT2=1.375 / 3600, CROTA2=0.0,
        BAND=int(band[1]), COADDID="1210p015_ac51", MAGZP=get_band(band).zero_point, BUNIT="DN",
    )  # fmt: skip
    return header


def peak_memory() -> float:
    """GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def report(name: str, work: Callable[[], object]) -> None:
    wall, cpu = [], []
    for _ in range(3):
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    print(f"{name:<30}{wall[0]:>10.2f}{min(wall):>10.2f}{min(cpu):>10.2f}{peak_memory():>10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=41_000)
    parser.add_argument("--bands", nargs="+", default=["W1", "W2", "W3"])
    options = parser.parse_args()
    rng = np.random.default_rng(20130713)
    x, y = rng.uniform(0, TILE_SIZE - 1, (2, options.sources))
    with tempfile.TemporaryDirectory() as folder:
        for band in options.bands:
            image = rng.standard_normal((TILE_SIZE, TILE_SIZE), dtype=np.float32)
            fits.writeto(Path(folder, f"{band}.fits"), image, atlas_header(band))
        del image
        coords = SkyCoord(*WCS(atlas_header("W1")).wcs_pix2world(x, y, 0), unit="deg", frame="fk5").icrs
        shape = (options.sources, len(options.bands), CUTOUT_SIZE, CUTOUT_SIZE)

        def cut() -> None:
            pixels = np.empty(shape, dtype=np.float32)
            for number, band in enumerate(options.bands):
                image = fits.getdata(Path(folder, f"{band}.fits"), memmap=True)
                pixels[:, number], _ = cut_image(image, x, y)

        def fetch() -> None:
            cutouts = LocalFolder(folder).fetch(coords, tuple(options.bands))
            assert np.isin(cutouts.status, (0, 4)).all()

        def loop() -> None:
            reach = CUTOUT_SIZE // 2
            pixels = np.empty(shape, dtype=np.float32)
            for number, band in enumerate(options.bands):
                image = fits.getdata(Path(folder, f"{band}.fits"), memmap=False)
                image = np.pad(image.astype(np.float32), reach, constant_values=np.nan)
                corners = zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True)
                for row, (i, j) in enumerate(corners):
                    pixels[row, number] = image[j : j + CUTOUT_SIZE, i : i + CUTOUT_SIZE]

        print(
            f"{options.sources} sources, {' '.join(options.bands)}, output {np.prod(shape) * 4 / 1e9:.2f} GB"
        )
        print(f"{'':<30}{'first [s]':>10}{'best [s]':>10}{'CPU [s]':>10}{'peak [GB]':>10}")
        report("memory alone (numpy.full)", lambda: np.full(shape, np.nan, dtype=np.float32))
        report("LocalFolder(...).fetch", fetch)
        report("cut_image, bands into one", cut)
        report("loop of slices, padded image", loop)


if __name__ == "__main__":
    main()
