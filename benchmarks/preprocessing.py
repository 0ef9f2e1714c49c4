"""Time of the preprocessing beside the network's own, per image.

    python benchmarks/preprocessing.py [--threads 1] [--batch 256] [--rounds 15]

The network runs in PyTorch's fastest mode for it, bfloat16 autocast and channels_last, without
gradients. The two are timed in turns, so that a busy machine slows both, and the median of each
is shown. The goal is a ratio of 0.15, the limit 0.25.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from astro_iicnet.models import IICnet
from astro_iicnet.models.device import autocast, choose_precision
from astro_iicnet.preprocessing import RECIPES, Preprocess

BANDS = ("W1", "W2", "W3")
MAGZP = (20.5, 19.5, 18.0)
LIMIT = 0.25


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's queue emptied."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Print one row per recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)

    rng = np.random.default_rng(0)
    pixels = rng.normal(5, 1, (arguments.batch, 3, 41, 41)).astype("f4")
    offset = rng.uniform(-0.5, 0.5, (arguments.batch, 2)).astype("f4")
    cutouts = torch.from_numpy(pixels).to(device), torch.from_numpy(offset).to(device)
    model = IICnet().eval().to(device, memory_format=torch.channels_last)

    precision = choose_precision("auto", device)
    print(f"{arguments.threads} thread(s), {device} in {precision}, batch {arguments.batch}, us per image")
    print(f"{'recipe':<12}{'preprocessing':>15}{'network':>10}{'ratio':>8}")
    for name, recipe in RECIPES.items():
        preprocess = Preprocess(recipe, BANDS, MAGZP).to(device)
        with torch.inference_mode(), autocast(device, precision):
            images = preprocess(*cutouts)
            calls = [lambda p=preprocess: p(*cutouts), lambda x=images: model(x)]
            times = [[seconds(call, device) for call in calls] for _ in range(arguments.rounds + 2)]
        own, network = np.median(times[2:], axis=0) / arguments.batch * 1e6
        verdict = "" if own / network <= LIMIT else f"  over the limit of {LIMIT}"
        print(f"{name:<12}{own:>15.1f}{network:>10.1f}{own / network:>8.3f}{verdict}")


if __name__ == "__main__":
    main()
