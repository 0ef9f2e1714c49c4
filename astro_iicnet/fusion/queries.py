"""Queries to catalogues: tried again with patience, never too often."""

import time
from collections.abc import Callable
from typing import TypeVar

import requests

from astro_iicnet.config import conf
from astro_iicnet.exceptions import RetrievalError

BACKOFF = 5.0
"""Seconds before the second try; each pause is twice the one before."""

BUSY_PAUSE = 60.0
"""Seconds to leave a service alone that says it is asked too much (HTTP 403, 429, 503)."""

_BUSY = (403, 429, 503)
_MAY_BE_OTHERWISE = (408, 500, 502, 504)

_T = TypeVar("_T")


class AnswerError(Exception):
    """An answer that is cut, or not of the format that was asked for; the next one may be whole."""


def ask(service: str, send: Callable[[], requests.Response], read: Callable[[requests.Response], _T]) -> _T:
    """Send a query until its answer can be read.

    Parameters
    ----------
    service : str
        Name of the service, for messages.
    send : callable
        Sends the query and returns the `requests.Response`, whatever its status.
    read : callable
        Turns a response with status 200 into what is wanted; raises `AnswerError` where it is not
        whole.

    Returns
    -------
    object
        What ``read`` returns.

    Raises
    ------
    RetrievalError
        If ``conf.offline`` is set, the service refuses the query, or it has failed
        ``conf.retries`` + 1 times.
    """
    if conf.offline:
        raise RetrievalError(f"{service} was not asked: astro_iicnet.conf.offline is set.")
    pause, problem = BACKOFF, ""
    for attempt in range(conf.retries + 1):
        if attempt:
            time.sleep(pause)
            pause *= 2
        try:
            response = send()
            if response.ok:
                return read(response)
        except (requests.RequestException, AnswerError) as error:
            problem = f"sent {error}" if isinstance(error, AnswerError) else f"does not answer ({error})"
            continue
        status = response.status_code
        problem = f"answered HTTP {status}"
        if status in _BUSY:
            problem += ", which means that it is asked too much"
            pause = max(pause, BUSY_PAUSE)
        elif status not in _MAY_BE_OTHERWISE:
            raise RetrievalError(f"{service} refuses the query (HTTP {status}): {_start(response.text)}")
    raise RetrievalError(f"{service} {problem}; tries: {conf.retries + 1}. Try again later.")


def _start(text: str) -> str:
    """One line of what a service says about a query that it does not take."""
    words = " ".join(text.split())
    return words[:300] + ("..." if len(words) > 300 else "")
