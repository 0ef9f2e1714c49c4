"""The AllWISE source nearest to each position, from the cross-match service of CDS."""

import contextlib
import io
import warnings

import numpy as np
import requests
from astropy.coordinates import SkyCoord
from astropy.io import votable
from astropy.table import Table

from astro_iicnet.config import conf
from astro_iicnet.exceptions import RetrievalError
from astro_iicnet.fusion.queries import AnswerError, ask

CATALOGUE = "vizier:II/328/allwise"
"""The AllWISE source catalogue, as CDS calls it (Cutri et al. 2013, VizieR II/328)."""

RADIUS = 2.0
"""Largest separation of a match [arcsec]."""

MAX_ROWS = 2_000_000
"""Rows of the longest answer; a longer one is cut by the service, which does not say so."""

_SERVICE = "CDS XMatch"
_NUMBERS = {
    **{f"w{band}mpro": f"W{band}mag" for band in (1, 2, 3, 4)},
    **{f"w{band}sigmpro": f"e_W{band}mag" for band in (1, 2, 3, 4)},
}
_WORDS = {"allwise": "AllWISE", "ph_qual": "qph", "cc_flags": "ccf", "ext_flg": "ex"}
_NEEDED = ("row", "AllWISE", "RAJ2000", "DEJ2000", *_NUMBERS.values())


def match_allwise(coords: SkyCoord, *, radius: float = RADIUS) -> Table:
    """Find the nearest AllWISE source of each position.

    The service cuts a long answer without a word. So positions without a match are asked for once
    more: where any of them has one now, the first answer was cut, and the list is halved.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        (N,) positions.
    radius : float, default 2
        Largest separation [arcsec].

    Returns
    -------
    `~astropy.table.Table`
        One row for each position with a match, by rising ``row`` (int, its index in ``coords``):
        ``allwise`` (str, the designation), ``ra`` and ``dec`` (float64 [deg], of AllWISE),
        ``separation`` (float64 [arcsec]), ``w1mpro`` .. ``w4mpro`` (float64 [mag, Vega]),
        ``w1sigmpro`` .. ``w4sigmpro`` (float64 [mag], NaN where the magnitude is an upper limit),
        ``ph_qual``, ``cc_flags``, ``ext_flg`` (str, empty where the service does not send them).

    Raises
    ------
    RetrievalError
        If the service refuses, fails or goes on sending incomplete answers.

    References
    ----------
    Boch, Pineau & Derriere 2012, ASP Conf. Ser. 461, 291 (the service).
    """
    rows = np.arange(len(coords))
    sent = Table({"row": rows, "ra_sent": coords.icrs.ra.deg, "dec_sent": coords.icrs.dec.deg})
    return _nearest(_all_matches(sent, radius, MAX_ROWS), coords, radius)


def _all_matches(sent: Table, radius: float, limit: int) -> Table:
    """All matches of these positions, in as many jobs as the service can answer in full.

    An answer of ``limit`` rows counts as cut: the known limit, or the length of one that proved to be.
    """
    matches, cut = _ask(sent, radius)
    cut |= len(matches) >= limit
    if not cut:
        silent = sent[~np.isin(sent["row"], matches["row"])]
        if not len(silent):
            return matches
        again, cut = _ask(silent, radius)
        if not (cut or len(again)):
            return matches
    if len(sent) == 1:
        raise RetrievalError(f"{_SERVICE} does not send all matches of one position: try again later.")
    limit = min(limit, len(matches) or limit)
    middle = len(sent) // 2
    halves = [_all_matches(part, radius, limit) for part in (sent[:middle], sent[middle:])]
    return Table({name: np.concatenate([half[name] for half in halves]) for name in matches.colnames})


def _ask(sent: Table, radius: float) -> tuple[Table, bool]:
    """Send one job; its matches, and whether the answer says or shows that it is cut."""
    with contextlib.redirect_stdout(None):  # without the package regions, importing it prints a line
        from astroquery.xmatch import conf as service  # type: ignore[import-untyped]

    upload = io.StringIO()
    sent.write(upload, format="ascii.csv", formats={"ra_sent": "%.8f", "dec_sent": "%.8f"})
    job = {
        "request": "xmatch",
        "cat2": CATALOGUE,
        "distMaxArcsec": radius,
        "RESPONSEFORMAT": "votable",
        "colRA1": "ra_sent",
        "colDec1": "dec_sent",
        "area": "allsky",
    }

    # Not XMatch.query: it takes any failure but HTTP 403 for a VOTable.
    def send() -> requests.Response:
        files = {"cat1": ("cat1.csv", upload.getvalue())}
        return requests.post(service.url, data=job, files=files, timeout=max(service.timeout, conf.timeout))

    return ask(_SERVICE, send, lambda response: _read_answer(response.content, sent["row"]))


def _read_answer(content: bytes, rows: np.ndarray) -> tuple[Table, bool]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = votable.parse(io.BytesIO(content), verify="ignore")
    except Exception as error:  # the parser raises whatever it stumbles over
        raise AnswerError(f"no complete VOTable: {error}") from error
    infos = [info for owner in (document, *document.resources) for info in owner.infos]
    status = {info.value for info in infos if info.name == "QUERY_STATUS"}
    if "ERROR" in status:
        raise AnswerError("; ".join(str(info.content) for info in infos if info.name == "QUERY_STATUS"))
    tables = list(document.iter_tables())
    answer = tables[0].to_table(use_names_over_ids=True) if tables else Table(names=_NEEDED)
    missing = [name for name in _NEEDED if name not in answer.colnames]
    if missing:
        raise AnswerError(f"no column {', '.join(missing)} among {', '.join(answer.colnames)}")
    matches = _plain(answer)
    if not np.isin(matches["row"], rows).all():
        raise AnswerError("rows that were not sent")
    return matches, "OVERFLOW" in status


def _plain(answer: Table) -> Table:
    """The columns that are kept, under the names of AllWISE; NaN and empty strings for what is masked."""
    columns = {"row": np.ma.filled(answer["row"], -1).astype(np.int64)}
    for name, theirs in ({"ra": "RAJ2000", "dec": "DEJ2000"} | _NUMBERS).items():
        columns[name] = np.ma.filled(np.ma.asarray(answer[theirs]).astype(np.float64), np.nan)
    for name, theirs in _WORDS.items():
        values = answer[theirs] if theirs in answer.colnames else np.full(len(answer), "")
        columns[name] = np.ma.filled(np.ma.asarray(values).astype(str), "")
    return Table(columns)


def _nearest(matches: Table, coords: SkyCoord, radius: float) -> Table:
    """The nearest match of each position; its separation is measured here."""
    there = SkyCoord(matches["ra"], matches["dec"], unit="deg")
    separation = coords[matches["row"]].icrs.separation(there).arcsec
    if len(matches) and not separation.max() <= radius + 0.1:
        raise RetrievalError(
            f"{_SERVICE} sent a match {separation.max():.2f} arcsec away, {radius:g} were asked for: its "
            "answer belongs to other positions. Try again later."
        )
    matches["separation"] = separation
    order = np.lexsort((matches["allwise"], separation, matches["row"]))
    _, first = np.unique(matches["row"][order], return_index=True)
    return matches[order[first]]
