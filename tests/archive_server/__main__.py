"""Run the archives until interrupted: ``PYTHONPATH=tests python -m archive_server --help``."""

import argparse
import threading

from . import ArchiveServer, random_faults
from .server import settings_text


def main() -> None:
    """Serve, and say where."""
    parser = argparse.ArgumentParser(prog="archive_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that fail")
    parser.add_argument("--max-per-url", type=int, default=3, help="how often one URL may fail")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--retry-after", type=int, default=1, help="seconds that Retry-After names")
    parser.add_argument("--slow-seconds", type=float, default=2.0, help="how long a slow body takes")
    options = parser.parse_args()
    faults = random_faults(options.faults, options.seed, options.max_per_url) if options.faults else None
    with ArchiveServer(
        faults,
        options.latency,
        port=options.port,
        retry_after=options.retry_after,
        slow_seconds=options.slow_seconds,
    ) as server:
        print(settings_text(server.settings()), end="", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


main()
