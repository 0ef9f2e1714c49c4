import gc
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time

import pytest

from astro_iicnet.config import conf
from astro_iicnet.cutouts import transport as module
from astro_iicnet.cutouts.transport import BrokenBodyError, Transport, transport
from astro_iicnet.exceptions import NoImageError, RetrievalError, RetrievalWarning

BODY = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next answer of the script; then, and from the start, with BODY."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.paths.append(self.path)
            server.headers.append(dict(self.headers))
            server.times.append(time())
            server.clients.add(self.client_address)
            server.n_now += 1
            server.peak = max(server.peak, server.n_now)
            answer = server.script.pop(0) if server.script else server.always
        server.meet()
        with server.lock:  # before the client can know that the answer is complete
            server.n_now -= 1
        answer(self) if callable(answer) else self.answer(answer)

    def answer(self, status: int, body: bytes = b"no", **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def fine(handler: Handler) -> None:
    handler.answer(200, BODY)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.script: list[int | Callable[[Handler], None]] = []
        self.always: int | Callable[[Handler], None] = fine
        self.meet: Callable[[], object] = lambda: None
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.clients: set[tuple[str, int]] = set()
        self.n_now = self.peak = 0

    def handle_error(self, *args: object) -> None:
        """Let clients go away in silence."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def web() -> Iterator[Transport]:
    transport = Transport()
    yield transport
    transport._session.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(module, "BACKOFF", 1e-4)
    with conf.set_temp("retries", 3), conf.set_temp("timeout", 20):
        yield


def whole(body: bytes) -> bytes:
    if body != BODY:
        raise BrokenBodyError("a page" if body.startswith(b"<") else "a piece")
    return body


def get(web: Transport, server: Server, path: str = "/a", check=whole, **keys) -> bytes:
    return web.get(server.url + path, check, **{"max_bytes": len(BODY), **keys})


def reset(handler: Handler) -> None:
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def short(handler: Handler) -> None:
    """Promise the whole, send a piece."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    handler.wfile.write(BODY[:1000])
    handler.close_connection = True


def short_and_sure(handler: Handler) -> None:
    handler.answer(200, BODY[:1000])


def page(handler: Handler) -> None:
    handler.answer(200, b"<html>Down for maintenance</html>", Content_Type="text/html")


def too_large(handler: Handler) -> None:
    handler.answer(200, BODY + b"!")


def status(code: int, body: bytes = b"no", **headers: object) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(code, body, **headers)


def test_the_body_comes_back_as_check_returns_it(server, web):
    assert get(web, server, check=len) == len(BODY)
    assert web.get(server.url + "/b", bytes.hex, max_bytes=10**6) == BODY.hex()
    assert server.paths == ["/a", "/b"]


def test_query(server, web):
    get(web, server, params={"center": "10.5,-3", "size": "45pix"})
    assert server.paths == ["/a?center=10.5%2C-3&size=45pix"]


def test_who_asks(server, web):
    import astro_iicnet

    get(web, server)
    (headers,) = server.headers
    agent, library = headers["User-Agent"].split()
    assert agent == f"astro_iicnet/{astro_iicnet.__version__}"
    assert library.startswith("python-requests/")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("code", [400, 404])
def test_no_such_image(server, web, code):
    server.always = code
    with pytest.raises(NoImageError, match=f"{server.url} has no such image .HTTP {code}"):
        get(web, server)
    assert len(server.paths) == 1


@pytest.mark.parametrize("code", [401, 403, 405, 410, 416])
def test_a_refusal_is_not_repeated(server, web, code):
    server.always = code
    with pytest.raises(RetrievalError, match=f"HTTP {code}"):
        get(web, server)
    assert len(server.paths) == 1


PASSING = {
    **{f"HTTP {code}": code for code in (408, 500, 502, 503, 504)},
    "reset": reset,
    "no answer": hang_up,
    "shorter than its Content-Length": short,
    "shorter than it should be": short_and_sure,
    "HTML with status 200": page,
    "too large": too_large,
    "HTTP 204": 204,
    "part not asked for": status(206, Content_Range=f"bytes 0-1/{len(BODY)}"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_passing_faults_are_repeated(server, web, fault):
    server.script = [fault] * 3
    assert get(web, server) == BODY
    assert len(server.paths) == 4


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_tries_are_used_up(server, web, fault):
    server.always = fault
    with pytest.raises(RetrievalError, match=rf"{server.url} .*\(tries: 4\)"):
        get(web, server)
    assert len(server.paths) == 4


def test_faults_of_all_kinds_share_the_tries(server, web):
    server.script = [500, short, reset, page]
    with pytest.raises(RetrievalError, match=r"sent a page \(tries: 4\)"):
        get(web, server)
    assert len(server.paths) == 4


def test_bodies_are_not_kept_by_what_went_wrong(server, web):
    """Reference cycles would keep blocks of many MB until the garbage is collected."""

    class Mark:
        """Lives as long as the frame that holds a body."""

    marks = []

    def check(body: bytes) -> int:
        mark = Mark()
        marks.append(weakref.ref(mark))
        return len(whole(body))

    server.script = [short_and_sure, page]
    gc.disable()
    try:
        assert get(web, server, check=check) == len(BODY)
        assert [mark() for mark in marks] == [None] * 3
    finally:
        gc.enable()


def test_no_retries(server, web):
    server.script = [500]
    with conf.set_temp("retries", 0), pytest.raises(RetrievalError, match=r"answered HTTP 500 \(tries: 1\)"):
        get(web, server)
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [(503, "answered HTTP 503"), (short, "broke off in the middle"), (reset, "reset by peer")],
)
def test_messages_are_the_same_for_all_requests(server, web, fault, words):
    server.always = fault
    messages = set()
    for path in "/a", "/b":
        with pytest.raises(RetrievalError, match=words) as caught:
            get(web, server, path)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_nobody_there(web):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(RetrievalError, match=rf"{port} does not answer \(.*refused\) \(tries: 4\)"):
            web.get(f"http://127.0.0.1:{port}/a", whole, max_bytes=9)
        # Who could not be reached once is not tried at length for each of a million rows.
        with pytest.raises(RetrievalError, match=r"\(tries: 1\)"):
            web.get(f"http://127.0.0.1:{port}/b", whole, max_bytes=9)


def lose_connection(web: Transport, monkeypatch, n_times: int) -> None:
    """Let the next connections lead nowhere, as in a network that is away for a while."""
    ask = web._session.get
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    urls = iter([nowhere] * n_times)
    monkeypatch.setattr(web._session, "get", lambda url, **keys: ask(next(urls, url), **keys))


def test_a_network_that_comes_back_costs_no_rows(server, web, monkeypatch):
    get(web, server)
    lose_connection(web, monkeypatch, 10)  # more than the tries
    assert get(web, server, "/b") == BODY


def test_a_network_that_stays_away(server, web, monkeypatch):
    get(web, server)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)
    lose_connection(web, monkeypatch, 100_000)
    with pytest.raises(RetrievalError, match=r"refused\) \(tries: \d+\)"):
        get(web, server, "/b")


def test_a_network_that_stays_away_costs_patience_once(server, web, monkeypatch):
    get(web, server)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.01)
    lose_connection(web, monkeypatch, 100_000)
    with pytest.raises(RetrievalError, match="refused"):
        get(web, server, "/b")
    with pytest.raises(RetrievalError, match=r"\(tries: 1\)"):
        get(web, server, "/c")


