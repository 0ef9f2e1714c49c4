"""SkyServer and CDS XMatch on a local port, in the formats of the true ones, with faults on demand."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import astroquery.sdss
import astroquery.xmatch
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.table import Table

from astro_iicnet.config import conf

N_PER_CLASS = {"GALAXY": 90, "QSO": 80, "STAR": 100}
_COLUMNS = ("specObjID", "ra", "dec", "z", "subClass", "class")
_VOTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.2" xmlns="http://www.ivoa.net/xml/VOTable/v1.2">
<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>
<TABLE><FIELD name="angDist" datatype="double" unit="arcsec"/><FIELD name="row" datatype="int"/>
<FIELD name="ra_sent" datatype="double"/><FIELD name="dec_sent" datatype="double"/>
<FIELD name="AllWISE" datatype="char" arraysize="19*"/>
<FIELD name="RAJ2000" datatype="double" unit="deg"/><FIELD name="DEJ2000" datatype="double" unit="deg"/>
{magnitudes}<FIELD name="ccf" datatype="char" arraysize="4*"/><FIELD name="ex" datatype="short"/>
<FIELD name="qph" datatype="char" arraysize="4*"/>
<DATA><TABLEDATA>
{rows}
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""
_BANDS = ("W1", "W2", "W3", "W4")
_FIELDS = "".join(
    f'<FIELD name="{name}{band}mag" datatype="float" unit="mag"/>' for name in ("", "e_") for band in _BANDS
)


def make_universe(seed: int = 3) -> tuple[Table, Table]:
    """Spectra of SDSS, by specObjID, and the AllWISE sources of nine in ten of them, with neighbours."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(list(N_PER_CLASS), list(N_PER_CLASS.values()))
    n = len(classes)
    # Plates of BOSS lead to numbers above 2**63.
    number = rng.permutation(n).astype(np.uint64) * np.uint64(2**55) + np.uint64(299489676975171584)
    ra, dec = rng.uniform(150, 164, n).round(6), rng.uniform(1, 9, n).round(6)
    subclass = rng.choice(["", "BROADLINE", "STARBURST BROADLINE", "A0 (10)"], n)
    spectra = Table([number, ra, dec, rng.uniform(0, 2, n).round(5), subclass, classes], names=_COLUMNS)
    has = rng.uniform(size=n) < 0.9
    near = _shifted(ra[has], dec[has], rng.uniform(0.05, 0.6, has.sum()), rng)
    # A second source within the radius, further away.
    second = has & (rng.uniform(size=n) < 0.2)
    far = _shifted(ra[second], dec[second], rng.uniform(1.0, 1.9, second.sum()), rng)
    wise_ra, wise_dec = np.concatenate([near, far], axis=1)
    names = [f"J{number:06d}.00+000000.0" for number in rng.permutation(len(wise_ra))]
    wise = Table({"AllWISE": names, "RAJ2000": wise_ra, "DEJ2000": wise_dec})
    for index, band in enumerate(_BANDS):
        wise[f"{band}mag"] = rng.uniform(10, 17, len(wise)).round(3)
        limit = rng.uniform(size=len(wise)) < 0.3 * index / 3
        wise[f"e_{band}mag"] = np.where(limit, np.nan, 0.05)
    spectra.sort("specObjID")
    return spectra, wise


def _shifted(ra: np.ndarray, dec: np.ndarray, arcsec: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, len(ra))
    moved = ra + arcsec / 3600 * np.sin(angle) / np.cos(np.radians(dec)), dec + arcsec / 3600 * np.cos(angle)
    return np.array(moved).round(7)


