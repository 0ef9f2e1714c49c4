import ast
import inspect
import re
import subprocess
import sys

import pytest

import astro_iicnet

HEAVY = ("torch", "astroquery", "requests", "scipy", "sklearn", "pandas", "matplotlib")


def modules_after(statement: str) -> set[str]:
    code = f"""
import sys
sys.argv = ["astro-iicnet", "--help"]
try:
    {statement}
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stderr.split()}


@pytest.mark.parametrize(
    "statement",
    [
        "import astro_iicnet; dir(astro_iicnet); astro_iicnet.__version__",
        "from astro_iicnet.cli import main; main()",
        "import runpy; runpy.run_module('astro_iicnet.cli', run_name='__main__')",
        "from astro_iicnet import IICnetClassifier; IICnetClassifier()",
    ],
    ids=["package", "entry point", "module", "classifier"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement):
    loaded = modules_after(statement)
    assert "astro_iicnet" in loaded
    assert not loaded.intersection(HEAVY)


def test_the_import_test_can_fail():
    assert "torch" in modules_after("import astro_iicnet.models")


def test_version():
    assert re.match(r"\d+\.\d+", astro_iicnet.__version__)


def test_public_names_exist_and_complete():
    assert set(astro_iicnet.__all__) <= set(dir(astro_iicnet))
    for name in astro_iicnet.__all__:
        assert getattr(astro_iicnet, name) is not None


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(astro_iicnet))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen == set(astro_iicnet.__all__) == {*astro_iicnet._HOMES, "__version__"}


def test_unknown_name():
    with pytest.raises(AttributeError, match="IICnetClasifier"):
        _ = astro_iicnet.IICnetClasifier