def test_who_is_back_has_all_tries(server, web, monkeypatch):
    lose_connection(web, monkeypatch, 4)
    with pytest.raises(RetrievalError, match="refused"):
        get(web, server)
    get(web, server)
    server.script = [500] * 3
    assert get(web, server, "/b") == BODY


@pytest.mark.parametrize("url", ["irsa.example/a", "ftp://127.0.0.1/a", "http:///a", "http://127.0.0.1:x/"])
def test_bad_urls(web, url):
    with pytest.raises(RetrievalError):
        web.get(url, whole, max_bytes=9)


def test_an_error_of_check_is_not_hidden(server, web):
    def check(body: bytes) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        get(web, server, check=check)
    assert len(server.paths) == 1


def test_redirects(server, web):
    server.script = [status(302, Location="/moved")]
    assert get(web, server) == BODY
    assert server.paths == ["/a", "/moved"]
    server.script = [status(302, Location="file:///etc/passwd")]
    with pytest.raises(RetrievalError, match="file:"):
        get(web, server)
    server.always = status(302, Location="/a")
    with pytest.raises(RetrievalError, match="redirects"):
        get(web, server)


@pytest.mark.parametrize("target", ["http://[", "/\xff\xfe"])
def test_redirects_to_no_address(server, web, target):
    server.script = [status(302, Location=target)]
    assert get(web, server) == BODY
    server.always = status(302, Location=target)
    with pytest.raises(RetrievalError, match=r"sent a redirection to no address \(tries: 4\)"):
        get(web, server)


