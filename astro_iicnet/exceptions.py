"""Errors and warnings of astro_iicnet."""

import difflib
from collections.abc import Iterable

from astropy.utils.exceptions import AstropyUserWarning


class IICnetError(ValueError):
    """A bad argument: the message holds the value, what was expected and the remedy."""


class SourcesError(IICnetError):
    """A list of sources that cannot be understood."""


class ImagesError(IICnetError):
    """An image source that cannot be used."""


class WeightsError(IICnetError):
    """Network weights that cannot be found, verified or used."""


class MissingLibraryError(IICnetError):
    """A library of an extra that is not installed."""


class DivergedError(IICnetError):
    """A training whose loss is no longer a number."""


class RetrievalError(ImagesError):
    """An archive did not give an image, though it may the next time: the row is ``retrieval_failed``."""


class NoImageError(ImagesError):
    """An archive has no such image (HTTP 400 or 404): the row is ``no_coverage``."""


class IICnetWarning(AstropyUserWarning):
    """Base class of the warnings of astro_iicnet."""


class FileSkippedWarning(IICnetWarning):
    """A file was left out because it could not be used."""


class RetrievalWarning(IICnetWarning):
    """An archive failed, or serves images that are not quite those asked for."""


class StoreWarning(IICnetWarning):
    """The store of cutouts cannot be used as it should; the work goes on without."""


def unknown_name(kind: str, value: object, valid: Iterable[str]) -> str:
    """Message for a name that does not exist, with the closest valid one.

    Parameters
    ----------
    kind : str
        What the name stands for, as in "weights".
    value : object
        What was given.
    valid : iterable of str
        The names that exist.

    Returns
    -------
    str
        One sentence or two, ready to be raised.
    """
    names = list(valid)
    close = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {kind} {value!r}: expected one of {', '.join(map(repr, names))}.{hint}"
