"""Directive ``weights-table``: one section for each record of the registry of weights."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

REGISTRY = Path(__file__).parents[2] / "astro_iicnet" / "weights" / "registry.json"


def render(registry: dict[str, Any]) -> list[str]:
    """Lines of reStructuredText for a registry, as read from JSON."""
    if not registry.get("weights"):
        return ["No weights are registered in this version."]
    lines = []
    for record in registry["weights"]:
        mark = " (default)" if record["name"] == registry.get("default") else ""
        apart = ("name", "metrics", "urls", "set_scores")
        plain = {key: value for key, value in record.items() if key not in apart}
        plain |= {"prediction sets": sets(record.get("set_scores")), "release address": address(record)}
        lines += [f".. rubric:: {record['name']}{mark}", "", *rows(plain), ""]
        if record.get("metrics"):
            lines += ["Measured:", "", *rows(record["metrics"]), ""]
    return lines


def address(record: dict[str, Any]) -> str:
    """Where the file can be had, or that it is not published."""
    return ", ".join(record["urls"]) or f"not published yet: {record['file']} is had with the package alone"


def sets(scores: dict[str, Any] | None) -> str:
    """On how many sources prediction sets stand; their scores are too long for a table."""
    return f"calibrated on {sum(scores['n'])} sources" if scores else "none"


def rows(content: dict[str, Any]) -> list[str]:
    """A table of two columns; what is nested gets a dotted name."""
    lines = [".. list-table::", "   :widths: 30 70", ""]
    for key, value in flatten(content).items():
        lines += [f"   * - {key}", f"     - {text(value)}"]
    return lines


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, ``{"a": {"b": 1}}`` as ``{"a, b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = prefix + str(key).replace("_", " ")
        flat |= flatten(value, f"{name}, ") if isinstance(value, dict) else {name: value}
    return flat


def text(value: Any) -> str:
    """One cell, with nothing in it that reStructuredText would read as markup."""
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    line = " ".join(str(value).split())
    for character in "\\*`|_":
        line = line.replace(character, f"\\{character}")
    return line


class WeightsTable(SphinxDirective):
    """``.. weights-table::``, without arguments."""

    def run(self) -> list[nodes.Node]:
        """Render the registry of the package."""
        self.env.note_dependency(str(REGISTRY))
        registry = json.loads(REGISTRY.read_text(encoding="utf-8")) if REGISTRY.is_file() else {}
        return self.parse_text_to_nodes("\n".join(render(registry)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("weights-table", WeightsTable)
    return {"parallel_read_safe": True}
