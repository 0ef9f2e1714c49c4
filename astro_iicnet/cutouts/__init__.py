"""WISE cutout retrieval: whoever brings pixels for positions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from astro_iicnet.cutouts.base import CUTOUT_SIZE, Cutouts, CutoutSource
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.local import LocalFolder
from astro_iicnet.exceptions import ImagesError, unknown_name

__all__ = ["CUTOUT_SIZE", "CutoutSource", "Cutouts", "Images", "LocalFolder", "cut_image", "open_images"]

_NAMES = ("irsa", "aws", "hips", "simulated")
_EXPECTED = (
    "Expected 'irsa', 'aws', 'hips', 'simulated', a folder of AllWISE Atlas FITS files, a CutoutSource, "
    "or a list of these."
)

Images: TypeAlias = "str | Path | CutoutSource | Sequence[str | Path | CutoutSource]"
"""What a user may call an image source."""


def open_images(images: Images) -> CutoutSource:
    """Turn what a user calls an image source into one.

    Parameters
    ----------
    images : str, pathlib.Path, CutoutSource or list of these
        "irsa" for IRSA's archive, "aws" for the public copy at Amazon, "hips" for resampled images of
        CDS, "simulated" for the packaged simulated field, a folder of AllWISE Atlas FITS files, or an
        object with ``fetch``, ``name`` and ``survey``, which is returned as it is. A folder that has
        the name of a source is written as a path: "./simulated". Sources in a list are tried one
        after the other.

    Returns
    -------
    CutoutSource
        The source; for a list of several a `~astro_iicnet.cutouts.fallback.Fallback`.

    Raises
    ------
    ImagesError
        If there is no such source, the folder holds no usable image, or the list is empty.
    """
    if isinstance(images, list | tuple):
        from astro_iicnet.cutouts.fallback import Fallback

        sources = [_open_one(one) for one in images]
        return sources[0] if len(sources) == 1 else Fallback(sources)
    return _open_one(images)


def _open_one(images: object) -> CutoutSource:
    if all(hasattr(images, attribute) for attribute in ("fetch", "name", "survey")):
        return images  # type: ignore[return-value]
    if not isinstance(images, str | Path):
        raise ImagesError(f"images is of type {type(images).__name__}, not an image source. {_EXPECTED}")
    if not str(images).strip():
        raise ImagesError(f"images is empty. {_EXPECTED}")
    if images in _NAMES:
        return _open_name(str(images))
    if isinstance(images, Path) or Path(images).exists() or any(mark in images for mark in "/\\."):
        return LocalFolder(images)
    message = unknown_name("image source", images, _NAMES)
    raise ImagesError(f"{message} There is no folder of that name either. {_EXPECTED}")


def _open_name(name: str) -> CutoutSource:
    """The source of a name; what talks to archives is imported only when it is needed."""
    if name == "irsa":
        from astro_iicnet.cutouts.irsa import IrsaArchive

        return IrsaArchive()
    if name == "aws":
        from astro_iicnet.cutouts.aws import AwsArchive

        return AwsArchive()
    if name == "hips":
        from astro_iicnet.cutouts.hips import HipsArchive

        return HipsArchive()
    from astro_iicnet.cutouts.simulated import SimulatedSky

    return SimulatedSky()
