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
    request, of which the last goes on. ``asked`` lists the paths in the order of the requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | Answer | list[bytes | Answer]] = {}
        self.asked: list[str] = []
        self.agents: list[str] = []
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
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.agents.append(self.headers["User-Agent"])
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


def whole(content: bytes) -> Answer:
    """All of it."""
    return beginning(content, len(content))


def status(code: int) -> Answer:
    """An answer without a file."""
    return lambda handler: handler.send_error(code)


def beginning(
    content: bytes, n_bytes: int, *, announced: int | None = None, then: Answer | None = None
) -> Answer:
    """A part of the content, with the length of the whole unless another one is announced (-1: none)."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if announced != -1:
            handler.send_header("Content-Length", str(len(content) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(content[:n_bytes])
        handler.wfile.flush()
        if then:
            then(handler)

    return answer
