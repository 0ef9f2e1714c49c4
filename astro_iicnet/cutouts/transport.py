"""Requests to the archives over HTTP: one polite way for all of them."""

import os
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.cookiejar import DefaultCookiePolicy
from threading import Condition
from time import monotonic, sleep
from typing import TypeVar
from urllib.parse import urlsplit

import requests
from requests import exceptions as failures
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    LocationParseError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
)
from urllib3.exceptions import TimeoutError as UrllibTimeout

from astro_iicnet._version import version
from astro_iicnet.config import conf
from astro_iicnet.exceptions import NoImageError, RetrievalError, RetrievalWarning

BACKOFF = 1.0
"""Pauses between tries grow from this [s] by factors of two."""

LONGEST_PAUSE = 60.0
"""Where the growth of pauses ends [s]; a server may ask for longer ones, of which there is a warning."""

PATIENCE = 3600.0
"""How long one request waits for a server that limits its rate, or is gone [s]; then a try is a try."""

SLOWEST = 20_000.0
"""A body may take `conf.timeout`, and its size over this [bytes/s]."""

_NO_IMAGE = (400, 404)
_PASSING = frozenset([408, 429, *range(500, 600)])
_HOPELESS = (
    failures.InvalidSchema,
    failures.InvalidURL,
    failures.MissingSchema,
    failures.TooManyRedirects,
    LocationParseError,
)
_BLOCK = 1 << 18  # bytes
_POOL = 256  # connections kept, at no cost for those not opened; conf.max_connections may change at any time

_T = TypeVar("_T")


class BrokenBodyError(ValueError):
    """An answer that is not what was asked for; the request is worth repeating.

    The message is a noun phrase that goes on from "the server sent".
    """


class _Session(requests.Session):
    """A session that a redirecting server can neither fill with bytes nor make stumble."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads. Its body goes unread: `requests` would read, and unpack, all of it."""
        try:
            target = super().get_redirect_target(resp)
            urlsplit(target or "")
        except ValueError as error:  # it is no text, or no URL
            raise BrokenBodyError("a redirection to no address") from error
        if target is not None:
            resp.raw.close()
        return target


class Transport:
    """Requests to the archives: pooled connections, retries, a ceiling on connections to a server.

    All threads may share one; `transport` gives the one that all archives share. At most
    ``conf.max_connections`` requests to a server (scheme, host and port) are under way at a time. A server
    that limits the rate (HTTP 429, or 503 with Retry-After) is left alone by all threads for as long as it
    asks, or for pauses that grow; of a long pause there is a warning. All settings are read when they are
    used.
    """

    def __init__(self) -> None:
        self._session = _Session()
        agent = f"astro_iicnet/{version} {requests.utils.default_user_agent()}"
        # Ranges and lengths are those of the file, not of what is left of it after compression.
        self._session.headers.update({"User-Agent": agent, "Accept-Encoding": "identity"})
        # The archives need no cookies, and threads would trip over each other in the jar.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_POOL))
        self._servers: dict[str, _Server] = {}

    def get(
        self,
        url: str,
        check: Callable[[bytes], _T],
        *,
        params: Mapping[str, str] | None = None,
        byte_range: tuple[int, int] | None = None,
        max_bytes: int,
    ) -> _T:
        """Ask for something until a good answer comes, or the tries are used up.

        Parameters
        ----------
        url : str
            What to ask for.
        check : callable
            Turns the body (bytes) into what the caller wants, or raises `BrokenBodyError`.
        params : mapping of str to str, optional
            The query that goes with the URL; by default none.
        byte_range : tuple of int, optional
            First and last byte wanted, both inclusive; by default the whole.
        max_bytes : int
            A larger body is broken, and not read to its end.

        Returns
        -------
        object
            What ``check`` returned.

        Raises
        ------
        NoImageError
            HTTP 400 or 404: there is no such thing.
        RetrievalError
            Any other failure, after ``conf.retries`` repetitions where it may be a passing one; or
            ``conf.offline`` is set, and then no connection is opened.
        """
        server = self._server(url)
        retry = Retry(
            0 if server.given_up else conf.retries,
            status_forcelist=_PASSING,
            backoff_factor=BACKOFF,
            backoff_jitter=BACKOFF,
            backoff_max=LONGEST_PAUSE,
        )
        tries, patient_until = 0, None
        while True:
            tries += 1
            try:
                with server.slot():
                    body = self._ask(server, retry, url, params, byte_range, max_bytes)
                return check(body)
            except _HOPELESS as error:
                raise RetrievalError(f"{server.name} cannot be asked: {error}") from error
            except (_StatusError, BrokenBodyError, requests.RequestException, HTTPError) as error:
                if server.must_be_left_alone(error):
                    patient_until = patient_until or monotonic() + PATIENCE
                    if monotonic() < patient_until:
                        continue
                retry = _one_less(retry, server, error, tries)
            sleep(retry.get_backoff_time())

    def _server(self, url: str) -> "_Server":
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise RetrievalError(f"{url!r} is not a URL: {error}.") from None
        name = f"{parts.scheme}://{parts.hostname}{port}"
        return self._servers.get(name) or self._servers.setdefault(name, _Server(name))

    def _ask(
        self,
        server: "_Server",
        retry: Retry,
        url: str,
        params: Mapping[str, str] | None,
        byte_range: tuple[int, int] | None,
        max_bytes: int,
    ) -> bytes:
        """Send one request and read the body that answers it."""
        headers = {"Range": f"bytes={byte_range[0]}-{byte_range[1]}"} if byte_range else None
        timeout = conf.timeout
        with self._session.get(url, params=params, headers=headers, timeout=timeout, stream=True) as response:
            server.has_answered, server.given_up = True, False
            _check_status(response, server, retry)
            if byte_range:
                _check_range(response, *byte_range)
            elif response.status_code != requests.codes.ok:
                raise BrokenBodyError(f"no file, but HTTP {response.status_code}")
            body = _read(response.raw, max_bytes, timeout)
        if byte_range and len(body) != byte_range[1] - byte_range[0] + 1:
            raise BrokenBodyError("other bytes of the file than those asked for")
        server.limits_nothing()
        return body


