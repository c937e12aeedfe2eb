"""PNG files: what other decoders read of ours, what is read of others', and damage that decoders overlook."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Picture, load_picture, picture_size, write_picture
from deep_image_blending.pictures import png as png_files
from tests.conftest import smooth_picture
from tests.pictures.made import ADOBE, png_chunk, png_of

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def _noise(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def _file(pixels: np.ndarray) -> bytes:
    return png_files.encode(pixels, Picture(Path("a.png"), pixels, pixels))


def _interlaced(values: np.ndarray, colour: int, extra: bytes = b"") -> bytes:
    """A 16-bit PNG in seven passes, its rows unfiltered."""
    height, width = values.shape[:2]
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes()
        for top, left, down, across in ADAM7
        for row in values[top::down, left::across]
        if row.size
    )
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 1))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return png_files.SIGNATURE + head + extra + data + png_chunk(b"IEND", b"")


# Writing


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 700), (700, 1), (33, 45), (900, 700)])
def test_other_decoders_read_every_pixel(size: tuple[int, int], dtype: type) -> None:
    for pixels in (_noise(*size, dtype), np.full((*size, 3), 7, dtype)):
        file = _file(pixels)
        decoded = imagecodecs.png_decode(file)
        assert decoded.dtype == dtype
        assert np.array_equal(decoded, pixels)
        if dtype is np.uint8:
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), pixels)


def test_parts_of_a_larger_array_are_written_as_they_look() -> None:
    pixels = _noise(90, 80)[::-1, 5:60, ::-1]
    assert np.array_equal(imagecodecs.png_decode(_file(pixels)), pixels)


def test_size_is_that_of_an_ordinary_encoder() -> None:
    picture = smooth_picture(5, 400, 500)
    assert len(_file(picture)) < 1.05 * len(imagecodecs.png_encode(picture, level=4))


# Damage


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rows_that_are_missing_behind_a_proper_end_are_noticed(tmp_path: Path, dtype: type) -> None:
    order = np.dtype(dtype).newbyteorder(">")
    rows = b"".join(b"\0" + row.astype(order).tobytes() for row in _noise(40, 50, dtype))
    (tmp_path / "a.png").write_bytes(png_of(rows, 50, 96, 8 * order.itemsize, 2))
    with pytest.raises(InputError, match=r"a\.png' is no picture .* damaged \(cut off") as raised:
        load_picture(tmp_path / "a.png")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND", b"tEXt"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_wrong_checksum_is_noticed(tmp_path: Path, kind: bytes, dtype: type) -> None:
    file = bytearray(_file(_noise(9, 8, dtype)))
    file[33:33] = png_chunk(b"tEXt", b"Comment\0hello")
    at = file.index(kind)
    file[at + 4 + int.from_bytes(file[at - 4 : at], "big")] ^= 1
    (tmp_path / "a.png").write_bytes(file)
    with pytest.raises(InputError, match=f"damaged .wrong checksum of '{kind.decode()}'"):
        load_picture(tmp_path / "a.png")


def test_a_file_whose_end_alone_is_missing_is_read(tmp_path: Path) -> None:
    pixels = _noise(9, 8)
    (tmp_path / "a.png").write_bytes(_file(pixels)[:-12])
    assert np.array_equal(load_picture(tmp_path / "a.png").pixels, pixels)


# What is too long, interlaced or ignored


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_text_too_long_is_left_out_and_the_picture_read(
    tmp_path: Path, dtype: type, kind: bytes, behind: bool
) -> None:
    long = b"x" * (3 * PngImagePlugin.MAX_TEXT_CHUNK)
    if kind == b"tEXt":
        # One that is not compressed counts only in the sum of all.
        long = b"x" * (PngImagePlugin.MAX_TEXT_MEMORY + 1)
    head = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"tEXt": b"Comment\0"}[kind]
    chunk = png_chunk(kind, head + (long if kind == b"tEXt" else zlib.compress(long)))
    pixels = _noise(9, 8, dtype)
    file = _file(pixels)
    at = len(file) - 12 if behind else 33
    (tmp_path / "a.png").write_bytes(file[:at] + chunk + file[at:])
    assert picture_size(tmp_path / "a.png") == pixels.shape[:2]
    with pytest.warns(UserWarning, match=r"a\.png': a text in it is too long and was left out"):
        picture = load_picture(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, pixels)
    assert picture.notes == ("a text in it is too long and was left out",)


def test_a_size_is_upright_and_known_without_decoding_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = _file(_noise(9, 7))
    behind = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    (tmp_path / "a.png").write_bytes(file[:-12] + behind + file[-12:])
    assert load_picture(tmp_path / "a.png").pixels.shape == (7, 9, 3)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    assert picture_size(tmp_path / "a.png") == (7, 9)


def test_a_colour_profile_longer_than_pillow_takes_is_used(tmp_path: Path) -> None:
    # Little CMS takes no notice of what lies behind the profile's own tags.
    length = 2 * PngImagePlugin.MAX_TEXT_CHUNK
    profile = struct.pack(">I", length) + ADOBE[4:].ljust(length - 4, b"\0")
    pixels = _noise(9, 8)
    write_picture(tmp_path / "a.png", pixels, like=Picture(tmp_path, pixels, pixels.copy(), profile=profile))
    assert picture_size(tmp_path / "a.png") == pixels.shape[:2]
    long = load_picture(tmp_path / "a.png")
    assert long.profile == profile
    write_picture(tmp_path / "b.png", pixels, like=Picture(tmp_path, pixels, pixels.copy(), profile=ADOBE))
    assert np.array_equal(long.pixels, load_picture(tmp_path / "b.png").pixels)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (33, 45)])
def test_sixteen_bits_interlaced_are_read_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], colour: int, channels: int, size: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (*size, channels)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(_interlaced(values, colour))
    picture = load_picture(tmp_path / "a.png")
    shown = values[..., : channels - (colour in (4, 6))]
    assert np.array_equal(picture.pixels, np.broadcast_to(shown, (*size, 3)))
    if colour in (4, 6):
        np.testing.assert_allclose(picture.alpha, values[..., -1] / 65535, atol=1e-6)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("gamma", "other", "said"), [(100_000, b"", True), (45_455, b"", False)])
def test_a_gamma_that_is_ignored_is_said(tmp_path: Path, gamma: int, other: bytes, said: bool) -> None:
    file = _file(_noise(9, 8))
    (tmp_path / "a.png").write_bytes(file[:33] + png_chunk(b"gAMA", struct.pack(">I", gamma)) + other + file[33:])
    if said:
        with pytest.warns(UserWarning, match="its gamma of 1 was ignored"):
            notes = load_picture(tmp_path / "a.png").notes
        assert len(notes) == 1
    else:
        assert load_picture(tmp_path / "a.png").notes == ()
