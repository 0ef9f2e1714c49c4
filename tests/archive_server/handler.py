"""One request on one connection: the answer, or what a fault makes of it."""

import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from .faults import Fault
from .images import AWS, Answer, s3_error
from .sky import HEADER_BYTES, Image

_STATUS = {
    Fault.UNAVAILABLE: 503,
    Fault.UNAVAILABLE_RETRY_AFTER: 503,
    Fault.RATE_LIMITED: 429,
    Fault.SERVER_ERROR: 500,
    Fault.FORBIDDEN: 403,
    Fault.NOT_FOUND: 404,
}
_WRONG_IMAGE = (Fault.OTHER_TILE, Fault.OTHER_BAND, Fault.NAN_WCS)
_TRUNCATED = (Fault.TRUNCATED, Fault.TRUNCATED_LENGTH)
_DRIPS = 20


@dataclass(frozen=True)
class Request:
    """One request that came, and what went back.

    ``byte_range`` is the Range header as it came, or None; ``status`` 0 where the connection was reset;
    ``n_bytes`` counts the body, as much of it as was sent.
    """

    path: str
    query: str
    byte_range: str | None
    status: int
    n_bytes: int
    fault: Fault | None


@dataclass
class Reply:
    """What is sent: bytes from ``start`` to ``stop`` of an answer, and the length that is promised."""

    answer: Answer
    status: int
    start: int
    stop: int
    length: int
    headers: dict[str, str] = field(default_factory=dict)
    drips: int = 1

    def blocks(self) -> Iterator[bytes]:
        """The body, in as many parts as it drips."""
        n_bytes = self.stop - self.start
        for part in range(self.drips):
            first = self.start + n_bytes * part // self.drips
            yield from self.answer.read(first, self.start + n_bytes * (part + 1) // self.drips)


class Server(ThreadingHTTPServer):
    """A thread for each connection, all of them ended when it is closed."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], archive: Any) -> None:
        super().__init__(address, Handler)
        self.archive = archive
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        self.archive.n_connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End connections that clients keep open."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        archive = self.server.archive
        path, _, query = self.path.partition("?")
        if path == "/statistics":
            self._send_statistics(reset=query == "reset")
            return
        archive.arrive()
        byte_range = self.headers.get("Range")
        name = unquote(self.path) + (f" {byte_range}" if byte_range else "")
        fault = archive.faults and archive.faults(name, archive.next_attempt(name))
        record = Request(path, unquote(query), byte_range, 0, 0, fault)
        try:
            archive.stopping.wait(archive.latency)
            if fault is not Fault.RESET:
                answer = archive.answer(unquote(path), dict(parse_qsl(query)))
                record = self._send(_reply(answer, path, byte_range, fault, archive.retry_after), record)
        except BaseException:
            archive.leave(record)
            raise
        if fault is Fault.RESET:
            archive.leave(record)
            self._reset()

    def _send(self, reply: Reply, record: Request) -> Request:
        """Send a reply; count it just before the client can have all of it."""
        archive = self.server.archive
        waiting = self._head(reply)
        n_bytes = 0
        pause = archive.slow_seconds / _DRIPS if reply.drips > 1 else 0
        for block in reply.blocks() if self.command == "GET" else ():
            n_bytes += len(block)
            if len(waiting) + len(block) < 1 << 16 and not pause:
                waiting += block
                continue
            self.wfile.write(waiting)
            archive.stopping.wait(pause)
            waiting = block
        record = replace(record, status=reply.status, n_bytes=n_bytes)
        archive.leave(record)
        self.wfile.write(waiting)
        self.close_connection |= n_bytes < reply.length and self.command == "GET"
        return record

    def _head(self, reply: Reply) -> bytes:
        reason, _ = self.responses[reply.status]
        lines = {
            "Date": self.date_time_string(),
            "Content-Type": reply.answer.content_type,
            "Content-Length": reply.length,
            **reply.headers,
        }
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {reply.status} {reason}\r\n{text}\r\n".encode()

    def _reset(self) -> None:
        """Break the connection off: what is sent is a TCP reset, not a proper end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def _send_statistics(self, reset: bool) -> None:
        archive = self.server.archive
        text = json.dumps(archive.statistics()).encode()
        if reset:
            archive.reset()
        answer = Answer(200, text, "application/json")
        self.wfile.write(self._head(Reply(answer, 200, 0, len(text), len(text))) + text)


def _reply(answer: Answer, path: str, byte_range: str | None, fault: Fault | None, retry_after: int) -> Reply:
    """The reply to a request, made wrong by the fault if there is one."""
    if fault in _WRONG_IMAGE and isinstance(answer.content, Image):
        answer = replace(answer, content=_wrong_image(answer.content, fault))
    elif fault in _STATUS or fault is Fault.HTML or fault in _WRONG_IMAGE:
        status = _STATUS.get(fault, 200)
        page = f"<!DOCTYPE html><html><head><title>{status}</title></head><body>Please wait.</body></html>"
        answer = Answer(status, page.encode(), "text/html")
    reply = _of_range(answer, path, byte_range)
    if fault is Fault.UNAVAILABLE_RETRY_AFTER:
        reply.headers["Retry-After"] = str(retry_after)
    if fault in _WRONG_IMAGE and reply.start >= HEADER_BYTES:
        # Nothing in the pixels alone would tell the client: it must see the range that it did not ask for.
        reply.start, reply.stop = 0, reply.stop - reply.start
        reply.headers["Content-Range"] = f"bytes 0-{reply.stop - 1}/{answer.size}"
    if fault in _TRUNCATED:
        reply.stop = (reply.start + reply.stop) // 2
        reply.length = reply.stop - reply.start if fault is Fault.TRUNCATED_LENGTH else reply.length
    reply.drips = _DRIPS if fault is Fault.SLOW else 1
    return reply


def _wrong_image(image: Image, fault: Fault) -> Image:
    if fault is Fault.OTHER_TILE:
        return image.of_another_tile()
    return image.in_another_band() if fault is Fault.OTHER_BAND else replace(image, nan_wcs=True)


def _of_range(answer: Answer, path: str, byte_range: str | None) -> Reply:
    """The whole answer, or the part that a Range header asks for where there are parts."""
    size = answer.size
    headers = {"Accept-Ranges": "bytes"} if answer.ranges else {}
    whole = Reply(answer, answer.status, 0, size, size, headers)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", byte_range or "")
    if not (answer.ranges and match) or match.groups() == ("", ""):
        return whole
    if match[1]:
        start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
    else:
        start, stop = max(size - int(match[2]), 0), size
    if start >= size:
        answer = Answer(416, b"Requested range not satisfiable\n", "text/plain")
        if path.startswith(AWS):
            answer = s3_error(416, "InvalidRange", "The requested range is not satisfiable")
        return Reply(answer, 416, 0, answer.size, answer.size, {"Content-Range": f"bytes */{size}"})
    if stop <= start:
        return whole
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Reply(answer, 206, start, stop, stop - start, headers)
