"""The local server: requests, answers, faults and counters."""

import os
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from astropy.io import fits

from .faults import Plan
from .handler import Request, Server
from .hips import HIPS, answer_hips
from .images import AWS, IBE, Answer, answer_aws, answer_ibe
from .sia import answer_capabilities, answer_sia
from .sky import WHOLE, Box, Image, Sky


def settings_text(settings: dict[str, Any]) -> str:
    """Settings as lines of a configuration file."""
    values = {name: ", ".join(v) if isinstance(v, list) else v for name, v in settings.items()}
    return "".join(f"{name} = {value}\n" for name, value in values.items())


class ArchiveServer:
    """IRSA, the AWS copy and hips2fits on one local port, in a thread of this process.

    Parameters
    ----------
    faults : callable, optional
        ``faults(request, attempt)`` gives a `Fault` or None. ``request`` is path, query and range as one
        string, as in ``"/ibe/...fits?center=1,2&size=45pix"`` or ``"/wise/...fits bytes=0-5759"``;
        ``attempt`` is 0 for the first request of that string. By default nothing goes wrong.
    latency : float, optional
        Seconds before every answer.
    port : int, optional
        By default a free one.
    retry_after : int, optional
        Seconds that a 503 with Retry-After names.
    slow_seconds : float, optional
        How long a slow body takes.
    """

    def __init__(
        self,
        faults: Plan | None = None,
        latency: float = 0.0,
        *,
        port: int = 0,
        retry_after: int = 1,
        slow_seconds: float = 2.0,
    ) -> None:
        self.faults = faults
        self.latency = latency
        self.retry_after = retry_after
        self.slow_seconds = slow_seconds
        self.sky = Sky()
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._in_flight = 0
        self._http = Server(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self.reset()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.close_connections()
        self._http.server_close()

    def settings(self) -> dict[str, Any]:
        """Settings of astro_iicnet that lead to this server."""
        return {
            "irsa_server": self.url,
            "aws_server": self.url,
            "hips_servers": [self.url + path for path in HIPS],
        }

    def environment(self, folder: Path, **settings: Any) -> dict[str, str]:
        """Environment of a process of its own that is to use this server, for ``subprocess.run(env=...)``.

        Writes the settings, and those given besides, as a configuration file into a folder.
        """
        path = Path(folder) / "astro_iicnet" / "astro_iicnet.cfg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(settings_text(self.settings() | settings))
        return {**os.environ, "XDG_CONFIG_HOME": str(folder)}

    def reset(self) -> None:
        """Forget all requests, how often each came, and the peak."""
        with self._lock:
            self.requests: list[Request] = []
            self.n_connections = 0
            self.peak_connections = self._in_flight
            self._attempts: Counter[str] = Counter()

    @property
    def n_requests(self) -> int:
        """Requests so far."""
        return len(self.requests)

    @property
    def n_bytes(self) -> int:
        """Bytes of all bodies so far."""
        return sum(request.n_bytes for request in list(self.requests))

    def statistics(self) -> dict[str, Any]:
        """Counters, as JSON under /statistics too."""
        requests = list(self.requests)
        return {
            "n_requests": len(requests),
            "n_bytes": sum(request.n_bytes for request in requests),
            "n_connections": self.n_connections,
            "peak_connections": self.peak_connections,
            "statuses": dict(Counter(request.status for request in requests)),
            "faults": dict(Counter(request.fault.name for request in requests if request.fault)),
        }

    def pixels(self, coadd_id: str, band: str, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        """The true pixels of a part of a tile: (y1 - y0, x1 - x0) float32 [DN]."""
        return self.sky.pixels(coadd_id, band, y0, y1, x0, x1)

    def header(self, coadd_id: str, band: str) -> fits.Header:
        """The header of a whole tile."""
        return Image(self.sky, coadd_id, band).header()

    def add_source(self, ra: float, dec: float, flux: float) -> None:
        """Add a round source (FWHM 6.3 px, flux in DN) at a position [deg, FK5] in all tiles and bands."""
        self.sky.add_source(ra, dec, flux)

    def write_tile(self, folder: Path, coadd_id: str, band: str, box: Box | None = None) -> Path:
        """Write the file that is served, or the part (y0, y1, x0, x1) of it, into a folder."""
        return Image(self.sky, coadd_id, band, box or WHOLE).write(folder)

    def next_attempt(self, request: str) -> int:
        """How often a request came before; count this one."""
        with self._lock:
            self._attempts[request] += 1
            return self._attempts[request] - 1

    def arrive(self) -> None:
        """Count a request in flight."""
        with self._lock:
            self._in_flight += 1
            self.peak_connections = max(self.peak_connections, self._in_flight)

    def leave(self, request: Request) -> None:
        """Count a request that is about to be answered in full."""
        with self._lock:
            self._in_flight -= 1
            self.requests.append(request)

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        """What the archives answer where nothing goes wrong."""
        if path.startswith(IBE):
            return answer_ibe(self.sky, path, query)
        if path.startswith(AWS):
            return answer_aws(self.sky, path)
        if path.rstrip("/") == "/SIA":
            return answer_sia(self.url, query)
        if path == "/SIA/capabilities":
            return answer_capabilities(self.url)
        if path in HIPS:
            return answer_hips(self.sky, query)
        return Answer(404, b"not found\n", "text/plain")