class _Server:
    """What all threads must know of one server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.has_answered = False
        self.given_up = False
        self._changed = Condition()
        self._n_requests = 0
        self._n_pauses = 0
        self._resume = 0.0
        self._told_until = 0.0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until a request may be sent, and hold one of the connections meanwhile."""
        with self._changed:
            while True:
                if conf.offline:
                    raise RetrievalError(f"{self.name} was not asked: astro_iicnet.conf.offline is set.")
                pause = self._resume - monotonic()
                if pause > PATIENCE:
                    raise RetrievalError(f"{self.name} asks to be left alone for {pause:.0f} s.")
                if pause <= 0 and self._n_requests < conf.max_connections:
                    break
                self._changed.wait(pause if pause > 0 else None)
            self._n_requests += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_requests -= 1
                self._changed.notify_all()

    def must_be_left_alone(self, problem: Exception) -> bool:
        """Begin a pause where a problem calls for one: a limited rate, or a connection lost on the way."""
        if isinstance(problem, _RateLimitError):
            self.pause(problem.retry_after)
            return True
        if self.has_answered and not self.given_up and _is_unreachable(problem):
            self.pause(None)
            return True
        return False

    def pause(self, seconds: float | None) -> None:
        """Send nothing for a while; without a time, for a pause that grows with the number of pauses."""
        with self._changed:
            now = monotonic()
            if now >= self._resume:  # else the answer belongs to the pause that is on
                self._n_pauses += 1
            if not seconds:
                seconds = BACKOFF * 2 ** min(self._n_pauses - 1, 16) * (1 + random.random())
                seconds = min(seconds, LONGEST_PAUSE)
            self._resume = max(self._resume, now + seconds)
            is_news = LONGEST_PAUSE < seconds <= PATIENCE and now >= self._told_until
            if is_news:
                self._told_until = now + seconds
        if is_news:
            warn_of_pause(self.name, seconds)

    def limits_nothing(self) -> None:
        """Let the next pause be a short one."""
        with self._changed:
            self._n_pauses = 0


class _StatusError(Exception):
    """An HTTP status that may be another one the next time."""