def test_the_body_of_a_redirect_is_not_read(server, web):
    n_sent = []

    def endless(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(302)
        handler.send_header("Location", "/moved")
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        try:
            for i in range(64):
                handler.wfile.write(bytes(1 << 20))
                n_sent.append(i)
        except OSError:
            return

    server.script = [endless]
    assert get(web, server) == BODY
    assert server.paths == ["/a", "/moved"]
    assert len(n_sent) < 16  # MB, in the buffers of the system


# Pauses


def test_pauses_grow_and_are_random(server, web, monkeypatch):
    slept = []
    monkeypatch.setattr(module, "BACKOFF", 1.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 10.0)
    monkeypatch.setattr(module, "sleep", slept.append)
    server.always = 500
    for _ in range(2):
        with conf.set_temp("retries", 5), pytest.raises(RetrievalError):
            get(web, server)
    once, again = slept[:5], slept[5:]
    assert once[0] == 0  # a broken connection is worth a try at once
    for pause, least in zip(once[1:], [2, 4, 8, 10], strict=True):
        assert least <= pause <= min(least + 1, 10)
    assert once != again


def test_no_connection_is_held_during_a_pause(server, web, monkeypatch):
    others = []

    def in_the_pause(seconds: float) -> None:
        if len(others) < 2:
            others.append(None)
            get(web, server, "/other")

    monkeypatch.setattr(module, "sleep", in_the_pause)
    server.script = [500]
    with conf.set_temp("max_connections", 1):
        assert get(web, server) == BODY
    assert server.paths == ["/a", "/other", "/a"]


# Servers that limit the rate


@pytest.mark.parametrize("limit", [status(429), status(429, Retry_After="0"), status(503, Retry_After="0")])
def test_a_limited_rate_costs_no_tries(server, web, limit):
    server.script = [limit] * 8 + [500] * 3
    assert get(web, server) == BODY
    assert len(server.paths) == 12


def test_patience_ends(server, web, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PAUSE", 1e-4)
    monkeypatch.setattr(module, "PATIENCE", 1e-2)
    server.always = 429
    with pytest.raises(RetrievalError, match=r"answered HTTP 429 \(tries: \d+\)") as caught:
        get(web, server)
    assert len(server.paths) >= 4
    assert f"(tries: {len(server.paths)})" in str(caught.value)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(server, web, code, as_date):
    then = int(time()) + 2  # a date has whole seconds
    server.script = [status(code, Retry_After=formatdate(then, usegmt=True) if as_date else 1)]
    assert get(web, server) == BODY
    if as_date:
        assert server.times[1] >= then
    else:
        assert server.times[1] - server.times[0] >= 1


@pytest.mark.parametrize(
    "after",
    ["soon", "", pytest.param("9" * 5000, id="too long"), "Mon, 01 Jan 99999 00:00:00 GMT"],
)
def test_retry_after_that_cannot_be_understood(server, web, after):
    server.script = [status(429, Retry_After=after), status(503, Retry_After=after)]
    assert get(web, server) == BODY


def test_all_threads_leave_a_server_alone(server, web):
    server.script = [status(503, Retry_After=5000)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(get, web, server, "/first")]
        assert "left alone" in str(jobs[0].exception())
        jobs = [pool.submit(get, web, server, f"/{i}") for i in range(8)]
        assert all("left alone for" in str(job.exception()) for job in jobs)
    assert server.paths == ["/first"]


def test_a_long_pause_is_said_once_for_all_threads(server, web, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.5)
    server.script = [status(429, Retry_After=1)] * 4
    server.meet = threading.Barrier(4).wait
    with pytest.warns(RetrievalWarning) as caught, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: get(web, server), range(4))) == [BODY] * 4
    (warning,) = [str(entry.message) for entry in caught]
    assert warning.startswith(f"{server.url} asks to be left alone for 1 s: waiting until ")


