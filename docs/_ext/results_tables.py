"""Directives ``results-table`` and ``results-figure``: what ``reproduce`` wrote, as kept in docs/results."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from weights_table import text

RESULTS = Path(__file__).parents[1] / "results"
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
SHARES = re.compile(
    "(paper_|iicnet_|mean_|validation_)?"
    "(accuracy|difference|precision|recall|specificity|f1|completeness|purity)"
)
"""Columns that are shown in per cent."""


def render(table: Table, columns: list[str]) -> list[str]:
    """Lines of reStructuredText: the table, its intervals beside their numbers, and what made it."""
    shown = [name for name in columns or in_order(table.colnames) if name in table.colnames]
    shown = [name for name in shown if not all(is_unknown(value) for value in table[name])]
    rows = [[heading(name) for name in shown], *([cell(row, name) for name in shown] for row in table)]
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'-' if place else '* -'} {one}" for place, one in enumerate(row)]
    return [re.sub("^   - ", "     - ", line) for line in lines] + ["", origin(table), ""]


def in_order(names: list[str]) -> list[str]:
    """All but the ends of intervals; a number of the paper follows that of the run."""
    own = [name for name in names if not name.endswith(("_low", "_high"))]
    pairs = [[name, f"paper_{name}"] for name in own if not name.startswith("paper_")]
    paired = [name for pair in pairs for name in pair if name in own]
    return paired + [name for name in own if name not in paired]


def heading(name: str) -> str:
    """Words for a column."""
    words = name.removeprefix("paper_").replace("multiply_adds", "multiply-adds").replace("_", " ")
    words = words.replace("iicnet", "IICnet").replace("f1", "F1").replace("auc", "AUC")
    words = re.sub(r"(adds \d+)", r"\1 px", re.sub("size$", "size [px]", words))
    paper = ", paper" if name.startswith("paper_") else ""
    return f"{words}{paper}{' [%]' if SHARES.fullmatch(name) else ''}"


def cell(row: Any, name: str) -> str:
    """A number with its interval; a difference whose interval leaves out zero is bold."""
    ends = [row[key] for key in (f"{name}_low", f"{name}_high") if key in row.colnames]
    if is_unknown(row[name]) or not ends or any(map(is_unknown, ends)):
        return number(row[name], name)
    value, low, high = (number(one, name) for one in (row[name], *ends))
    line = f"{value} ({low} to {high})"
    return f"**{line}**" if name == "difference" and (ends[0] > 0 or ends[1] < 0) else line


def number(value: Any, name: str) -> str:
    """A value as it is read best; nothing for what is unknown."""
    if is_unknown(value):
        return ""
    if isinstance(value, str):
        return text(value)
    if SHARES.fullmatch(name):
        return f"{100 * value:+.1f}" if name == "difference" else f"{100 * value:.1f}"
    if "multiply_adds" in name or "parameters" in name:
        unit, letter = next((one for one in UNITS if value >= one[0]), (1, ""))
        return f"{value / unit:.4g} {letter}".rstrip()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def is_unknown(value: Any) -> bool:
    """Whether it is masked, empty or no number."""
    return value is np.ma.masked or value == "" or value != value


def origin(table: Table) -> str:
    """What made a table, as its own meta say."""
    meta, budget = table.meta, table.meta.get("budget", {})
    said = [f"``{meta['command']}``" if "command" in meta else ""]
    if budget:
        sources = sum(budget["class_sizes"])
        said.append(f"budget {budget['name']} (epochs: {budget['epochs']}; {sources:,} sources, split 8:1:1)")
    said.append(f"seed {meta['seed']}" if "seed" in meta else "")
    if "device" in table.colnames:
        devices = dict.fromkeys(str(one) for one in table["device"] if not is_unknown(one))
        said.append(f"on {text(', '.join(devices))}" if devices else "")
    said.append(f"astro_iicnet {meta['astro_iicnet']}".replace("_", "\\_") if "astro_iicnet" in meta else "")
    return f"*Made by* {'; '.join(filter(None, said)) or 'nobody knows what'}."


class ResultsTable(SphinxDirective):
    """``.. results-table:: networks``; the option ``columns`` chooses some."""

    required_arguments = 1
    option_spec = {"columns": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Render the table, or say that it is not there."""
        path = RESULTS / f"{self.arguments[0]}.ecsv"
        self.env.note_dependency(str(path))
        if not path.is_file():
            missing = f"The table ``{self.arguments[0]}`` is not there yet: it is left out until it is run."
            return self.parse_text_to_nodes(missing)
        table = Table.read(path, format="ascii.ecsv")
        return self.parse_text_to_nodes("\n".join(render(table, self.options.get("columns", "").split())))


class ResultsFigure(SphinxDirective):
    """``.. results-figure:: roc``, with words for those who do not see it as content; nothing if missing."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Show the picture, if it is there."""
        path = RESULTS / f"{self.arguments[0]}.png"
        self.env.note_dependency(str(path))
        if not path.is_file():
            return []
        words = " ".join(self.content)
        lines = [f".. figure:: /results/{path.name}", f"   :alt: {words}", "", f"   {words}"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("results-table", ResultsTable)
    app.add_directive("results-figure", ResultsFigure)
    return {"parallel_read_safe": True}
