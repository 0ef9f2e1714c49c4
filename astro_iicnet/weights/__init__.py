"""Network weights: the registry (plain data) and the loader that verifies before it loads."""

from astro_iicnet.weights.load import Weights, load_weights, new_weights, save_weights
from astro_iicnet.weights.registry import add_record, get_record, make_record, read_registry

__all__ = [
    "Weights",
    "add_record",
    "get_record",
    "load_weights",
    "make_record",
    "new_weights",
    "read_registry",
    "save_weights",
]
