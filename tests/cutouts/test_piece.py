import gzip

import numpy as np
import pytest
from astropy.io import fits

from astro_iicnet.allwise.tiles import TILE_SIZE
from astro_iicnet.cutouts.piece import (
    MAX_CUTOUT_BYTES,
    ROW_BYTES,
    RowBlock,
    read_piece,
    read_whole_header,
    row_blocks,
)
from astro_iicnet.cutouts.transport import BrokenBodyError

TILE = "1210p015_ac51"


@pytest.fixture
def image(rng) -> np.ndarray:
    return rng.normal(10, 1, (44, 45)).astype(np.float32)


def file_of(image: np.ndarray, corner=(100, 200), **changes) -> bytes:
    header = fits.Header(
        {
            "CRVAL1": 121.008858, "CRVAL2": 1.514444, "EQUINOX": 2000.0,
            "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN",
            "CRPIX1": 2048.0 - corner[0], "CRPIX2": 2048.0 - corner[1],
            "CDELT1": -0.0003819444391411, "CDELT2": 0.0003819444391411,
            "BAND": 1, "COADDID": TILE, "MAGZP": 20.5, **changes,
        }
    )  # fmt: skip
    hdu = fits.PrimaryHDU(image, header)
    data = image.astype(">f4").tobytes()
    return hdu.header.tostring().encode() + data + bytes(-len(data) % 2880)


def test_piece(image):
    piece = read_piece(file_of(image), TILE, "W1")
    assert np.array_equal(piece.image, image)
    assert piece.header.corner == (100, 200)
    pixels = piece.cut(np.array([[122, 222], [101, 240]]))
    assert pixels.shape == (2, 41, 41)
    assert np.array_equal(pixels[0], image[2:43, 2:43])
    assert np.array_equal(pixels[1, :24, 19:], image[20:, :22])
    assert np.isnan(pixels[1, 24:]).all()
    assert np.isnan(pixels[1, :, :19]).all()


def test_gzipped(image):
    piece = read_piece(gzip.compress(file_of(image)), TILE, "W1")
    assert np.array_equal(piece.image, image)


def test_without_padding(image):
    body = file_of(image)
    n_pixels = 2880 + image.nbytes
    assert np.array_equal(read_piece(body[:n_pixels], TILE, "W1").image, image)
    with pytest.raises(BrokenBodyError, match="that should have"):
        read_piece(body[: n_pixels - 1], TILE, "W1")


def test_other_zero_point(image):
    piece = read_piece(file_of(image, MAGZP=23.0), TILE, "W1")
    assert piece.cut(np.array([[122, 222]]))[0] == pytest.approx(image[2:43, 2:43] / 10, rel=1e-6)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: b"<!DOCTYPE html>",
        lambda body: body[:1000],
        lambda body: body[: len(body) // 2],
        lambda body: gzip.compress(body)[:-20],
        lambda body: gzip.compress(body)[:40] + b"\x00" * 40,
        lambda body: gzip.compress(body + bytes(MAX_CUTOUT_BYTES)),
        lambda body: body.replace(b"COADDID", b"COADDIX"),
        lambda body: body.replace(b"1210p015_ac51", b"1210p000_ac51"),
    ],
)
def test_broken(image, spoil):
    with pytest.raises(BrokenBodyError):
        read_piece(spoil(file_of(image)), TILE, "W1")


@pytest.mark.parametrize("corner", [(-1, 200), (100, 4052)])
def test_beyond_the_tile(image, corner):
    with pytest.raises(BrokenBodyError, match="CRPIX"):
        read_piece(file_of(image, corner), TILE, "W1")


def test_holds(image):
    piece = read_piece(file_of(image), TILE, "W1")  # x 100 to 144, y 200 to 243
    assert piece.holds(np.array([[120, 220], [124, 223]]))
    for outside in ([119, 220], [125, 220], [120, 219], [120, 224]):
        assert not piece.holds(np.array([[122, 222], outside]))
    corner = read_piece(file_of(image, (0, 4051)), TILE, "W1")
    assert corner.holds(np.array([[0, 4094]]))
    assert corner.holds(np.array([[24, 4071]]))
    assert not corner.holds(np.array([[24, 4070]]))


def test_whole_header(image):
    part = file_of(image)
    assert read_whole_header(part[:1000], TILE, "W1") is None
    with pytest.raises(BrokenBodyError, match="whole tile"):
        read_whole_header(part, TILE, "W1")
    whole = part.replace(b"NAXIS1  =                   45", b"NAXIS1  =                 4095")
    whole = whole.replace(b"NAXIS2  =                   44", b"NAXIS2  =                 4095")
    for axis in (b"1", b"2"):
        start = whole.index(b"CRPIX" + axis)
        whole = whole[: start + 10] + b"              2048.0" + whole[start + 30 :]
    header = read_whole_header(whole, TILE, "W1")
    assert header.is_whole
    assert header.data_start == 2880


@pytest.mark.parametrize("y", [[2000], [0], [4094], [5, 1000], [100, 204, 205], [4094, 0, 7]])
def test_few_blocks(y):
    blocks = row_blocks(np.array(y))
    assert sorted(np.concatenate([block.members for block in blocks])) == list(range(len(y)))
    for block in blocks:
        for row in block.members:
            assert block.first <= max(y[row] - 20, 0)
            assert block.last >= min(y[row] + 20, TILE_SIZE - 1)


def test_neighbours_share_a_block():
    assert [(b.first, b.last) for b in row_blocks(np.array([1000, 1100]))] == [(980, 1120)]
    assert [(b.first, b.last) for b in row_blocks(np.array([1000, 1200]))] == [(980, 1020), (1180, 1220)]
    assert row_blocks(np.array([], dtype=int)) == []


def test_many_sources_come_down_to_the_whole_tile(rng):
    y = rng.integers(0, TILE_SIZE, 5000)
    blocks = row_blocks(y)
    rows = [block.last + 1 - block.first for block in blocks]
    assert len(blocks) <= 6
    assert max(rows) * ROW_BYTES <= 17e6
    assert sum(rows) < 1.06 * TILE_SIZE
    assert len(np.unique(np.concatenate([block.members for block in blocks]))) == 5000


def test_bytes_of_a_block():
    block = RowBlock(10, 11, np.array([0]))
    assert block.byte_range(5760) == (5760 + 163800, 5760 + 163800 + 2 * 16380 - 1)
    rows = np.arange(2 * TILE_SIZE, dtype=">f4")
    assert np.array_equal(block.read(rows.tobytes()), rows.reshape(2, TILE_SIZE))
    with pytest.raises(BrokenBodyError):
        block.read(rows.tobytes()[:-4])
