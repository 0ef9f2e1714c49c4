"""Stars, galaxies and quasars from AllWISE images.

The public names load on first use: neither torch nor astroquery is imported before it is needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astro_iicnet._version import version as __version__
    from astro_iicnet.allwise.bands import BANDS
    from astro_iicnet.classifier import IICnetClassifier
    from astro_iicnet.config import conf
    from astro_iicnet.cutouts.base import Cutouts
    from astro_iicnet.cutouts.local import LocalFolder
    from astro_iicnet.cutouts.simulated import SimulatedSky
    from astro_iicnet.labels import CLASSES, Flag, Status
    from astro_iicnet.sources import Sources, read_sources

_HOMES = {
    "BANDS": "allwise.bands",
    "CLASSES": "labels",
    "Cutouts": "cutouts.base",
    "Flag": "labels",
    "IICnetClassifier": "classifier",
    "LocalFolder": "cutouts.local",
    "SimulatedSky": "cutouts.simulated",
    "Sources": "sources",
    "Status": "labels",
    "conf": "config",
    "read_sources": "sources",
}

__all__ = [
    "BANDS",
    "CLASSES",
    "Cutouts",
    "Flag",
    "IICnetClassifier",
    "LocalFolder",
    "SimulatedSky",
    "Sources",
    "Status",
    "__version__",
    "conf",
    "read_sources",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = import_module("astro_iicnet._version").version
    elif name in _HOMES:
        value = getattr(import_module(f"astro_iicnet.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'astro_iicnet' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