def test_each_long_pause_is_said(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    one = module._Server("http://one")
    one.pause(60.0)  # without a word, as warnings are errors
    with pytest.warns(RetrievalWarning, match=r"http://one asks to be left alone for 300 s"):
        one.pause(300.0)
    clock[0] += 200
    one.pause(200.0)
    clock[0] = one._resume
    with pytest.warns(RetrievalWarning, match=r"for 300 s"):
        one.pause(300.0)


def test_other_servers_are_not_concerned(server, web):
    server.script = [status(429, Retry_After=5000)]
    with pytest.raises(RetrievalError, match="left alone"):
        get(web, server)
    other = server.url.replace("127.0.0.1", "localhost")
    assert web.get(other + "/a", whole, max_bytes=len(BODY)) == BODY


def test_pauses_of_a_server_grow_once_for_many_answers(server, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "BACKOFF", 1.0)
    monkeypatch.setattr(module.random, "random", lambda: 0.0)
    one = module._Server("http://one")

    def pause_after(n_answers: int) -> float:
        for _ in range(n_answers):
            one.pause(None)
        pause, clock[0] = one._resume - clock[0], one._resume
        return pause

    assert [pause_after(n) for n in (1, 5, 8, 2)] == [1, 2, 4, 8]
    assert [pause_after(1) for _ in range(50)][-1] == module.LONGEST_PAUSE
    one.limits_nothing()
    assert pause_after(1) == 1


def test_a_long_pause_is_not_cut_short_by_a_short_one(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    one = module._Server("http://one")
    one.pause(30.0)
    one.pause(2.0)
    one.pause(None)
    assert one._resume == 1030.0


# Connections


def test_ceiling_on_connections(server, web):
    n = 3
    server.meet = threading.Barrier(n, timeout=30).wait  # three at a time, or nobody goes on
    with conf.set_temp("max_connections", n), ThreadPoolExecutor(12) as pool:
        bodies = list(pool.map(lambda i: get(web, server, f"/{i}"), range(30)))
    assert bodies == [BODY] * 30
    assert server.peak == n
    assert len(server.clients) <= n  # connections are used again


def test_ceiling_is_read_when_it_is_used(server, web):
    for n in 2, 5:
        server.peak = 0
        server.meet = threading.Barrier(n, timeout=30).wait
        with conf.set_temp("max_connections", n), ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: get(web, server), range(10)))
        assert server.peak == n


def test_ceiling_holds_when_requests_fail(server, web):
    faults = [500, reset, short, page, status(429)]
    server.script = [faults[i % 5] for i in range(60)]
    with conf.set_temp("max_connections", 2), conf.set_temp("retries", 60), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: get(web, server), range(40))) == [BODY] * 40
    assert server.peak <= 2
    assert len(server.paths) == 100


def test_connections_are_used_again(server, web):
    for _ in range(20):
        get(web, server)
    assert len(server.clients) == 1


def test_a_connection_with_a_broken_answer_is_not_used_again(server, web):
    server.script = [too_large, fine]
    assert get(web, server) == BODY
    assert len(server.clients) == 2


# Bodies


def test_a_slow_drip_ends(server, web, monkeypatch):
    monkeypatch.setattr(module, "SLOWEST", 1e9)
    enough = threading.Event()

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.close_connection = True
        while not enough.wait(0.05):
            handler.wfile.write(b"x")

    server.always = drip
    with conf.set_temp("timeout", 0.3), conf.set_temp("retries", 1):
        with pytest.raises(RetrievalError, match=r"too slowly .*timeout is 0.3 s\) \(tries: 2\)"):
            get(web, server)
    enough.set()
    assert len(server.paths) == 2


