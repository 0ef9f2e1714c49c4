"""Settings of the documentation."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from types import GenericAlias
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx_astropy.conf.v3 import *  # noqa: F403
from sphinx_astropy.conf.v3 import exclude_patterns, extensions

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "astro_iicnet"
author = "astro_iicnet developers"
project_copyright = f"2026, {author}"
release = version = installed_version("astro_iicnet")

extensions += ["sphinx_gallery.gen_gallery", "results_tables", "settings_table", "weights_table"]
exclude_patterns += ["gallery", "_ext", "_templates"]
nitpicky = True
html_title = f"astro_iicnet {release}"
html_static_path = []

# The inventories of other packages are downloaded, so they are used on request only; without them,
# only references to this package can be checked.
if not os.environ.get("ASTRO_IICNET_INTERSPHINX"):
    intersphinx_mapping = {}
    nitpick_ignore_regex = [("py:.*", r"(?!astro_iicnet).*")]
else:
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "astropy": ("https://docs.astropy.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }
    # Types in words, and what the four inventories above do not list.
    nitpick_ignore_regex = [("py:.*", r"(?!(astro_iicnet|astropy|numpy)\b).*")]

numpydoc_xref_param_type = False
templates_path = ["_templates"]
autosummary_ignore_module_all = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r".*\.py$",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
}


def resolve_by_definition(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contents: nodes.Element
) -> nodes.reference | None:
    """Find ``astro_iicnet.weights.Weights`` on the page of the module that defines it."""
    parent, _, name = node.get("reftarget", "").rpartition(".")
    domain = env.domains["py"]
    found = [full for full in domain.objects if full.startswith(f"{parent}.") and full.endswith(f".{name}")]
    if not parent.startswith("astro_iicnet") or len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, contents)


def skip_type_aliases(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out ``Columns = dict[str, numpy.ndarray]`` and the like, which autodoc takes for classes."""
    return True if isinstance(obj, GenericAlias) else None


def setup(app: Sphinx) -> None:
    """Connect what stands above."""
    app.connect("missing-reference", resolve_by_definition)
    app.connect("autodoc-skip-member", skip_type_aliases)
