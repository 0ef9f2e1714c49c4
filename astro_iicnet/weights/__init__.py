"""Network weights: registries (plain data), fetching, and the loader that verifies before it loads."""

from astro_iicnet.weights.fetch import fetch_weights
from astro_iicnet.weights.find import all_records, find_weights, verify_weights
from astro_iicnet.weights.load import Weights, load_weights, new_weights, save_weights
from astro_iicnet.weights.private import add_weights
from astro_iicnet.weights.registry import add_record, get_record, make_record, read_registry

__all__ = [
    "Weights",
    "add_record",
    "add_weights",
    "all_records",
    "fetch_weights",
    "find_weights",
    "get_record",
    "load_weights",
    "make_record",
    "new_weights",
    "read_registry",
    "save_weights",
    "verify_weights",
]
