"""A server of files on a local port, with faults."""

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

Answer = Callable[[BaseHTTPRequestHandler], None]


class FileServer:
    """Files in memory under http://127.0.0.1:port/, until the end of the ``with`` block.

    ``files`` maps a path as "/one" to bytes, to an answer made below, or to a list of these, one for each
    request, of which the last goes on. ``asked`` lists the paths in the order of the requests, ``ranges``
    what was asked of each (None: all), and ``sent`` the bytes of each file or part that was sent.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | Answer | list[bytes | Answer]] = {}
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.ranges: list[str | None] = []
        self.sent: list[int] = []
        self.stopping = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            sent = outer.sent

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.agents.append(self.headers["User-Agent"])
                outer.ranges.append(self.headers["Range"])
                answer = outer.files.get(self.path, status(404))
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                if isinstance(answer, bytes):
                    answer = whole(answer)
                with suppress(ConnectionError):
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def whole(content: bytes, *, ranges: bool = True) -> Answer:
    """All of it, or what is asked for by Range unless that is ignored."""
    return beginning(content, len(content), ranges=ranges)


def status(code: int) -> Answer:
    """An answer without a file."""
    return lambda handler: handler.send_error(code)


def beginning(
    content: bytes,
    n_bytes: int,
    *,
    announced: int | None = None,
    then: Answer | None = None,
    ranges: bool = False,
) -> Answer:
    """The content up to a byte, where the connection is cut.

    ``announced`` is the length said to follow (default: to the end of the content; -1: none is said).
    ``ranges``: whether what is asked for by Range is left out before.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"] if ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if announced != -1:
            length = len(content) - start if announced is None else announced
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.sent.append(len(content[start:n_bytes]))
        handler.wfile.write(content[start:n_bytes])
        handler.wfile.flush()
        if then:
            then(handler)

    return answer
