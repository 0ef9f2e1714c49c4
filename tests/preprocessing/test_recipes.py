"""Recipes as plain data."""

import dataclasses
import json

import pytest

from astro_iicnet.exceptions import IICnetError
from astro_iicnet.preprocessing import RECIPES, Recipe


@pytest.mark.parametrize("name", ["calibrated", "paper"])
def test_round_trip_through_json(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_options_survive_the_round_trip():
    recipe = dataclasses.replace(RECIPES["paper"], size=96, percentiles=(2, 98))
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert again != RECIPES["paper"]


def test_unknown_entry_names_the_closest():
    data = RECIPES["calibrated"].to_dict() | {"softning": {}}
    with pytest.raises(IICnetError, match=r"'softning'.*mean 'softening'.*newer"):
        Recipe.from_dict(data)


def test_missing_entry():
    with pytest.raises(IICnetError, match="no entry 'stretch'"):
        Recipe.from_dict({"name": "x"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stretch": "asin"}, "Unknown stretch 'asin'.*mean 'asinh'"),
        ({"size": 31}, "31: expected 32 to 128"),
        ({"size": 129}, "129: expected 32 to 128"),
        ({"softening": {"W1": 0.0}}, "must be positive"),
        ({"gain": -1.0}, "must be positive"),
        ({"percentiles": (99, 1)}, "0 <= a < b <= 100"),
    ],
)
def test_values_out_of_range(change, message):
    with pytest.raises(IICnetError, match=message):
        dataclasses.replace(RECIPES["calibrated"], **change)
