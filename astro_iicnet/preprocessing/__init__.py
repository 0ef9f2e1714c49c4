"""What is done to AllWISE pixels before a network sees them."""

from astro_iicnet.preprocessing.orientations import orientations
from astro_iicnet.preprocessing.preprocess import Preprocess
from astro_iicnet.preprocessing.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Preprocess", "Recipe", "orientations"]
