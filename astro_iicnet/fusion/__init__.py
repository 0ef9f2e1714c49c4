"""Magnitudes and colours beside, or in place of, the image."""
