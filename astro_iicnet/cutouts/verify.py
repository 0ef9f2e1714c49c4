"""The rule for the URLs of Atlas images, held against IRSA's own index."""

import warnings
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from astro_iicnet.allwise.bands import get_band
from astro_iicnet.allwise.tiles import best_tile
from astro_iicnet.config import conf
from astro_iicnet.exceptions import ImagesError, RetrievalError

if TYPE_CHECKING:
    from astro_iicnet.cutouts.archive import Archive

COLLECTION = "wise_allwise"
"""What IRSA's index calls the AllWISE Atlas."""

_RADIUS = 1 * u.arcsec
_NAME = "The index of IRSA"


def verify_urls(coords: SkyCoord, bands: tuple[str, ...], archive: "Archive") -> None:
    """Check that the images an archive would ask for are those that IRSA's index lists.

    One query (SIA v2) for each position: for a few positions, not for a long list. Paths are compared,
    as IRSA may be reached by another host name.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions; NaN is passed over.
    bands : tuple of str
        Band names, as in ``("W1", "W2", "W3")``.
    archive : Archive
        Whose ``image_url`` is checked.

    Raises
    ------
    RetrievalError
        If the index cannot be asked, or ``conf.offline`` is set.
    ImagesError
        If the index lists nothing there, or other images than those expected.

    References
    ----------
    IVOA Simple Image Access 2.0; IRSA's service at https://irsa.ipac.caltech.edu/SIA.
    """
    for band in bands:
        get_band(band)
    tiles, _ = best_tile(coords)
    if not np.any(tiles != ""):
        return
    if conf.offline:
        raise RetrievalError("verify=True needs the index of IRSA, but astro_iicnet.conf.offline is set.")
    service = _service()
    for position, tile in zip(np.atleast_1d(coords.icrs), tiles.tolist(), strict=True):
        if tile:
            listed = _science_images(service, position)
            for band in bands:
                _compare(archive.image_url(tile, band), listed, position, f"{tile} in {band}")


def _service() -> Any:
    """IRSA as astroquery asks it, on our server, with the limits of time and patience that it lacks."""
    from astroquery.ipac.irsa import IrsaClass  # type: ignore[import-untyped]
    from requests import Response, Session
    from requests.adapters import HTTPAdapter
    from urllib3 import BaseHTTPResponse, Retry

    from astro_iicnet.cutouts.transport import LONGEST_PAUSE, PATIENCE, warn_of_pause

    patient_until = monotonic() + PATIENCE

    class LimitedSession(Session):
        def request(self, *args: Any, **kwargs: Any) -> Response:
            kwargs.setdefault("timeout", conf.timeout)
            return super().request(*args, **kwargs)

    class LimitedRetry(Retry):
        def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
            seconds = super().get_retry_after(response)
            if seconds is not None and monotonic() + seconds > patient_until:
                raise RetrievalError(f"it asks to be left alone for {seconds:.0f} s")
            if seconds is not None and seconds > LONGEST_PAUSE:
                warn_of_pause(_NAME, seconds)
            return seconds

    class LimitedIrsa(IrsaClass):
        def __init__(self) -> None:
            self._session = LimitedSession()
            retry = LimitedRetry(
                conf.retries,
                status_forcelist=(429, 500, 502, 503, 504),
                backoff_factor=0.5,
                backoff_jitter=0.5,
            )
            self._session.mount("http://", HTTPAdapter(max_retries=retry))
            self._session.mount("https://", HTTPAdapter(max_retries=retry))
            super().__init__()
            self.sia_url = f"{conf.irsa_server.rstrip('/')}/SIA"

    return LimitedIrsa()


def _science_images(service: Any, position: SkyCoord) -> list[str]:
    """URLs of the intensity images around a position."""
    with warnings.catch_warnings():
        # What astropy finds odd in a VOTable that it can read does not matter here.
        warnings.filterwarnings("ignore", message=f"(?!{_NAME})")
        try:
            table: Table = service.query_sia(pos=(position, _RADIUS), collection=COLLECTION)
        except Exception as error:  # pyvo and requests raise errors of many kinds
            raise RetrievalError(
                f"The index of IRSA ({service.sia_url}) did not answer as it should: {error}"
            ) from error
    missing = {"access_url", "dataproduct_subtype"} - set(table.colnames)
    if missing:
        raise ImagesError(
            f"The index of IRSA ({service.sia_url}) gave a table without {' and '.join(sorted(missing))}, "
            f"but with {', '.join(table.colnames)}."
        )
    science = [str(kind).strip() == "science" for kind in table["dataproduct_subtype"]]
    urls = [str(url).strip() for url in table["access_url"][science]]
    if not urls:
        raise ImagesError(
            f"The index of IRSA ({service.sia_url}) lists no image of collection {COLLECTION!r} at "
            f"{position.to_string(precision=5)}, expected one in each band. The collection may have "
            "another name now."
        )
    return urls


def _compare(expected: str, listed: list[str], position: SkyCoord, what: str) -> None:
    path = urlsplit(expected).path
    if any(unquote(urlsplit(url).path) == path for url in listed):
        return
    raise ImagesError(
        f"The index of IRSA does not list the image of tile {what} at {position.to_string(precision=5)}: "
        f"expected {expected}, found {', '.join(sorted(listed))}. Please report this: the rule for URLs "
        "may have changed. Until then use another image source."
    )
