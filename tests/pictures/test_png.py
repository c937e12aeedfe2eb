"""PNG files: what other decoders read of them, and what an earlier picture spares."""

from __future__ import annotations

import io
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from deep_image_blending.pictures import png
from tests.conftest import smooth_picture


def _noise(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def _data(file: bytes) -> bytes:
    """What the IDAT chunks hold together."""
    at, found = 8, b""
    while at < len(file):
        length = int.from_bytes(file[at : at + 4], "big")
        kind, body = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert int.from_bytes(file[at + 8 + length : at + 12 + length], "big") == zlib.crc32(kind + body)
        found += body if kind == b"IDAT" else b""
        at += 12 + length
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 700), (700, 1), (33, 45), (900, 700)])
def test_other_decoders_read_every_pixel(size: tuple[int, int], dtype: type) -> None:
    for pixels in (_noise(*size, dtype), np.full((*size, 3), 7, dtype)):
        file = b"".join(png.encode(pixels)[0])
        decoded = imagecodecs.png_decode(file)
        assert decoded.dtype == dtype
        assert np.array_equal(decoded, pixels)
        if dtype is np.uint8:
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), pixels)


def test_parts_of_a_larger_array_are_written_as_they_look() -> None:
    pixels = _noise(90, 80)[::-1, 5:60, ::-1]
    assert np.array_equal(imagecodecs.png_decode(b"".join(png.encode(pixels)[0])), pixels)


def test_data_are_one_zlib_stream_whose_checksum_holds() -> None:
    pixels = smooth_picture(3, 900, 700)
    data = _data(b"".join(png.encode(pixels)[0]))
    # zlib refuses a wrong Adler-32. Every row has its filter before it.
    assert len(zlib.decompress(data)) == 900 * (1 + 3 * 700)


def test_strips_of_an_earlier_picture_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first = smooth_picture(3, 900, 700)
    second = first.copy()
    second[500:510, 300:310] ^= 1
    expected = b"".join(png.encode(second)[0])
    _, known = png.encode(first)
    original, made = png._strip, []
    monkeypatch.setattr(png, "_strip", lambda rows, pixel: made.append(len(rows)) or original(rows, pixel))
    pieces, after = png.encode(second, known=known)
    assert b"".join(pieces) == expected
    assert len(made) == 1
    assert len(after) == len(known) > 2


def test_strips_of_another_layout_are_not() -> None:
    # The same bytes, in rows of another length or in another depth.
    wide = _noise(512, 600)
    _, known = png.encode(wide)
    deep = np.frombuffer(wide.tobytes(), ">u2").astype(np.uint16).reshape(512, 300, 3)
    for other in (wide.reshape(1024, 300, 3), deep):
        assert np.array_equal(imagecodecs.png_decode(b"".join(png.encode(other, known=known)[0])), other)


def test_what_recurs_is_found() -> None:
    # A pattern that repeats without runs: noise of 64 columns, side by side.
    tiled = np.tile(_noise(300, 64), (1, 8, 1))
    assert sum(map(len, png.encode(tiled)[0])) < 0.3 * tiled.nbytes


def test_size_is_that_of_an_ordinary_encoder() -> None:
    picture = smooth_picture(5, 400, 500)
    assert sum(map(len, png.encode(picture)[0])) < 1.05 * len(imagecodecs.png_encode(picture, level=4))
