"""Directive ``settings-table``: the settings of astro_iicnet, as the package defines them."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from weights_table import text

from astro_iicnet import config


def render() -> list[str]:
    """Lines of reStructuredText: name, default and meaning of each setting."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 20 30 50", ""]
    lines += ["   * - Setting", "     - Default", "     - Meaning"]
    for name, item in config.conf.items():
        lines += [f"   * - ``{name}``", f"     - {default(item.defaultvalue)}"]
        lines += [f"     - {text(item.description)}"]
    return lines


def default(value: object) -> str:
    """A default as one would write it in Python."""
    values = value if isinstance(value, list) else [value]
    return ", ".join(f"``{one!r}``" for one in values)


class SettingsTable(SphinxDirective):
    """``.. settings-table::``, without arguments."""

    def run(self) -> list[nodes.Node]:
        """Render the settings."""
        self.env.note_dependency(config.__file__)
        return self.parse_text_to_nodes("\n".join(render()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True}
