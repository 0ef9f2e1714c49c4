"""Spectra of SDSS with a secure class, page by page from SkyServer."""

import csv
import io
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import requests
from astropy.table import Table, vstack
from astropy.utils.exceptions import AstropyUserWarning
from tqdm import tqdm

from astro_iicnet.config import conf
from astro_iicnet.exceptions import IICnetError
from astro_iicnet.fusion.queries import AnswerError, ask
from astro_iicnet.training.state import write_whole

PAGE_SIZE = 500_000
"""Rows in a page: SkyServer sends no more for one query."""

SPACING = 1.0
"""Seconds from one query to the next: SkyServer takes 60 a minute."""

SDSS_CLASSES = {"GALAXY": "galaxy", "QSO": "quasar", "STAR": "star"}
"""What SDSS calls the classes, and what they are called here."""

SELECTION = "zWarning = 0 AND sciencePrimary = 1 AND class IN ('GALAXY', 'QSO', 'STAR')"
"""The condition of all queries: the pipeline's class is secure, one spectrum for each object."""

# The class comes last: a line that is cut has none that is known.
_COLUMNS = ("specObjID", "ra", "dec", "z", "subClass", "class")
_SERVICE = "SkyServer of SDSS"


def page_query(after: int, page_size: int) -> str:
    """The query for a page of spectra.

    Parameters
    ----------
    after : int
        Highest specObjID of the page before; 0 for the first page.
    page_size : int
        Rows in the page.

    Returns
    -------
    str
        SQL.
    """
    return (
        f"SELECT TOP {page_size} {', '.join(_COLUMNS)} FROM SpecObj "
        f"WHERE specObjID > {after} AND {SELECTION} ORDER BY specObjID"
    )


def count_query() -> str:
    """The query for the number of spectra, against which the pages are checked.

    Returns
    -------
    str
        SQL.
    """
    return f"SELECT COUNT(*) AS n FROM SpecObj WHERE {SELECTION}"


def fetch_spectra(
    folder: Path, *, data_release: int = 17, page_size: int = PAGE_SIZE, progress: bool = True
) -> Table:
    """Fetch all spectra with a secure class; pages that are in the folder are not fetched again.

    The number of rows is asked for first: a page that comes short is gone on from where it ends,
    and the end is where all have come.

    Parameters
    ----------
    folder : pathlib.Path
        An existing folder for the pages, one FITS file each.
    data_release : int, default 17
        Data release of SDSS.
    page_size : int, default 500,000
        Rows in a page.
    progress : bool, default True
        Show progress on stderr.

    Returns
    -------
    `~astropy.table.Table`
        By rising specObjID: ``specobjid`` (str: it needs 64 bits without a sign), ``ra`` and
        ``dec`` (float64 [deg]), ``z`` (float64), ``sdss_subclass`` and ``sdss_class`` (str).

    Raises
    ------
    IICnetError
        If a file of the folder is damaged.
    RetrievalError
        If SkyServer refuses or fails; what has come is kept.
    """
    total = _count(folder / "count.json", data_release)
    pages = [read_table(path) for path in sorted(folder.glob("spectra-*.fits"))]
    done = sum(map(len, pages))
    with tqdm(total=total, initial=done, unit="spectrum", desc="SDSS", disable=not progress) as bar:
        while done < total:
            after = int(pages[-1]["specobjid"][-1]) if pages else 0
            page = _fetch_page(after, min(page_size, total - done), data_release)
            keep_table(page, folder / f"spectra-{len(pages):04d}.fits")
            pages.append(page)
            done += len(page)
            bar.update(len(page))
    return vstack(pages, metadata_conflicts="silent")


def _count(path: Path, data_release: int) -> int:
    if not path.exists():
        rows = _ask(count_query(), ("n",), data_release)
        if len(rows) != 1 or not rows[0][0].isdigit() or int(rows[0][0]) == 0:
            raise IICnetError(
                f"{_SERVICE} counts {rows} spectra in release {data_release}: expected a number."
            )
        write_whole(path, json.dumps({"n": int(rows[0][0])}).encode())
    return int(json.loads(path.read_text())["n"])


def _fetch_page(after: int, n: int, data_release: int) -> Table:
    rows = _ask(page_query(after, n), _COLUMNS, data_release)
    columns = dict(zip(_COLUMNS, (np.array(column) for column in zip(*rows, strict=True)), strict=True))
    return Table(
        {
            "specobjid": columns["specObjID"],
            "ra": columns["ra"].astype(np.float64),
            "dec": columns["dec"].astype(np.float64),
            "z": columns["z"].astype(np.float64),
            "sdss_subclass": columns["subClass"],
            "sdss_class": columns["class"],
        }
    )


def _ask(sql: str, columns: tuple[str, ...], data_release: int) -> list[list[str]]:
    """Send SQL; the rows of the answer, all complete, at least one."""
    from astroquery.exceptions import TimeoutError as QueryTimeoutError  # type: ignore[import-untyped]
    from astroquery.sdss import SDSS  # type: ignore[import-untyped]

    def send() -> requests.Response:
        time.sleep(SPACING)
        try:
            return SDSS.query_sql_async(sql, timeout=conf.timeout, data_release=data_release, cache=False)
        except QueryTimeoutError as error:
            raise requests.Timeout(str(error)) from error

    return ask(_SERVICE, send, lambda response: _read_answer(response.text, columns))


def _read_answer(text: str, columns: tuple[str, ...]) -> list[list[str]]:
    """Rows of CSV as SkyServer sends it, a line ``#Table1`` before the names; less a last one that is cut."""
    if "error_message" in text or "<html" in text[:500].lower():
        raise AnswerError(f"an error instead of a table: {' '.join(text.split())[:200]}")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    names, *rows = list(csv.reader(lines)) or [[]]
    if [name.strip().lower() for name in names] != [name.lower() for name in columns]:
        raise AnswerError(f"the columns {', '.join(names)} instead of {', '.join(columns)}")
    rows = [[field.strip() for field in row] for row in rows]
    if rows and not _is_complete(rows[-1], columns):
        rows.pop()
    bad = [row for row in rows if not _is_complete(row, columns)]
    if bad:
        raise AnswerError(f"a line that is no spectrum: {','.join(bad[0])}")
    if not rows:
        raise AnswerError("a table without rows")
    return rows


def _is_complete(row: list[str], columns: tuple[str, ...]) -> bool:
    if len(row) != len(columns):
        return False
    if columns[-1] != "class":
        return True
    return row[-1] in SDSS_CLASSES and row[0].isdigit() and all(map(_is_number, row[1:4]))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def keep_table(table: Table, path: Path) -> None:
    """Write a table so that it is whole or not there.

    Parameters
    ----------
    table : `~astropy.table.Table`
        What to write.
    path : pathlib.Path
        A FITS file.
    """
    temporary = path.with_name(f".{path.name}.part")
    table.write(temporary, format="fits", overwrite=True)
    temporary.replace(path)


def read_table(path: Path) -> Table:
    """Read a table that `keep_table` wrote.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    `~astropy.table.Table`
        The table, with str columns.

    Raises
    ------
    IICnetError
        If the file is damaged.
    """
    try:
        # Of a file that is cut, astropy only warns.
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = Table.read(io.BytesIO(path.read_bytes()), format="fits", mask_invalid=False)
        damage = [str(w.message) for w in caught if issubclass(w.category, AstropyUserWarning)]
        if damage:
            raise ValueError(damage[0])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise IICnetError(f"{path} is damaged ({error}): remove it and start again.") from error
    table.convert_bytestring_to_unicode()
    return table
