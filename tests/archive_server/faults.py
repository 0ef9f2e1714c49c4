"""Faults of an archive, and plans that say when they happen."""

import hashlib
from collections.abc import Callable, Sequence
from enum import Enum


class Fault(Enum):
    """What goes wrong."""

    UNAVAILABLE = "503"
    UNAVAILABLE_RETRY_AFTER = "503 with Retry-After"
    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    RESET = "connection reset"
    TRUNCATED = "truncated body, right Content-Length"
    TRUNCATED_LENGTH = "truncated body, Content-Length to match"
    SLOW = "slow body"
    HTML = "HTML page with status 200"
    OTHER_TILE = "FITS file of another tile"
    OTHER_BAND = "FITS file of another band"
    NAN_WCS = "NaN in the WCS"
    FORBIDDEN = "403"
    NOT_FOUND = "404"


TRANSIENT = tuple(fault for fault in Fault if fault not in (Fault.FORBIDDEN, Fault.NOT_FOUND))
"""Those after which a request is worth repeating."""

Plan = Callable[[str, int], Fault | None]
"""Called with path, query and range of a request as one string, and how often it came before."""


def random_faults(fraction: float, seed: int, max_per_url: int, kinds: Sequence[Fault] = TRANSIENT) -> Plan:
    """Plan faults of all kinds at random, the same whatever the order of the requests.

    Parameters
    ----------
    fraction : float
        Share of the requests that fail.
    seed : int
        Another seed gives other faults.
    max_per_url : int
        Only the first so many requests of one URL and range can fail.
    kinds : sequence of Fault, optional
        What may happen, by default all from which there is recovery.
    """

    def plan(request: str, attempt: int) -> Fault | None:
        if attempt >= max_per_url:
            return None
        digest = hashlib.blake2b(f"{seed} {attempt} {request}".encode(), digest_size=8).digest()
        dice = int.from_bytes(digest[:4]) / 2**32
        return kinds[int.from_bytes(digest[4:]) % len(kinds)] if dice < fraction else None

    return plan


def permanent_faults(chosen: Callable[[str], bool], fault: Fault = Fault.SERVER_ERROR) -> Plan:
    """Plan a fault that never goes away for the requests that ``chosen`` picks."""
    return lambda request, attempt: fault if chosen(request) else None


def first_faults(*faults: Fault | None) -> Plan:
    """Plan what happens to the first, second, ... request of every URL and range."""
    return lambda request, attempt: faults[attempt] if attempt < len(faults) else None


def either(*plans: Plan) -> Plan:
    """Follow the first of several plans that has a fault for a request."""

    def plan(request: str, attempt: int) -> Fault | None:
        return next((fault for each in plans if (fault := each(request, attempt))), None)

    return plan
