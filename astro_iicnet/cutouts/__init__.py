"""WISE cutout retrieval: whoever brings pixels for positions."""

from pathlib import Path

from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts, CutoutSource
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.local import LocalFolder
from astro_iicnet.exceptions import ImagesError, unknown_name

__all__ = ["CUTOUT_SIZE", "CutoutSource", "Cutouts", "LocalFolder", "cut_image", "open_images"]

_SIMULATED = "simulated"
_LATER = ("irsa", "aws", "hips")
_HERE_NOW = f"Available now: {_SIMULATED!r}, a folder of AllWISE Atlas FITS files, or a CutoutSource."


def open_images(images: str | Path | CutoutSource) -> CutoutSource:
    """Turn what a user calls an image source into one.

    Parameters
    ----------
    images : str, pathlib.Path or CutoutSource
        "simulated" for the packaged simulated field, a folder of AllWISE Atlas FITS files, or an object
        with ``fetch``, ``name`` and ``survey``, which is returned as it is. A folder that has the name
        of a source is written as a path: "./simulated".

    Returns
    -------
    CutoutSource
        The source.

    Raises
    ------
    ImagesError
        If there is no such source, or the folder holds no usable image.
    """
    if all(hasattr(images, attribute) for attribute in ("fetch", "name", "survey")):
        return images  # type: ignore[return-value]
    if not isinstance(images, str | Path):
        raise ImagesError(f"images is of type {type(images).__name__}, not an image source. {_HERE_NOW}")
    if not str(images).strip():
        raise ImagesError(f"images is empty. {_HERE_NOW}")
    if images == _SIMULATED:
        from astro_iicnet.cutouts.simulated import SimulatedSky

        return SimulatedSky()
    if images in _LATER:
        raise ImagesError(f"images={images!r} comes with a later version. {_HERE_NOW}")
    if isinstance(images, Path) or Path(images).exists() or any(mark in images for mark in "/\\."):
        return LocalFolder(images)
    message = unknown_name("image source", images, [_SIMULATED])
    raise ImagesError(f"{message} There is no folder of that name either. {_HERE_NOW}")
