"""The Atlas images: IRSA's image server IBE with its cutouts, and the copy on AWS."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from gzip import compress

from .sky import TILE_SIZE, WHOLE, Box, Image, Sky, locate, tile_centres

IBE = "/ibe/data/wise/allwise/p3am_cdd/"
AWS = "/wise/allwise/images/p3am_cdd/"
PIXEL = 1.375 / 3600  # deg
_KEY = re.compile(r"(?P<id>[0-9]{4}[pm][0-9]{3}_ac51)-w(?P<band>[1-4])-int-3\.fits")
_UNITS = {"": 1.0, "deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "rad": math.degrees(1)}
_PIXELS = ("px", "pix", "pixels")


@dataclass
class Answer:
    """What goes back to the client: a status, and bytes or an image of which parts may be asked for."""

    status: int
    content: bytes | Image
    content_type: str = "application/fits"
    ranges: bool = False
    gzip: bool = False

    @cached_property
    def _bytes(self) -> bytes | None:
        if isinstance(self.content, bytes):
            return self.content
        return compress(b"".join(self.content.read(0, self.content.size)), 1) if self.gzip else None

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return self.content.size if self._bytes is None else len(self._bytes)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Blocks of the body."""
        if self._bytes is None:
            yield from self.content.read(start, stop)
        else:
            yield self._bytes[start:stop]


def key(coadd_id: str, band: str) -> str:
    """Path of an image below the folder of all."""
    return f"{coadd_id[:2]}/{coadd_id[:4]}/{coadd_id}/{coadd_id}-w{band[1]}-int-3.fits"


def answer_ibe(sky: Sky, path: str, query: dict[str, str]) -> Answer:
    """An image of IBE, or the part of it that ``center`` and ``size`` name."""
    image = _find(sky, path.removeprefix(IBE))
    if image is None:
        return _page(404, "The requested URL was not found on this server.")
    if "center" not in query and "size" not in query:
        return Answer(200, image, ranges=True)
    try:
        box = _cutout_box(image.coadd_id, query["center"], query["size"])
    except (KeyError, ValueError):
        return _page(400, "Bad or missing center or size.")
    if box is None:
        return _page(400, "The requested cutout does not overlap the image.")
    part = Image(sky, image.coadd_id, image.band, box)
    return Answer(200, part, gzip=query.get("gzip", "true").lower() not in ("false", "0"))


def answer_aws(sky: Sky, path: str) -> Answer:
    """An image of the bucket."""
    image = _find(sky, path.removeprefix(AWS))
    if image is None:
        return s3_error(404, "NoSuchKey", "The specified key does not exist.")
    return Answer(200, image, "binary/octet-stream", ranges=True)


def s3_error(status: int, code: str, message: str) -> Answer:
    """An error as S3 tells it."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), "application/xml")


def _page(status: int, text: str) -> Answer:
    page = f"<!DOCTYPE html><html><head><title>{status}</title></head><body><p>{text}</p></body></html>\n"
    return Answer(status, page.encode(), "text/html")


def _find(sky: Sky, place: str) -> Image | None:
    match = _KEY.fullmatch(place.rpartition("/")[2])
    if match is None or match["id"] not in tile_centres():
        return None
    image = Image(sky, match["id"], f"W{match['band']}", WHOLE)
    return image if place == key(image.coadd_id, image.band) else None


def _cutout_box(coadd_id: str, center: str, size: str) -> Box | None:
    """The pixels of a cutout that lie in the tile, both ends included as IBE does; None if there are none."""
    (first, second), unit = _values(center)
    if unit in _PIXELS:
        x, y = first - 1, second - 1
    else:
        x, y = locate(coadd_id, first * _UNITS[unit], second * _UNITS[unit])
    sizes, unit = _values(size)
    width, height = (value if unit in _PIXELS else value * _UNITS[unit] / PIXEL for value in sizes)
    if min(width, height) < 0:
        raise ValueError
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    x0, x1 = _limits(x, width)
    y0, y1 = _limits(y, height)
    return (y0, y1, x0, x1) if x0 < x1 and y0 < y1 else None


def _limits(middle: float, width: float) -> tuple[int, int]:
    first, last = math.floor(middle - width / 2 + 0.5), math.floor(middle + width / 2 + 0.5)
    return max(first, 0), min(last + 1, TILE_SIZE)


def _values(text: str) -> tuple[tuple[float, float], str]:
    """One or two numbers and a unit, as in "10,-5.5deg" or "45pix"."""
    match = re.fullmatch(r"\s*([-+0-9.eE,\s]+?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in (*_UNITS, *_PIXELS):
        raise ValueError
    values = [float(value) for value in match[1].split(",")]
    first, second = values * 2 if len(values) == 1 else values
    return (first, second), match[2]