class _RateLimitError(_StatusError):
    """The server wants fewer requests; ``retry_after`` [s] is None where it does not say when."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(status)
        self.retry_after = retry_after


def warn_of_pause(name: str, seconds: float) -> None:
    """Say that a server is waited for, lest a run seem to hang.

    Parameters
    ----------
    name : str
        The server.
    seconds : float
        For how long.

    Warns
    -----
    RetrievalWarning
        Each time: the hour in the message tells one pause from another.
    """
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    message = f"{name} asks to be left alone for {seconds:.0f} s: waiting until {then:%H:%M:%S} UTC."
    warnings.warn(message, RetrievalWarning, stacklevel=2)


def transport() -> Transport:
    """Give the transport that all archives of this process share.

    Returns
    -------
    Transport
        The same each time; another one in a process that was forked, for it must not share connections.
    """
    process = os.getpid()
    return _transports.get(process) or _transports.setdefault(process, Transport())


_transports: dict[int, Transport] = {}


def _one_less(retry: Retry, server: _Server, problem: Exception, tries: int) -> Retry:
    """Take a try from those that are left; raise if there is none."""
    try:
        return retry.increment("GET")
    except MaxRetryError:
        server.given_up |= _is_unreachable(problem)
        raise RetrievalError(f"{server.name} {_in_words(problem)} (tries: {tries}).") from problem


def _is_unreachable(problem: Exception) -> bool:
    """Tell whether no connection came about: nobody there, no such name, or no network."""
    reason = getattr(problem.args[0], "reason", None) if problem.args else None
    return isinstance(problem, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)


def _check_status(response: requests.Response, server: _Server, retry: Retry) -> None:
    status = response.status_code
    if status in _NO_IMAGE:
        raise NoImageError(f"{server.name} has no such image (HTTP {status}).")
    if retry.is_retry("GET", status):
        try:
            seconds = retry.get_retry_after(response.raw)
        except (InvalidHeader, ValueError, OverflowError):  # also of a number, or a year, that is too large
            seconds = None
        if status == requests.codes.too_many_requests or (
            status == requests.codes.service_unavailable and seconds is not None
        ):
            raise _RateLimitError(status, seconds)
        raise _StatusError(status)
    if not response.ok:
        raise RetrievalError(f"{server.name} refuses (HTTP {status} {response.reason}).")


def _check_range(response: requests.Response, first: int, last: int) -> None:
    if response.status_code != requests.codes.partial_content:
        raise BrokenBodyError(f"the whole file (HTTP {response.status_code}) instead of a part of it")
    sent = response.headers.get("Content-Range", "")
    if not re.fullmatch(rf"bytes {first}-{last}/(\d+|\*)", sent.strip()):
        raise BrokenBodyError("other bytes of the file than those asked for")


def _read(raw: BaseHTTPResponse, max_bytes: int, timeout: float) -> bytes:
    """Read a body as it was sent, all of it and in time."""
    size = raw.length_remaining
    too_large = BrokenBodyError(f"more than the {max_bytes} bytes that were to be expected")
    if size is not None and size > max_bytes:
        raise too_large
    deadline = monotonic() + timeout + (max_bytes if size is None else size) / SLOWEST
    blocks, n_bytes = [], 0
    # read1 comes back with what there is: the timeout of the socket starts anew with each byte that drips in.
    while block := raw.read1(_BLOCK, decode_content=False):
        blocks.append(block)
        n_bytes += len(block)
        if n_bytes > max_bytes:
            raise too_large
        if monotonic() > deadline:
            raise requests.ReadTimeout
    return b"".join(blocks)


def _in_words(problem: Exception) -> str:
    """Say what a server did, as it goes on from its name."""
    if isinstance(problem, _StatusError):
        return f"answered HTTP {problem}"
    if isinstance(problem, BrokenBodyError):
        return f"sent {problem}"
    if isinstance(problem, requests.Timeout | UrllibTimeout):
        return f"answers too slowly (astro_iicnet.conf.timeout is {conf.timeout:g} s)"
    if isinstance(problem, ProtocolError):
        return "broke off in the middle of an answer"
    root: BaseException = problem
    while cause := root.__cause__ or root.__context__:
        root = cause
    return f"does not answer ({getattr(root, 'strerror', None) or root})"
