"""Retrieval from archives that fail, measured and checked against a local server in a process of its own.

    python benchmarks/retrieval.py [--n 10000] [--parts faults failures threshold cache] [--images irsa]

The server is the one of the tests (tests/archive_server): IRSA and its AWS copy with files of true size. Its
bandwidth is that of this machine, so requests and bytes are what carries over to the real archives; seconds
are not. Half of the positions lie anywhere on the sky, the others in crowded tiles, where tiles
overlap, or twice in the list; one in a hundred is missing.

faults     N positions, a tenth of the answers of which go wrong in every way that the server knows. Checked:
           order, status, each pixel against what the server has, and the connections open at once.
failures   The same positions; all requests for W2 of one tile in twenty fail for good. Checked: the
           rows of these tiles, and no others, are retrieval_failed.
threshold  Requests and bytes for k sources in one tile, by cutouts and by rows, and the seconds that they
           would take at an archive with the given delays and bandwidth.
cache      A second run on a full store: no request, and the speed of classify against the same cutouts in
           memory. Also the first run against the plan that --dry-run prints.

Ends with 1 if a check fails.
"""

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
import time
import urllib.request
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from astro_iicnet.allwise.tiles import TILE_SIZE, best_tile, tile_grid
from astro_iicnet.classifier import IICnetClassifier
from astro_iicnet.config import conf
from astro_iicnet.cutouts import CUTOUT_SIZE, Cutouts, open_images, plan
from astro_iicnet.cutouts.retrieve import retrieve
from astro_iicnet.exceptions import RetrievalWarning
from astro_iicnet.labels import Status

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from archive_server import ArchiveServer, Fault, random_faults  # noqa: E402

BANDS = ("W1", "W2", "W3")
FOR_GOOD = (Fault.SERVER_ERROR, Fault.RESET, Fault.TRUNCATED, Fault.HTML, Fault.FORBIDDEN)
SOURCES_IN_TILE = (1, 2, 5, 10, 20, 50, 100, 200, 400)


