"""A page of HTML that stands for itself: no network, no script, every word of a user escaped."""

import base64
import io
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave

from astro_iicnet.exceptions import IICnetError

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
p { max-width: 46rem; margin: .5rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.tile { flex: 1 1 8rem; padding: .5rem .75rem; border: 1px solid #ccc; border-left: .5rem solid #8a8a8a; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .92rem; }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e4e4e4; }
td:last-child { overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
  gap: 1.25rem; align-items: start; }
figure { margin: 0; break-inside: avoid; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(6rem, 9.5rem)); gap: .75rem; }
.pictures figcaption { text-align: center; line-height: 1.3; }
.pictures img { image-rendering: pixelated; border: 4px solid #8a8a8a; }
img { display: block; width: 100%; height: auto; }
figcaption { font-size: .92rem; color: #444; margin-top: .25rem; }
footer { margin-top: 2rem; font-size: .85rem; color: #555; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  h2, p:has(+ .pictures) { break-after: avoid; } .figures { grid-template-columns: 1fr 1fr; }
  .pictures { grid-template-columns: repeat(6, 1fr); }
  img { print-color-adjust: exact; } tr { break-inside: avoid; } }
"""

_RC = {"font.size": 10, "font.family": "DejaVu Sans", "svg.fonttype": "path"}


def make_page(title: str, parts: Iterable[str]) -> str:
    """Put a page together.

    Parameters
    ----------
    title : str
        Title and heading; it is escaped.
    parts : iterable of str
        HTML, as the other functions of this module give it.

    Returns
    -------
    str
        The whole page.
    """
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Whatever slips into the page, a browser will neither fetch nor run it.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page to a file, whole or not at all, replacing any file of that name.

    Parameters
    ----------
    text : str
        The page.
    path : str or path-like
        The file.

    Raises
    ------
    IICnetError
        If it cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{secrets.token_hex(8)}.html")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        raise IICnetError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)


def heading(text: str) -> str:
    """A heading of a section.

    Parameters
    ----------
    text : str
        It is escaped.

    Returns
    -------
    str
        HTML.
    """
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph.

    Parameters
    ----------
    text : str
        It is escaped.

    Returns
    -------
    str
        HTML.
    """
    return f"<p>{escape(text)}</p>"


def tiles(numbers: Mapping[str, tuple[str, str]], colours: Mapping[str, str]) -> str:
    """The numbers to be seen first, side by side.

    Parameters
    ----------
    numbers : mapping of str to tuple of str
        What -> how much, and a word more, as a share; all are escaped.
    colours : mapping of str to str
        Colour of some of them.

    Returns
    -------
    str
        HTML.
    """
    boxes = []
    for name, (number, more) in numbers.items():
        style = f' style="border-left-color: {escape(colours[name])}"' if name in colours else ""
        boxes.append(f'<div class="tile"{style}><b>{escape(number)}</b>{escape(f"{name} {more}")}</div>')
    return f'<div class="tiles">{"".join(boxes)}</div>'


def make_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers are aligned to the right.

    Parameters
    ----------
    header : sequence of str
        Titles of the columns; none if all are empty. They are escaped.
    rows : iterable of sequence
        Words and numbers, escaped.

    Returns
    -------
    str
        HTML.
    """
    rows = [list(row) for row in rows]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]

    def line(cells: Sequence[Any], tag: str) -> str:
        marks = [' class="number"' if right else "" for right in numeric]
        parts = (
            f"<{tag}{mark}>{escape(_text(cell))}</{tag}>" for cell, mark in zip(cells, marks, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if any(header) else ""
    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def draw(
    plot: Callable[..., Any],
    *arguments: Any,
    caption: str,
    size: tuple[float, float] = (5.4, 4.0),
    projection: str | None = None,
    **options: Any,
) -> str:
    """Draw a figure into the page.

    Parameters
    ----------
    plot : callable
        Function of `astro_iicnet.analysis.plots`, or any that takes ``ax=``.
    *arguments
        For it.
    caption : str
        Words below, escaped; also what is read aloud in place of the figure.
    size : tuple of float, default (5.4, 4)
        Width and height [inch], which set the size of the letters.
    projection : str, optional
        Of the axes. Default: plain axes.
    **options
        For ``plot``.

    Returns
    -------
    str
        HTML with the figure as a data URI.
    """
    stream = io.BytesIO()
    # The user's own style may be dark, or need LaTeX.
    with style.context(["default", _RC]):
        figure = Figure(figsize=size, layout="constrained")
        ax: Axes = figure.add_subplot(projection=projection)
        plot(*arguments, ax=ax, **options)
        figure.savefig(stream, format="svg", dpi=160, metadata={"Date": None})
    return _figure("svg+xml", stream.getvalue(), caption)


def picture_grid(pictures: np.ndarray, captions: Sequence[str], colours: Sequence[str]) -> str:
    """Small pictures, as many beside each other as the screen has room for.

    Parameters
    ----------
    pictures : numpy.ndarray
        (N, S, S, 3) uint8, row 0 at the bottom, as `~astro_iicnet.analysis.plots.compose_rgb` gives them.
    captions : sequence of str
        N lines below the pictures, escaped.
    colours : sequence of str
        N colours of the frames.

    Returns
    -------
    str
        HTML with the pictures as data URIs.
    """
    figures = []
    for picture, caption, colour in zip(pictures, captions, colours, strict=True):
        stream = io.BytesIO()
        imsave(stream, picture, origin="lower", format="png")
        figures.append(_figure("png", stream.getvalue(), caption, f' style="border-color: {escape(colour)}"'))
    return f'<div class="pictures">{"".join(figures)}</div>'


def side_by_side(figures: Iterable[str]) -> str:
    """Figures beside each other where the screen is wide enough, else below each other.

    Parameters
    ----------
    figures : iterable of str
        What `draw` gives.

    Returns
    -------
    str
        HTML.
    """
    return f'<div class="figures">{"".join(figures)}</div>'


def footer(text: str) -> str:
    """Small print at the end.

    Parameters
    ----------
    text : str
        It is escaped.

    Returns
    -------
    str
        HTML.
    """
    return f"<footer>{escape(text)}</footer>"


def describe(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts as rows of a table, nested ones in one line.

    Parameters
    ----------
    facts : mapping
        Plain data, as the provenance of a result.

    Returns
    -------
    list of tuple of str
        Name and value; what is None is left out.
    """
    return [(key.replace("_", " "), _text(value)) for key, value in facts.items() if value is not None]


def _figure(kind: str, content: bytes, caption: str, frame: str = "") -> str:
    """A picture as a data URI, with words for those who see it and those who do not."""
    data, words = base64.b64encode(content).decode("ascii"), escape(caption)
    image = f'<img{frame} alt="{words}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if value != value else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
