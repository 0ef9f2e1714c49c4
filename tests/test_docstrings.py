"""Docstrings say what the signature says, checked by numpydoc."""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import astro_iicnet

CHECKS = {
    "GL06",  # unknown section
    "GL07",  # sections in the wrong order
    "PR01",  # parameter not described
    "PR02",  # parameter described that does not exist
    "PR03",  # parameters in the wrong order
    "RT03",  # return value without description
}


def modules() -> list[str]:
    found = pkgutil.walk_packages(astro_iicnet.__path__, "astro_iicnet.")
    names = [module.name for module in found]
    return [name for name in names if "._" not in name and not name.startswith("astro_iicnet.cli")]


def public_objects(module: str) -> list[str]:
    members = vars(importlib.import_module(module)).items()
    own = {name: obj for name, obj in members if getattr(obj, "__module__", None) == module}
    own = {name: obj for name, obj in own.items() if inspect.isclass(obj) or inspect.isfunction(obj)}
    names = [name for name in own if not name.startswith("_")]
    for name in [name for name in names if inspect.isclass(own[name])]:
        names += [f"{name}.{key}" for key, value in vars(own[name]).items() if inspect.isfunction(value)]
    return [name for name in names if "._" not in name]


def faults(target: str) -> list[str]:
    result = validate(target)
    # A docstring without parameters is short on purpose; one with parameters has all of them.
    checks = CHECKS if "Parameters\n" in result["docstring"] else CHECKS - {"PR01"}
    return [f"{target}: {message}" for code, message in result["errors"] if code in checks]


@pytest.mark.parametrize("module", modules())
def test_docstrings(module):
    found = [fault for name in public_objects(module) for fault in faults(f"{module}.{name}")]
    assert not found, "\n".join(found)


def test_what_is_public():
    names = public_objects("astro_iicnet.cutouts.base")
    assert names == [
        "Cutouts",
        "CutoutSource",
        "Cutouts.select_bands",
        "Cutouts.at_zero_points",
        "CutoutSource.fetch",
    ]


def wrong(first: int, second: int) -> None:
    """Serve as an example of what is wrong.

    Parameters
    ----------
    first : int
        It.
    third : int
        Not there.
    """


def test_the_check_can_fail(monkeypatch):
    monkeypatch.setattr("astro_iicnet.labels.wrong", wrong, raising=False)
    (unknown, missing) = sorted(faults("astro_iicnet.labels.wrong"))
    assert "'second'" in unknown + missing
    assert "'third'" in unknown + missing