def positions(n: int, rng: np.random.Generator) -> SkyCoord:
    """A list with all that makes retrieval difficult, in random order."""
    tiles = tile_grid()
    centres = SkyCoord(tiles["ra"], tiles["dec"])
    anywhere = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    crowded = in_tiles(
        centres[rng.choice(len(tiles), max(1, n // 1000), replace=False)], 2 * n // 5, 1900, rng
    )
    overlap = in_tiles(centres[rng.choice(len(tiles), n // 10)], n // 10, 0, rng)
    n_missing, n_twice = n // 100, n // 25
    n_anywhere = n - len(crowded) - len(overlap) - n_missing - n_twice
    ra = [*anywhere[0][:n_anywhere], *crowded.ra.deg, *overlap.ra.deg]
    dec = [*anywhere[1][:n_anywhere], *crowded.dec.deg, *overlap.dec.deg]
    twice = rng.choice(len(ra), n_twice)
    missing = [np.nan] * n_missing
    ra, dec = np.array([*ra, *np.take(ra, twice), *missing]), np.array([*dec, *np.take(dec, twice), *missing])
    order = rng.permutation(n)
    return SkyCoord(ra[order], dec[order], unit="deg")


def in_tiles(centres: SkyCoord, n: int, reach: float, rng: np.random.Generator) -> SkyCoord:
    """Positions within ``reach`` px of the centres of tiles; with 0, on their edges."""
    x, y = rng.uniform(-1, 1, (2, n)) * (reach or TILE_SIZE / 2)
    if not reach:
        x = np.copysign(TILE_SIZE / 2 - rng.uniform(0, 60, n), x)
    of = np.arange(n) % len(centres)
    pixel = 1.375 / 3600
    return centres[of].spherical_offsets_by(x * pixel * centres.ra.unit, y * pixel * centres.dec.unit)


def fails_for_good(coadd_id: str) -> bool:
    return zlib.crc32(coadd_id.encode()) % 20 == 0


def plan_for_good(request: str, attempt: int) -> Fault | None:
    tile = re.search(r"/([0-9]{4}[pm][0-9]{3}_ac51)-w2-", request)
    if tile is None or not fails_for_good(tile[1]):
        return None
    return FOR_GOOD[zlib.crc32(tile[1].encode()) // 20 % len(FOR_GOOD)]


def serve(pipe: Connection, part: str, options: argparse.Namespace) -> None:
    """The process of the server."""
    faults = {
        "faults": random_faults(options.faults, options.seed, options.max_per_url),
        "failures": plan_for_good,
    }.get(part)
    with ArchiveServer(faults, options.latency, retry_after=options.retry_after) as server:
        for band in BANDS:
            server.pixels("1210p015_ac51", band, 0, 1, 0, 1)  # makes the sky
        pipe.send(server.settings())
        pipe.recv()


class Server:
    """The server as its client sees it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def statistics(self) -> dict:
        """Counters since the last call."""
        with urllib.request.urlopen(f"{self._url}/statistics?reset") as response:
            return json.load(response)


@contextmanager
def serving(part: str, options: argparse.Namespace) -> Iterator[Server]:
    """A server in a process of its own, to which the settings lead, and an empty store."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, part, options))
    process.start()
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            settings = {**ours.recv(), "cache_dir": folder}
            for name, value in settings.items():
                stack.enter_context(conf.set_temp(name, value))
            yield Server(settings["irsa_server"])
    finally:
        ours.send("stop")
        process.join()


def fetch(images: str, coords: SkyCoord) -> tuple[Cutouts, float]:
    """All cutouts in the order of the list, and the seconds it took."""
    n = len(coords)
    cutouts = Cutouts(
        np.full((n, len(BANDS), CUTOUT_SIZE, CUTOUT_SIZE), np.nan, np.float32),
        np.zeros((n, 2), np.float32), BANDS, np.full(len(BANDS), np.nan),
        np.full(n, 99, np.uint8), np.full(n, "", "U13"),
    )  # fmt: skip
    start = time.perf_counter()
    for rows, chunk in retrieve(open_images(images), coords, BANDS, progress=sys.stderr.isatty()):
        for name in ("pixels", "offset", "status", "tile"):
            getattr(cutouts, name)[rows] = getattr(chunk, name)
    return cutouts, time.perf_counter() - start


def count_wrong(cutouts: Cutouts, coords: SkyCoord) -> int:
    """Rows whose tile, offset or pixels are not those that the server has, by way of astropy's WCS."""
    truth = ArchiveServer()
    served = np.flatnonzero(cutouts.status == Status.OK)
    wrong = (cutouts.status == Status.OK) & (cutouts.tile != best_tile(coords)[0])
    served = served[~wrong[served]]
    fk5 = coords.fk5
    reach = CUTOUT_SIZE // 2
    for tile in np.unique(cutouts.tile[served]):
        rows = served[cutouts.tile[served] == tile]
        wcs = WCS(truth.header(tile, "W1"))
        position = np.stack(wcs.wcs_world2pix(fk5.ra.deg[rows], fk5.dec.deg[rows], 0), axis=1)
        middle = np.floor(position + 0.5).astype(int)
        wrong[rows] |= np.abs(position - middle - cutouts.offset[rows]).max(axis=1) > 1e-5
        for row, (x, y) in zip(rows, middle, strict=True):
            for number, band in enumerate(BANDS):
                expected = np.full((CUTOUT_SIZE, CUTOUT_SIZE), np.nan, np.float32)
                x0, y0 = x - reach, y - reach
                left, low = max(0, -x0), max(0, -y0)
                right, high = min(CUTOUT_SIZE, TILE_SIZE - x0), min(CUTOUT_SIZE, TILE_SIZE - y0)
                box = y0 + low, y0 + high, x0 + left, x0 + right
                expected[low:high, left:right] = truth.pixels(tile, band, *box)
                wrong[row] |= not np.array_equal(cutouts.pixels[row, number], expected, equal_nan=True)
    return int(wrong.sum())


def report(name: str, n: int, seconds: float, counts: dict) -> None:
    print(
        f"{name:<30}{n / seconds:>10.1f} sources/s {counts['n_requests']:>8} requests "
        f"{counts['n_bytes'] / 1e6:>9.1f} MB, at most {counts['peak_connections']} connections",
        flush=True,
    )


def check(name: str, passed: bool) -> bool:
    print(f"    {'ok    ' if passed else 'FAILED'} {name}", flush=True)
    return passed


def part_faults(options: argparse.Namespace, part: str = "faults") -> bool:
    """Both the run with passing faults and that with faults for good."""
    coords = positions(options.n, np.random.default_rng(options.seed))
    with serving(part, options) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", RetrievalWarning)
        # A request that fails for good costs nothing but pauses that grow: two tries show the same as five.
        with conf.set_temp("retries", 2 if part == "failures" else conf.retries):
            cutouts, seconds = fetch(options.images, coords)
        counts = server.statistics()
    report(part, len(coords), seconds, counts)
    print(f"    faults: {', '.join(f'{key} {value}' for key, value in sorted(counts['faults'].items()))}")
    status = np.where(np.isfinite(coords.ra.deg), Status.OK, Status.BAD_COORDINATES)
    if part == "failures":
        lost = np.array([fails_for_good(tile) for tile in best_tile(coords)[0]])
        status[lost & (status == Status.OK)] = Status.RETRIEVAL_FAILED
    found = {Status(code).label: number for code, number in sorted(Counter(cutouts.status.tolist()).items())}
    wrong = count_wrong(cutouts, coords)
    return all([
        check(f"status of every row: {found}", np.array_equal(cutouts.status, status)),
        check(f"{wrong} rows with a wrong tile, offset or pixel", wrong == 0),
        check(f"never more than {conf.max_connections} connections",
              counts["peak_connections"] <= conf.max_connections),
    ])  # fmt: skip


def part_failures(options: argparse.Namespace) -> bool:
    return part_faults(options, "failures")


def part_threshold(options: argparse.Namespace) -> bool:
    tiles = tile_grid()
    row = len(tiles) // 2
    centre = SkyCoord(tiles["ra"][[row]], tiles["dec"][[row]])
    cutout_seconds, range_seconds, bandwidth = options.model
    print(
        f"k sources in one tile, {len(BANDS)} bands; seconds if a cutout takes {cutout_seconds} s, a part of "
        f"a file {range_seconds} s, with {conf.max_connections} connections and {bandwidth} MB/s"
    )
    print(f"{'':>6}{'cutouts':>32}{'rows':>32}")
    print(f"{'k':>6}{'requests':>10}{'MB':>10}{'s':>10}  {'requests':>10}{'MB':>10}{'s':>10}")
    with serving("threshold", options) as server, conf.set_temp("cache_size", 0.0):
        for k in SOURCES_IN_TILE:
            coords = in_tiles(centre, k, 1900, np.random.default_rng(k))
            line = f"{k:>6}"
            for threshold, latency in ((10**9, cutout_seconds), (1, range_seconds)):
                with conf.set_temp("tile_threshold", threshold):
                    open_images("irsa").fetch(coords, BANDS)
                counts = server.statistics()
                n_requests, megabytes = counts["n_requests"], counts["n_bytes"] / 1e6
                seconds = n_requests * latency / conf.max_connections + megabytes / bandwidth
                line += f"{n_requests:>10}{megabytes:>10.1f}{seconds:>10.1f}  "
            print(line, flush=True)
    return True


class InMemory:
    """Cutouts that are there already."""

    name, survey = "memory", "allwise-atlas"

    def __init__(self, coords: SkyCoord, cutouts: Cutouts) -> None:
        pairs = zip(coords.ra.deg.tolist(), coords.dec.deg.tolist(), strict=True)
        self._row = {pair: row for row, pair in enumerate(pairs)}
        self._cutouts = cutouts

    def fetch(self, coords: SkyCoord, bands: tuple[str, ...]) -> Cutouts:
        """Look the rows up."""
        pairs = zip(coords.ra.deg.tolist(), coords.dec.deg.tolist(), strict=True)
        return self._cutouts[np.array([self._row[pair] for pair in pairs])]


def part_cache(options: argparse.Namespace) -> bool:
    coords = positions(options.n, np.random.default_rng(options.seed))
    coords = coords[np.isfinite(coords.ra.deg)]
    classifier = IICnetClassifier(device=options.device)
    with serving("cache", options) as server:
        cutouts, seconds = fetch(options.images, coords)
        report("first run, empty store", len(coords), seconds, server.statistics())
        planned = plan.plan_retrieval(coords, BANDS, options.images)
        print(f"{'planned':<30}{planned.n_requests:>29} requests {planned.n_bytes / 1e6:>9.1f} MB")
        again, seconds = fetch(options.images, coords)
        counts = server.statistics()
        report("second run, full store", len(coords), seconds, counts)
        classifier.predict_proba(cutouts[:64])  # loads the weights
        tables, best = {}, {"memory": np.inf, "store": np.inf}
        sources = {"memory": InMemory(coords, cutouts), "store": options.images}
        for _ in range(options.repeat):
            for name, source in sources.items():
                start = time.perf_counter()
                tables[name] = classifier.classify(coords, images=source, progress=False)
                best[name] = min(best[name], time.perf_counter() - start)
        later = server.statistics()
    for name, seconds in best.items():
        print(f"classify from {name:<16}{len(coords) / seconds:>10.1f} sources/s")
    same = all(
        np.ma.allequal(tables["memory"][name], tables["store"][name]) for name in tables["memory"].colnames
    )
    pixels = np.array_equal(cutouts.pixels, again.pixels, equal_nan=True)
    ratio = best["memory"] / best["store"]
    return all([
        check("no request from a full store", counts["n_requests"] + later["n_requests"] == 0),
        check("same pixels, classes and probabilities", pixels and same),
        check(f"speed with the store over speed from memory: {ratio:.3f}, at least 0.9", ratio >= 0.9),
    ])  # fmt: skip


PARTS = {
    "faults": part_faults,
    "failures": part_failures,
    "threshold": part_threshold,
    "cache": part_cache,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="positions, at least 100")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", default="irsa", choices=("irsa", "aws"))
    parser.add_argument("--faults", type=float, default=0.1, help="share of the requests that fail")
    parser.add_argument("--max-per-url", type=int, default=3, help="how often one request may fail")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--retry-after", type=int, default=1, help="seconds that Retry-After names")
    parser.add_argument(
        "--model", type=float, nargs=3, metavar=("S", "S", "MB/S"),
        default=(plan.CUTOUT_SECONDS, plan.RANGE_SECONDS, plan.BANDWIDTH / 1e6),
        help="threshold: seconds a cutout and a part of a file take at the real archive, and its bandwidth;\n"
        "by default those of --dry-run",
    )  # fmt: skip
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=3, help="cache: the best of so many runs counts")
    parser.add_argument("--seed", type=int, default=20230814)
    options = parser.parse_args()
    print(f"{options.n} positions from {options.images!r}, {options.faults:.0%} faults in the first part")
    passed = [PARTS[part](options) for part in options.parts]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