def test_a_large_body_has_more_time(server, web, monkeypatch):
    """Time stands still for this, but for what the reader does to it."""
    clock = iter(range(10**6))  # a second each time that somebody looks
    monkeypatch.setattr(module, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(module, "_BLOCK", 256)  # at least 40 looks
    with conf.set_temp("timeout", 10), conf.set_temp("retries", 0):
        monkeypatch.setattr(module, "SLOWEST", len(BODY) / 100)
        assert get(web, server) == BODY
        monkeypatch.setattr(module, "SLOWEST", len(BODY) / 10)
        with pytest.raises(RetrievalError, match="too slowly"):
            get(web, server)


def test_no_answer_in_time(server, web):
    enough = threading.Event()
    server.always = lambda handler: enough.wait(30)
    with conf.set_temp("timeout", 0.2), conf.set_temp("retries", 1):
        with pytest.raises(RetrievalError, match=r"too slowly .* \(tries: 2\)"):
            get(web, server)
    enough.set()


def test_max_bytes_without_content_length(server, web):
    sent = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for _ in range(10_000):
            handler.wfile.write(BODY)
            sent.append(len(BODY))

    server.always = endless
    with conf.set_temp("retries", 0), pytest.raises(RetrievalError, match="more than the 20000 bytes"):
        get(web, server, max_bytes=20_000)
    assert sum(sent) < 10_000 * len(BODY)


def test_bodies_without_content_length(server, web):
    def in_chunks(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(BODY), 1000):
            piece = BODY[start : start + 1000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    server.always = in_chunks
    assert get(web, server) == BODY
    assert get(web, server) == BODY
    assert len(server.clients) == 1


# Ranges


def in_range(handler: Handler) -> None:
    first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
    part = BODY[first : last + 1]
    handler.answer(206, part, Content_Range=f"bytes {first}-{first + len(part) - 1}/{len(BODY)}")


def test_ranges(server, web):
    server.always = in_range
    assert get(web, server, check=bytes, byte_range=(0, 0)) == BODY[:1]
    assert get(web, server, check=bytes, byte_range=(100, 5999)) == BODY[100:6000]
    assert [headers["Range"] for headers in server.headers] == ["bytes=0-0", "bytes=100-5999"]
    assert len(server.clients) == 1


PART = slice(100, 110)
RIGHT = f"bytes 100-109/{len(BODY)}"
WRONG_RANGES = {
    "whole file": (fine, "the whole file"),
    "elsewhere": (status(206, BODY[PART], Content_Range="bytes 101-110/10240"), "other bytes"),
    "no Content-Range": (status(206, BODY[PART]), "other bytes"),
    "shorter": (status(206, BODY[100:109], Content_Range=RIGHT), "other bytes"),
    "longer": (status(206, BODY[100:111], Content_Range=RIGHT), "other bytes"),
    "up to the end of a short file": (
        status(206, BODY[100:105], Content_Range="bytes 100-104/105"),
        "other bytes",
    ),
}


@pytest.mark.parametrize(("fault", "words"), WRONG_RANGES.values(), ids=WRONG_RANGES)
def test_wrong_ranges(server, web, fault, words):
    server.script = [fault] * 3
    server.always = in_range
    assert get(web, server, check=bytes, byte_range=(100, 109)) == BODY[PART]
    assert len(server.paths) == 4
    server.always = fault
    with pytest.raises(RetrievalError, match=words):
        get(web, server, check=bytes, byte_range=(100, 109))


def test_the_length_of_a_file_may_be_left_open(server, web):
    server.always = status(206, BODY[PART], Content_Range="bytes 100-109/*")
    assert get(web, server, check=bytes, byte_range=(100, 109)) == BODY[PART]


# Offline, and the one transport of a process


def test_offline_opens_no_socket(server, web, monkeypatch):
    def no_socket(*args: object, **keys: object) -> None:
        raise AssertionError("a socket was opened")

    with conf.set_temp("offline", True), monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", no_socket)
        patch.setattr(socket, "getaddrinfo", no_socket)
        with pytest.raises(RetrievalError, match=r"conf\.offline is set"):
            get(web, server)
    assert server.paths == []
    assert get(web, server) == BODY


def test_going_offline_ends_the_tries(server, web, monkeypatch):
    server.always = 500
    with conf.set_temp("offline", False):
        monkeypatch.setattr(module, "sleep", lambda seconds: setattr(conf, "offline", True))
        with pytest.raises(RetrievalError, match=r"conf\.offline is set"):
            get(web, server)
    assert len(server.paths) == 1


def test_one_for_the_process():
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda i: transport(), range(100)))
    assert found == {transport()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_its_own():
    code = """
import os
from astro_iicnet.cutouts.transport import transport
mine = transport()
child = os.fork()
if child == 0:
    os._exit(0 if transport() is not mine else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