class SdssServer:
    """Serve a universe; ``faults`` holds, by service, what goes wrong with the next requests.

    A fault is an HTTP status, "html" (a page instead of a table), "cut" (a part of the body), "lost" (the
    connection ends in the body), "error" (an error in words) or None. ``max_rows`` is where each service
    cuts its answers without a word.
    """

    def __init__(self, spectra: Table, wise: Table) -> None:
        self.spectra, self.wise = spectra, wise
        self.faults: dict[str, list[int | str | None]] = {"sdss": [], "xmatch": []}
        self.max_rows = {"sdss": 500_000, "xmatch": 2_000_000}
        self.requests: Counter[str] = Counter()
        self.queries: list[str] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> "SdssServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def next_fault(self, service: str) -> int | str | None:
        """Count a request, and say what goes wrong with it."""
        with self._lock:
            self.requests[service] += 1
            return self.faults[service].pop(0) if self.faults[service] else None

    def answer_sql(self, sql: str) -> str:
        """CSV as SkyServer sends it."""
        self.queries.append(sql.strip())
        for condition in ("zWarning = 0", "sciencePrimary = 1", "class IN ('GALAXY', 'QSO', 'STAR')"):
            assert condition in sql
        if "COUNT(*)" in sql:
            return f"#Table1\nn\n{len(self.spectra)}\n"
        top, after = (int(re.search(rule, sql)[1]) for rule in (r"TOP (\d+)", r"specObjID > (\d+)"))
        assert sql.endswith("ORDER BY specObjID")
        page = self.spectra[self.spectra["specObjID"] > np.uint64(after)]
        lines = [",".join(map(str, row)) for row in page[: min(top, self.max_rows["sdss"])]]
        return "\n".join(["#Table1", ",".join(_COLUMNS), *lines, ""])

    def answer_xmatch(self, fields: dict[str, str]) -> str:
        """VOTable as CDS XMatch sends it: all matches, in no order that the caller knows."""
        assert (fields["request"], fields["cat2"]) == ("xmatch", "vizier:II/328/allwise")
        assert fields["RESPONSEFORMAT"] == "votable"
        sent = Table.read(fields["cat1"].replace("\r\n", "\n"), format="ascii.csv")
        here = SkyCoord(sent[fields["colRA1"]], sent[fields["colDec1"]], unit="deg")
        there = SkyCoord(self.wise["RAJ2000"], self.wise["DEJ2000"], unit="deg")
        radius = float(fields["distMaxArcsec"]) / 3600
        i, j, separation, _ = search_around_sky(here, there, radius * here.ra.unit)
        order = np.argsort(self.wise["AllWISE"][j])[: self.max_rows["xmatch"]]
        rows = [self._row(sent[i[k]], self.wise[j[k]], separation.arcsec[k]) for k in order]
        return _VOTABLE.format(magnitudes=_FIELDS, rows="\n".join(rows))

    @staticmethod
    def _row(sent: Table.Row, wise: Table.Row, separation: float) -> str:
        magnitudes = [wise[f"{name}{band}mag"] for name in ("", "e_") for band in _BANDS]
        values = [f"{separation:.6f}", *sent.values(), wise["AllWISE"], wise["RAJ2000"], wise["DEJ2000"]]
        values += ["" if np.isnan(value) else value for value in magnitudes]
        return "<TR>" + "".join(f"<TD>{value}</TD>" for value in [*values, "0000", 0, "AABU"]) + "</TR>"


@contextmanager
def local_sdss(monkeypatch: pytest.MonkeyPatch) -> Iterator[SdssServer]:
    """A server to which astroquery's settings lead; no pauses."""
    for name in ("fusion.queries.BACKOFF", "fusion.queries.BUSY_PAUSE", "training.skyserver.SPACING"):
        monkeypatch.setattr(f"astro_iicnet.{name}", 0.0)
    with ExitStack() as stack:
        server = stack.enter_context(SdssServer(*make_universe()))
        stack.enter_context(astroquery.sdss.conf.set_temp("skyserver_baseurl", server.url))
        stack.enter_context(astroquery.xmatch.conf.set_temp("url", f"{server.url}/xmatch/api/v1/sync"))
        stack.enter_context(conf.set_temp("retries", 2))
        yield server


def _handler(server: SdssServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            assert re.fullmatch(r"/dr\d+/en/tools/search/x_results.aspx", url.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            assert (query["format"], query["searchtool"]) == ("csv", "SQL")
            self._serve("sdss", lambda: server.answer_sql(query["cmd"]))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = message_from_bytes(
                b"Content-Type: " + self.headers["Content-Type"].encode() + b"\n\n" + body
            )
            parts = [
                (part.get_param("name", header="Content-Disposition"), part) for part in form.get_payload()
            ]
            fields = {name: part.get_payload(decode=True).decode() for name, part in parts}
            self._serve("xmatch", lambda: server.answer_xmatch(fields))

        def _serve(self, service: str, answer: "object") -> None:
            fault = server.next_fault(service)
            status = fault if isinstance(fault, int) else 200
            pages = {"html": "<html><body>Maintenance</body></html>", "error": _error(service)}
            text = pages.get(fault) or ("no\n" if status != 200 else answer())
            body = text.encode()
            if fault == "cut":
                body = body[: len(body) * 3 // 4]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault == "lost" else body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _error(service: str) -> str:
    if service == "sdss":
        return '[{"error_message":"Your query timed out"}]'
    return (
        '<VOTABLE version="1.2"><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">Busy</INFO>'
        "</RESOURCE></VOTABLE>"
    )
