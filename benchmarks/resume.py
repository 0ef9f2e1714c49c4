"""A long run that is killed again and again, against one that is not.

    python benchmarks/resume.py [--n 20000] [--kills 20] [--images simulated|irsa|aws] [--chunk-size 256]

The command line classifies N positions once without a disturbance. Then the same command is killed
(SIGKILL) at random moments, started again each time with --resume, and allowed to end at last. Both
tables are compared: class, status and flags must be the same, probabilities to 1e-6, and nothing may be left
beside the output. "irsa" and "aws" are served by the local stand-in of the tests, with a tenth of all
answers at fault.

Ends with 1 if the tables differ or something is left.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.allwise.tiles import tile_grid
from astro_iicnet.output import read_results
from astro_iicnet.results import PROBABILITY_COLUMNS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from archive_server import ArchiveServer, random_faults  # noqa: E402


def positions(n: int, images: str, rng: np.random.Generator) -> SkyCoord:
    """In the simulated field, or in forty tiles; one in a hundred where there is no image or no place."""
    if images == "simulated":
        ra, dec = (rng.uniform(-0.13, 0.13, (2, n)) + [[150.12], [2.21]]).tolist()
    else:
        tiles = tile_grid()
        centres = SkyCoord(tiles["ra"], tiles["dec"])[rng.choice(len(tiles), 40)]
        centre = centres[rng.integers(0, 40, n)]
        east, north = rng.uniform(-0.7, 0.7, (2, n)) << centre.ra.unit
        coords = centre.spherical_offsets_by(east, north)
        ra, dec = coords.ra.deg.tolist(), coords.dec.deg.tolist()
    for row in rng.choice(n, n // 100, replace=False):
        ra[row] = np.nan
    return SkyCoord(ra, dec, unit="deg")


def command(folder: Path, output: str, options: argparse.Namespace, *more: str) -> list[str]:
    """The command line of a run."""
    verb = [sys.executable, "-m", "astro_iicnet.cli", "classify", str(folder / "list.fits"), "-q"]
    where = ["-o", str(folder / output), "--images", options.images, "--chunk-size", str(options.chunk_size)]
    return [*verb, *where, *(["--weights", options.weights] if options.weights else []), *more]


def killed(folder: Path, options: argparse.Namespace, env: dict[str, str], longest: float) -> int:
    """Run and kill, as often as asked for; the number of kills that hit a run at work."""
    rng = np.random.default_rng(options.seed + 1)
    n_hits = 0
    for number in range(options.kills):
        moment = rng.uniform(0, longest)
        process = subprocess.Popen(command(folder, "killed.fits", options, "--resume"), env=env)
        try:
            process.wait(moment)
            what = f"had ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            what, n_hits = "killed", n_hits + 1
        partial = folder / "killed.fits.partial"
        kept = sum(file.stat().st_size for file in partial.iterdir()) if partial.is_dir() else 0
        print(f"  {number + 1:3d}  after {moment:6.1f} s  {what}, {kept / 1e3:.0f} kB kept", flush=True)
    return n_hits


def compare(folder: Path) -> bool:
    """Print how the tables differ, and what is left in the folder."""
    one, two = (read_results(folder / name) for name in ("whole.fits", "killed.fits"))
    same = True
    for name in ("iicnet_class", "iicnet_status", "iicnet_flags"):
        n_other = np.count_nonzero(np.array(one[name].tolist()) != np.array(two[name].tolist()))
        print(f"{name}: {n_other} of {len(one)} rows differ")
        same &= not n_other
    a, b = (
        np.stack([np.ma.filled(np.ma.asarray(t[name]), -1) for name in PROBABILITY_COLUMNS])
        for t in (one, two)
    )
    print(f"probabilities: largest difference {np.abs(a - b).max():.1e}")
    beside = sorted(set(os.listdir(folder)) - {"list.fits", "whole.fits", "killed.fits", "config", "store"})
    print(f"left beside the output: {beside or 'nothing'}")
    return bool(same and np.abs(a - b).max() <= 1e-6 and not beside)


def main() -> int:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", choices=["simulated", "irsa", "aws"], default="simulated")
    parser.add_argument("--chunk-size", type=int, default=256)
    parser.add_argument("--weights")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    coords = positions(options.n, options.images, np.random.default_rng(options.seed))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        table = Table({"ra": coords.ra.deg, "dec": coords.dec.deg})
        env = dict(os.environ)
        if options.images != "simulated":
            server = stack.enter_context(ArchiveServer(faults=random_faults(0.1, options.seed, 3)))
            env = server.environment(folder / "config", cache_dir=str(folder / "store"), cache_size=0.0)
        seconds = {}
        for name, rows in (("start", slice(1)), ("whole", slice(None))):
            table[rows].write(folder / "list.fits", overwrite=True)
            begin = time.perf_counter()
            subprocess.run(command(folder, f"{name}.fits", options), env=env)
            seconds[name] = time.perf_counter() - begin
        (folder / "start.fits").unlink()
        work = seconds["whole"] - seconds["start"]
        print(f"{options.n} rows in chunks of {options.chunk_size}, images {options.images!r}")
        print(f"undisturbed: {seconds['whole']:.1f} s, {seconds['start']:.1f} s of them to start")
        longest = seconds["start"] + 1.5 * work / max(options.kills, 1)
        n_hits = killed(folder, options, env, longest)
        subprocess.run(command(folder, "killed.fits", options, "--resume"), env=env)
        print(f"killed {n_hits} times, then allowed to end")
        return 0 if compare(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
