"""Pixels as an archive sends them: FITS cutouts, and rows of a whole tile."""

import zlib
from dataclasses import dataclass

import numpy as np

from astro_iicnet.allwise.tiles import TILE_SIZE
from astro_iicnet.cutouts.base import CUTOUT_SIZE
from astro_iicnet.cutouts.cut import cut_image
from astro_iicnet.cutouts.header import AtlasHeader, header_length, read_header
from astro_iicnet.cutouts.transport import BrokenBodyError

MAX_CUTOUT_BYTES = 1 << 17
"""More than any cutout has that we ask for, with its header."""

ROW_BYTES = 4 * TILE_SIZE
"""Bytes of one row of pixels of a tile."""

REACH = CUTOUT_SIZE // 2
"""Pixels on each side of the middle one."""

GAP_ROWS = 64
"""Rows between two squares that are fetched along: a request costs as much time as this 1 MB, 0.1 to 0.2 s to
the first byte, at 5 to 10 MB/s."""

MAX_ROWS = 1024
"""Rows in one request: 16.8 MB in memory for each connection."""

_DTYPE = np.dtype(">f4")


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a tile in one band.

    Parameters
    ----------
    header : AtlasHeader
        The header that came with it.
    image : numpy.ndarray
        (ny, nx) float32, big-endian [DN] as in the file.
    """

    header: AtlasHeader
    image: np.ndarray

    def holds(self, middle: np.ndarray, reach: int = REACH) -> bool:
        """Whether it has all pixels of the tile that squares need.

        Parameters
        ----------
        middle : numpy.ndarray
            (M, 2) int, (x, y) [px] in the tile: middle pixels.
        reach : int, optional
            Pixels on each side of them, by default 20.

        Returns
        -------
        bool
            True also where a square misses the tile altogether.
        """
        first = np.array(self.header.corner)
        last = first + self.header.shape[::-1] - 1
        wanted_first = np.clip(middle - reach, 0, TILE_SIZE - 1)
        wanted_last = np.clip(middle + reach, 0, TILE_SIZE - 1)
        return bool(np.all(wanted_first >= first) and np.all(wanted_last <= last))

    def cut(self, middle: np.ndarray) -> np.ndarray:
        """Cut squares, at the zero point of the band.

        Parameters
        ----------
        middle : numpy.ndarray
            (M, 2) int, (x, y) [px] in the tile: middle pixels.

        Returns
        -------
        numpy.ndarray
            (M, 41, 41) float32 [DN], NaN beyond the piece.
        """
        x, y = (middle - self.header.corner).T
        return scaled(cut_image(self.image, x, y)[0], self.header.scale)


def scaled(pixels: np.ndarray, scale: np.float32) -> np.ndarray:
    """Bring pixels to another zero point; most are there already."""
    return pixels if scale == 1 else pixels * scale


def read_piece(body: bytes, coadd_id: str, band: str) -> Piece:
    """Read the FITS file of a cutout and check it.

    Parameters
    ----------
    body : bytes
        The file, plain or gzipped.
    coadd_id : str
        The tile that was asked for.
    band : str
        The band that was asked for.

    Returns
    -------
    Piece
        Header and pixels.

    Raises
    ------
    BrokenBodyError
        If it is not what was asked for, or not complete.
    """
    if body.startswith(b"\x1f\x8b"):
        body = _gunzip(body)
    start = header_length(body)
    if start is None:
        raise BrokenBodyError("a FITS file that ends within its header")
    header = read_header(body[:start].decode("ascii"), coadd_id, band)
    ny, nx = header.shape
    if len(body) < start + 4 * ny * nx:
        raise BrokenBodyError(f"a FITS file of {len(body)} bytes that should have {start + 4 * ny * nx}")
    x, y = header.corner
    if min(x, y) < 0 or max(x + nx, y + ny) > TILE_SIZE:
        raise BrokenBodyError("pixels that are not those of the tile (CRPIX)")
    return Piece(header, np.frombuffer(body, _DTYPE, ny * nx, start).reshape(ny, nx))


def _gunzip(body: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, MAX_CUTOUT_BYTES)
    except zlib.error as error:
        raise BrokenBodyError(f"a damaged gzip file ({error})") from None
    if not stream.eof:
        raise BrokenBodyError("a gzip file that is cut short, or far too large")
    return plain


def read_whole_header(body: bytes, coadd_id: str, band: str) -> AtlasHeader | None:
    """Read the beginning of the file of a whole tile.

    Parameters
    ----------
    body : bytes
        The first bytes of the file.
    coadd_id : str
        The tile that was asked for.
    band : str
        The band that was asked for.

    Returns
    -------
    AtlasHeader or None
        The header, or None where it does not end in ``body``.

    Raises
    ------
    BrokenBodyError
        If it is not the header of the whole tile that was asked for.
    """
    length = header_length(body)
    if length is None:
        return None
    header = read_header(body[:length].decode("ascii"), coadd_id, band)
    if not header.is_whole:
        raise BrokenBodyError(f"an image of {header.shape[1]} x {header.shape[0]} px instead of a whole tile")
    return header


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Rows of a tile that one request brings.

    Parameters
    ----------
    first, last : int
        First and last row, from 0.
    members : numpy.ndarray
        (M,) int: numbers of the squares that lie in it.
    """

    first: int
    last: int
    members: np.ndarray

    def byte_range(self, data_start: int) -> tuple[int, int]:
        """First and last byte of the rows in a file whose pixels begin at ``data_start``."""
        return data_start + self.first * ROW_BYTES, data_start + (self.last + 1) * ROW_BYTES - 1

    def read(self, body: bytes) -> np.ndarray:
        """The rows as (n, 4095) float32, big-endian, from the bytes of the range."""
        n_rows = self.last + 1 - self.first
        if len(body) != n_rows * ROW_BYTES:
            raise BrokenBodyError(f"{len(body)} bytes instead of {n_rows * ROW_BYTES}")
        return np.frombuffer(body, _DTYPE).reshape(n_rows, TILE_SIZE)


def row_blocks(y: np.ndarray) -> list[RowBlock]:
    """Divide squares among requests for rows of their tile.

    Neighbouring intervals of rows are merged where the rows between them cost less than another
    request, so that many squares come down to the whole tile in blocks of bounded size.

    Parameters
    ----------
    y : numpy.ndarray
        (M,) int: middle rows of the squares, all in the tile.

    Returns
    -------
    list of RowBlock
        From the first row to the last; each square lies in one of them, as far as it lies in the tile.
    """
    order = np.argsort(y, kind="stable")
    first = np.maximum(y[order] - REACH, 0)
    last = np.minimum(y[order] + REACH, TILE_SIZE - 1)
    blocks = []
    start = 0
    for i in range(1, len(order) + 1):
        if i < len(order) and first[i] <= last[i - 1] + GAP_ROWS and last[i] < first[start] + MAX_ROWS:
            continue
        blocks.append(RowBlock(int(first[start]), int(last[i - 1]), order[start:i]))
        start = i
    return blocks
