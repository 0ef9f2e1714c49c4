"""Files over HTTP: bounded in size and time, from the first address that serves them."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, TypeVar

from astro_iicnet._version import version
from astro_iicnet.config import conf
from astro_iicnet.exceptions import WeightsError

if TYPE_CHECKING:
    from requests import Response
    from urllib3 import BaseHTTPResponse

BACKOFF = 1.0
"""Pauses between tries grow from this [s] by factors of two."""

SLOWEST = 20_000.0
"""A body may take `conf.timeout`, and its size over this [bytes/s]."""

_BLOCK = 1 << 18  # bytes
_PASSING = frozenset([408, 429, *range(500, 600)])

_T = TypeVar("_T")


class DownloadError(Exception):
    """An address did not give the file; the message goes on from the address.

    Parameters
    ----------
    message : str
        What the server did, as in "answered HTTP 404".
    passing : bool, default False
        Whether it may be otherwise the next time.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class WrongContent(DownloadError):
    """What an address sent is not the file, alone or after what was there."""


def first_good(
    what: str, urls: Iterable[str], attempt: Callable[[str], _T], *, part: Path | None = None
) -> _T:
    """Try addresses in turn, and those with passing faults again after pauses.

    Parameters
    ----------
    what : str
        What is wanted, as the subject of a sentence in the plural.
    urls : iterable of str
        The addresses, the best first.
    attempt : callable
        Given an address, returns what is wanted or raises `DownloadError`.
    part : pathlib.Path, optional
        Where ``attempt`` keeps what has arrived, for the next try. Default: it keeps nothing.

    Returns
    -------
    object
        What ``attempt`` returned first.

    Raises
    ------
    WeightsError
        If no address gave it, with what each did; or ``conf.offline`` is set, and then none is asked.
    """
    left = list(dict.fromkeys(urls))
    if conf.offline:
        raise WeightsError(
            f"{what} cannot be downloaded: astro_iicnet.conf.offline is set. Unset it, or download them "
            "where there is a network, with the setting cache_dir on a disk that both machines see."
        )
    reasons: dict[str, str] = {}
    for n_tries in range(conf.retries + 1):
        sleep(BACKOFF * 2 ** (n_tries - 1) if n_tries else 0)
        for url in list(left):
            try:
                return attempt(url)
            except DownloadError as error:
                reasons[url] = str(error)
                if not error.passing:
                    left.remove(url)
        if not left:
            break
    told = "; ".join(f"{url} {reason}" for url, reason in reasons.items())
    n_bytes = part.stat().st_size if part and part.is_file() else 0
    kept = f"{n_bytes} bytes are kept for the next try" if n_bytes else "nothing of them was kept"
    raise WeightsError(
        f"{what} could not be downloaded, and {kept}: {told}. Try again later, or ask who publishes them "
        "for another address or a file."
    )


def download(
    url: str,
    write: Callable[[bytes], object],
    *,
    size: int | None = None,
    limit: int | None = None,
    start: int = 0,
    begin: Callable[[int], object] = lambda start: None,
) -> None:
    """Read what is at an address, all of it or what is missing, and in time.

    Parameters
    ----------
    url : str
        The address.
    write : callable
        Is given the bytes, block by block.
    size : int, optional
        Bytes that the whole must have. Default: unknown.
    limit : int, optional
        Bytes that it may have at most. Default: ``size``.
    start : int, default 0
        Bytes that are there already; the server is asked for those after them.
    begin : callable, optional
        Is told before the first block how many bytes come before it: ``start``, or 0 from a server that
        sends all whatever it is asked for. Default: nobody is told.

    Raises
    ------
    WrongContent
        If it sends too much, or has nothing that goes on from ``start``.
    DownloadError
        If it cannot be had otherwise, or has another size.
    """
    import requests
    from urllib3.exceptions import HTTPError

    agent = f"astro_iicnet/{version} {requests.utils.default_user_agent()}"
    # The size is that of the file, not of what is left of it after compression.
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(url, headers=headers, timeout=conf.timeout, stream=True) as response:
            first = _first_byte(response, start)
            announced = response.raw.length_remaining
            if size is not None and announced is not None and first + announced != size:
                raise DownloadError(f"serves a file of {first + announced} bytes, expected {size}")
            begin(first)
            _read(response.raw, write, first, size, size if limit is None else limit)
    except (requests.RequestException, HTTPError) as error:
        raise _in_words(error) from error


def _first_byte(response: "Response", start: int) -> int:
    """Say where in the file the body of an answer begins."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return 0
    answered = f"answered HTTP {status} {response.reason}"
    if start and status == HTTPStatus.PARTIAL_CONTENT:
        place = response.headers.get("Content-Range", "no place")
        if place.startswith(f"bytes {start}-"):
            return start
        raise WrongContent(f"{answered} with {place}, expected bytes {start} and those after it")
    if start and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise WrongContent(answered)
    raise DownloadError(answered, passing=status in _PASSING)


def _read(
    raw: "BaseHTTPResponse",
    write: Callable[[bytes], object],
    first: int,
    size: int | None,
    limit: int | None,
) -> None:
    n_bytes = first
    deadline = monotonic() + conf.timeout + (limit or 0) / SLOWEST
    # read1 comes back with what there is: the timeout of the socket starts anew with each byte that drips in.
    while block := raw.read1(_BLOCK, decode_content=False):
        n_bytes += len(block)
        if limit is not None and n_bytes > limit:
            raise WrongContent(f"sends more than the {limit} bytes that were expected")
        if monotonic() > deadline:
            raise DownloadError(f"is too slow: {n_bytes - first} bytes in time", passing=True)
        write(block)
    if size is not None and n_bytes != size:
        raise DownloadError(f"broke off after {n_bytes} of {size} bytes", passing=True)


def _in_words(problem: Exception) -> DownloadError:
    """Say what a server did, as it goes on from its address."""
    import requests
    from urllib3.exceptions import NewConnectionError, ProtocolError
    from urllib3.exceptions import TimeoutError as UrllibTimeout

    inner = problem.args[0] if problem.args else None
    unreachable = isinstance(getattr(inner, "reason", None), NewConnectionError)
    if isinstance(problem, requests.Timeout | UrllibTimeout):
        told = f"answers too slowly (astro_iicnet.conf.timeout is {conf.timeout:g} s)"
        return DownloadError(told, passing=not isinstance(problem, requests.ConnectTimeout))
    if isinstance(problem, ProtocolError) or isinstance(inner, ProtocolError):
        return DownloadError("broke off in the middle of the answer", passing=True)
    root: BaseException = problem
    while cause := root.__cause__ or root.__context__:
        root = cause
    lost = isinstance(problem, requests.ConnectionError) and not isinstance(
        problem, requests.exceptions.SSLError
    )
    told = f"does not answer ({getattr(root, 'strerror', None) or root})"
    return DownloadError(told, passing=lost and not unreachable)
