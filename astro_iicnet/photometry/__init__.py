"""Magnitudes, colours and quality flags measured from cutouts."""

from astro_iicnet.photometry.measurement import Colours, Photometry, colours, measure

__all__ = ["Colours", "Photometry", "colours", "measure"]
