"""Pictures keep their depth, orientation, profile and every pixel that was not changed."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import (
    Picture,
    check_writable,
    compose_like,
    in_srgb,
    load_mask,
    load_picture,
    read_picture,
    write_picture,
)
from tests.conftest import smooth_picture

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (7, 9, 3)).astype(np.uint16)
FLAT = (DEEP >> 8).astype(np.uint8)
ADOBE = bytes(
    imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3127, 0.3290, 1), primaries=(0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1), gamma=2.2
    )
)
LINEAR_SRGB = bytes(
    imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3127, 0.3290, 1), primaries=(0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1), gamma=1.0
    )
)
GREY_18 = bytes(imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.3290, 1), gamma=1.8))


def encoded_srgb(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, linear 0..1 -> encoded 0..1."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _to_xyz(primaries: list[tuple[float, float]]) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


ADOBE_TO_XYZ = _to_xyz([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)])
SRGB_TO_XYZ = _to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    """Closed form of ADOBE -> sRGB, 0..1, clipped."""
    return encoded_srgb(values**2.2 @ np.linalg.solve(SRGB_TO_XYZ, ADOBE_TO_XYZ).T)


def srgb_to_adobe(values: np.ndarray) -> np.ndarray:
    """Closed form of sRGB -> ADOBE, 0..1."""
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return (light @ np.linalg.solve(ADOBE_TO_XYZ, SRGB_TO_XYZ).T).clip(0, 1) ** (1 / 2.2)


def ink_profile() -> bytes:
    """A CMYK profile of which the closed form is known: L* = 100 (1 - K) without C, M, Y; else darker; neutral."""
    corners = [
        0 if key else round(255 * (1 - (cyan + magenta + yellow) / 3))
        for cyan in (0, 1)
        for magenta in (0, 1)
        for yellow in (0, 1)
        for key in (0, 1)
    ]
    identity = struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4
    lut += b"".join(bytes((level, 128, 128)) for level in corners) + ramp * 3
    tag = b"A2B0" + struct.pack(">II", 144, len(lut))
    header = struct.pack(">I4xI4s4s4s12x4s", 144 + len(lut), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I", 1) + tag + lut


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(rows: bytes, width: int, height: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG from filtered scan lines."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + png_chunk(b"IEND", b"")


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(stream, kind, **options)
    return stream.getvalue()


# Formats and depths


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.tiff", "a.webp", "A.PNG"])
def test_lossless_formats_return_every_pixel(tmp_path: Path, name: str) -> None:
    pixels = smooth_picture(1, 11, 13)
    write_picture(tmp_path / name, pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), pixels)


def test_jpeg_is_close_and_has_whole_chroma(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    pixels[:, ::2] = (40, 160, 220)
    write_picture(tmp_path / "a.jpg", pixels)
    # Columns of alternating colour: with subsampled chroma the difference would be over 50.
    assert np.abs(read_picture(tmp_path / "a.jpg").pixels.astype(int) - pixels).max() <= 12
    assert {part[1:3] for part in Image.open(tmp_path / "a.jpg").layer} == {(1, 1)}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name, DEEP)
    picture = read_picture(tmp_path / name)
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, DEEP)
    reader = tifffile.imread if name.endswith("tif") else imagecodecs.imread
    np.testing.assert_array_equal(reader(tmp_path / name), DEEP)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.bmp"])
def test_sixteen_bits_where_the_format_has_eight_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"write a \.png or \.tif"):
        write_picture(tmp_path / name, DEEP)
    assert not list(tmp_path.iterdir())


def test_a_png_of_very_many_chunks_is_read(tmp_path: Path) -> None:
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in DEEP))
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, 16, 2, 0, 0, 0))
    pieces = b"".join(png_chunk(b"IDAT", rows[at : at + 1]) for at in range(len(rows)))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + pieces + png_chunk(b"IEND", b""))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, DEEP)


def test_sixteen_bit_grey_alpha_and_colour_key_are_read(tmp_path: Path) -> None:
    big = DEEP.astype(">u2")
    lines = {
        0: big[..., 0].reshape(7, 9, 1),
        2: big,
        4: big[..., :2],
        6: np.dstack((DEEP, DEEP[..., 0])).astype(">u2"),
    }
    for colour, values in lines.items():
        rows = b"".join(b"\0" + row.tobytes() for row in values)
        for key in (False, True) if colour in (0, 2) else (False,):
            # The transparent colour is the first pixel's. A colour profile that libpng dislikes changes nothing.
            extra = png_chunk(b"tRNS", values[0, 0].tobytes().rjust(2, b"\0")) if key else b""
            extra += png_chunk(b"tEXt", b"Comment\0hello")
            path = tmp_path / f"{colour}{key}.png"
            path.write_bytes(png_of(rows, 9, 7, 16, colour, extra))
            picture = read_picture(path)
            channels = values.shape[2] - (colour in (4, 6))
            np.testing.assert_array_equal(
                picture.pixels, np.broadcast_to(values[..., :channels], (7, 9, 3)).astype(np.uint16)
            )
            if colour in (4, 6):
                np.testing.assert_allclose(picture.alpha, values[..., -1] / 65535, atol=1e-6)
            elif key:
                np.testing.assert_array_equal(picture.alpha, (values != values[0, 0]).any(2).astype(np.float32))
            else:
                assert picture.alpha is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
    ],
    ids=str,
)
@pytest.mark.parametrize("planar", [False, True])
def test_tiff_layouts(tmp_path: Path, options: dict[str, object], planar: bool) -> None:
    for pixels in (DEEP, FLAT):
        given = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planar else pixels
        options = {**options, "extratags": [(315, 2, 0, "Ann", True)], "iccprofile": ADOBE}
        more = {"planarconfig": "separate"} if planar else {}
        tifffile.imwrite(tmp_path / "a.tif", given, photometric="rgb", **options, **more)
        picture = read_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(picture.native, pixels)
        assert picture.profile == ADOBE
        assert picture.exif is not None
        assert b"Ann" in picture.exif


def test_tiff_alpha_beside_and_multiplied(tmp_path: Path) -> None:
    alpha = RANDOM.integers(1000, 65536, (7, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack((DEEP, alpha)), photometric="rgb", extrasamples=["unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, DEEP)
    np.testing.assert_allclose(picture.alpha, alpha / 65535, atol=1e-6)
    multiplied = np.rint(DEEP * (alpha / 65535)[..., None]).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "b.tif", np.dstack((multiplied, alpha)), photometric="rgb", extrasamples=["assocalpha"]
    )
    # Rounding is magnified by at most 1 / alpha.
    error = np.abs(read_picture(tmp_path / "b.tif").pixels.astype(int) - DEEP)
    assert (error <= 1 + 0.5 * 65535 / alpha[..., None]).all()


def test_float_tiff_is_kept_at_sixteen_bits_and_white_may_be_zero(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (DEEP / 65535).astype(np.float32), photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, DEEP)
    tifffile.imwrite(tmp_path / "b.tif", DEEP[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif").pixels[..., 1], 65535 - DEEP[..., 0])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "JPEG", "WEBP", "PPM"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_of_every_format(tmp_path: Path, kind: str, mode: str) -> None:
    path = tmp_path / "a"
    try:
        path.write_bytes(encoded(smooth_picture(1, 21, 19), kind, mode))
    except (OSError, ValueError, KeyError):
        pytest.skip("the format has no such mode")
    picture, reference = read_picture(path), Image.open(path)
    assert picture.pixels.shape == (21, 19, 3)
    assert (picture.alpha is not None) == reference.has_transparency_data
    np.testing.assert_array_equal(picture.pixels, np.asarray(reference.convert("RGB")))


def test_first_frame_of_an_animation_is_the_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        frames[0].save(
            tmp_path / "a",
            kind,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if kind == "WEBP" else {}),
        )
        assert tuple(read_picture(tmp_path / "a").pixels[0, 0]) == (255, 0, 0)


def test_transparency_becomes_alpha(tmp_path: Path) -> None:
    rgba = np.dstack((FLAT, RANDOM.integers(0, 256, (7, 9)).astype(np.uint8)))
    Image.fromarray(rgba).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_allclose(picture.alpha, rgba[..., 3] / 255, atol=1e-6)
    np.testing.assert_array_equal(picture.pixels, FLAT)

    indices = RANDOM.integers(0, 4, (7, 9)).astype(np.uint8)
    palette = Image.fromarray(indices).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    for transparency, opacity in [(2, [1, 1, 0, 1]), (bytes((0, 51, 255, 102)), [0, 0.2, 1, 0.4])]:
        palette.save(tmp_path / "p.png", transparency=transparency)
        picture = read_picture(tmp_path / "p.png")
        np.testing.assert_allclose(picture.alpha, np.array(opacity)[indices], atol=1e-6)
        expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]])[indices]
        np.testing.assert_array_equal(picture.pixels, expected)


# Orientation, metadata


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.tif", "deep.tif", "a.webp", "a.jpg"])
def test_exif_orientation_is_applied_and_reset(tmp_path: Path, orientation: int, name: str) -> None:
    deep, path = name.startswith("deep"), tmp_path / name
    pixels = DEEP if deep else FLAT
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "deep.png":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
        # After the picture's data, where the format allows it too.
        whole = png_of(rows, 9, 7, 16, 2)
        path.write_bytes(whole[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + whole[-12:])
    elif name.endswith("tif"):
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if name == "a.webp" else {}))
    stored = np.asarray(Image.open(path)) if name == "a.jpg" else pixels
    expected = UPRIGHT[orientation](stored)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    write_picture(tmp_path / "out.tif", picture.native, like=picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.tif").pixels, expected)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("start", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("end", ["png", "tif", "jpg", "webp"])
def test_profile_metadata_and_resolution_go_to_the_output(
    tmp_path: Path, depth: int, start: str, end: str
) -> None:
    if depth == 16 and {start, end} & {"jpg", "webp"}:
        pytest.skip("8 bits only")
    exif = Image.Exif()
    exif[0x013B], exif[0x8298], exif[0x0112] = "Ann", "free", 6
    exif[0x8769] = {0x829A: 0.5, 0xA002: 9, 0xA003: 7}
    exif[0x8825] = {1: "N", 2: (10.0, 20.0, 30.0)}
    pixels = DEEP if depth == 16 else FLAT
    # Written once in another program's way (8 bits), or in ours (Pillow writes no 16 bits).
    if depth == 8:
        Image.fromarray(pixels).save(
            tmp_path / f"a.{start}", exif=exif.tobytes(), icc_profile=ADOBE, dpi=(300, 150)
        )
    else:
        like = Picture(Path("x"), pixels, pixels.copy(), None, ADOBE, exif.tobytes(), (300, 150))
        write_picture(tmp_path / f"a.{start}", pixels, like=like)
    picture = read_picture(tmp_path / f"a.{start}")
    assert picture.native.shape == (9, 7, 3)
    write_picture(tmp_path / f"b.{end}", picture.native, like=picture)
    image = Image.open(tmp_path / f"b.{end}")
    written = image.getexif()
    assert (written[0x013B], written[0x8298], written[0x0112]) == ("Ann", "free", 1)
    # The stored size is no longer the picture's.
    assert dict(written.get_ifd(0x8769)) == {0x829A: 0.5}
    assert written.get_ifd(0x8825)[2] == (10.0, 20.0, 30.0)
    assert image.info["icc_profile"] == ADOBE
    if start != "webp" and end != "webp":
        # Turned by a quarter, the two resolutions change places.
        np.testing.assert_allclose(tuple(map(float, image.info["dpi"])), (150, 300), atol=0.02)


def test_damaged_metadata_are_left_out_with_a_warning(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in FLAT)
    (tmp_path / "a.png").write_bytes(png_of(rows, 9, 7, 8, 2, png_chunk(b"eXIf", b"nonsense")))
    with pytest.warns(UserWarning, match=r"a\.png': its metadata are damaged"):
        picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, FLAT)


def test_metadata_too_long_for_jpeg_are_left_out_with_a_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    like = Picture(Path("x"), FLAT, FLAT, exif=exif.tobytes())
    with pytest.warns(UserWarning, match="too long for JPEG"):
        write_picture(tmp_path / "a.jpg", FLAT, like=like)
    assert read_picture(tmp_path / "a.jpg").pixels.shape == FLAT.shape


# Colour


@pytest.mark.parametrize("pixels", [FLAT, DEEP], ids=["8", "16"])
def test_profile_is_converted_to_srgb_by_its_closed_form(tmp_path: Path, pixels: np.ndarray) -> None:
    like = Picture(Path("x"), pixels, pixels.copy(), None, ADOBE)
    write_picture(tmp_path / "a.png", pixels, like=like)
    picture = read_picture(tmp_path / "a.png")
    maximum = np.iinfo(pixels.dtype).max
    np.testing.assert_array_equal(picture.native, pixels)
    # Primaries have 16 fractional bits in a profile: a tenth of an 8-bit level, and half a level of rounding.
    assert np.abs(picture.pixels - maximum * adobe_to_srgb(pixels / maximum)).max() <= 0.5 + 0.1 * maximum / 255
    assert picture.profile == ADOBE


@pytest.mark.parametrize("pixels", [FLAT, DEEP], ids=["8", "16"])
def test_unchanged_pixels_keep_every_bit_and_changed_ones_come_back_through_the_profile(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    like = Picture(Path("x"), pixels, pixels.copy(), None, ADOBE)
    write_picture(tmp_path / "a.tif", pixels, like=like)
    picture = read_picture(tmp_path / "a.tif")
    changed = RANDOM.random((7, 9)) > 0.4
    result = RANDOM.uniform(0, 255, (7, 9, 3)).astype(np.float32)
    written = compose_like(picture, result, changed)
    assert written.dtype == pixels.dtype
    np.testing.assert_array_equal(written[~changed], pixels[~changed])
    write_picture(tmp_path / "b.tif", written, like=picture)
    again = read_picture(tmp_path / "b.tif")
    np.testing.assert_array_equal(again.native[~changed], pixels[~changed])
    np.testing.assert_array_equal(again.pixels, in_srgb(written, picture))
    # AdobeRGB holds all of sRGB, so that the inverse has a closed form too.
    maximum = np.iinfo(pixels.dtype).max
    expected = maximum * srgb_to_adobe(result[changed] / 255)
    assert np.abs(again.native[changed] - expected).max() <= 0.5 + 0.1 * maximum / 255
    # A result that is the target's own colour gives the target's own pixels, inside and outside sRGB.
    same = compose_like(picture, (picture.pixels / (maximum / 255)).astype(np.float32), np.ones((7, 9), bool))
    np.testing.assert_array_equal(same, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_changed_pixels_are_rounded_and_clipped(dtype: type) -> None:
    pixels = DEEP if dtype == np.uint16 else FLAT
    picture = Picture(Path("t"), pixels, pixels)
    changed = RANDOM.random((7, 9)) > 0.5
    result = RANDOM.uniform(-20, 280, (7, 9, 3)).astype(np.float32)
    written = compose_like(picture, result, changed)
    scale = 257 if dtype == np.uint16 else 1
    np.testing.assert_array_equal(written[~changed], pixels[~changed])
    np.testing.assert_array_equal(written[changed], np.rint(result[changed].clip(0, 255) * scale))
    np.testing.assert_array_equal(picture.native, pixels)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.floats(0, 1))
def test_where_nothing_changed_the_output_is_the_target(seed: int, deep: bool, wide: bool, share: float) -> None:
    random = np.random.default_rng(seed)
    shape = (*random.integers(1, 9, 2), 3)
    native = random.integers(0, 65536 if deep else 256, shape).astype(np.uint16 if deep else np.uint8)
    target = Picture(Path("t"), native.copy() if wide else native, native, None, ADOBE if wide else None)
    changed = random.random(shape[:2]) < share
    written = compose_like(target, random.uniform(0, 255, shape).astype(np.float32), changed)
    np.testing.assert_array_equal(written[~changed], native[~changed])


def test_a_profile_that_is_srgb_converts_nothing_and_one_only_named_so_does(tmp_path: Path) -> None:
    srgb = bytes(imagecodecs.cms_profile("srgb"))
    Image.fromarray(FLAT).save(tmp_path / "a.png", icc_profile=srgb)
    picture = read_picture(tmp_path / "a.png")
    assert picture.native is picture.pixels
    assert picture.profile == srgb
    Image.fromarray(FLAT).save(tmp_path / "b.png", icc_profile=LINEAR_SRGB)
    expected = np.rint(255 * encoded_srgb(FLAT / 255))
    assert np.abs(read_picture(tmp_path / "b.png").pixels - expected).max() <= 1


def test_grey_profile_is_converted_for_pictures_and_ignored_for_masks(tmp_path: Path) -> None:
    Image.fromarray(FLAT[..., 0]).save(tmp_path / "a.png", icc_profile=GREY_18)
    picture = read_picture(tmp_path / "a.png")
    expected = 255 * encoded_srgb((FLAT[..., 0] / 255) ** 1.8)
    assert np.abs(picture.pixels[..., 1] - expected).max() <= 0.6
    assert picture.native is picture.pixels
    assert picture.profile is None
    np.testing.assert_allclose(load_mask(tmp_path / "a.png"), FLAT[..., 0] / 255, atol=1e-6)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_goes_through_its_profile(tmp_path: Path, name: str) -> None:
    ink = np.zeros((8, 16, 4), np.uint8)
    ink[..., 3] = np.arange(16) * 17
    options = {"quality": 100} if name == "a.jpg" else {}
    Image.fromarray(ink, "CMYK").save(tmp_path / name, icc_profile=ink_profile(), **options)
    lightness = 100 * (1 - ink[..., 3] / 255)
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    picture = read_picture(tmp_path / name)
    assert np.abs(picture.pixels - 255 * encoded_srgb(light)[..., None]).max() <= 3
    assert picture.profile is None
    assert picture.native is picture.pixels


def test_cmyk_without_profile_is_the_product_of_inks(tmp_path: Path) -> None:
    ink = RANDOM.integers(0, 256, (5, 6, 4)).astype(np.uint8)
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tif")
    expected = 255 * (1 - ink[..., :3] / 255) * (1 - ink[..., 3:] / 255)
    assert np.abs(read_picture(tmp_path / "a.tif").pixels - expected).max() <= 0.501
    deep = RANDOM.integers(0, 65536, (5, 6, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="separated")
    expected = 65535 * (1 - deep[..., :3] / 65535) * (1 - deep[..., 3:] / 65535)
    assert np.abs(read_picture(tmp_path / "b.tif").pixels - expected).max() <= 0.51


@pytest.mark.parametrize("profile", [b"x" * 200, ADOBE[:300], GREY_18, b"RGB", ink_profile()], ids=range(5))
def test_a_profile_that_can_not_be_used_is_ignored_with_a_warning(tmp_path: Path, profile: bytes) -> None:
    Image.fromarray(FLAT).save(tmp_path / "a.tif", icc_profile=profile)
    with pytest.warns(UserWarning, match=r"a\.tif': its colour profile can't be used"):
        picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, FLAT)
    assert picture.profile is None


def test_a_bitmap_can_not_hold_a_profile(tmp_path: Path) -> None:
    Image.fromarray(FLAT).save(tmp_path / "a.png", icc_profile=ADOBE)
    picture = read_picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="colour profile"):
        write_picture(tmp_path / "b.bmp", picture.native, like=picture)


# Masks, arrays, images


def test_masks_are_levels_over_their_depth(tmp_path: Path) -> None:
    grey = FLAT[..., 0]
    Image.fromarray(grey).save(tmp_path / "m.png")
    np.testing.assert_allclose(load_mask(tmp_path / "m.png"), grey / 255, atol=1e-6)
    Image.fromarray(FLAT).save(tmp_path / "c.png")
    np.testing.assert_allclose(load_mask(tmp_path / "c.png"), FLAT @ [0.299, 0.587, 0.114] / 255, atol=1e-6)
    Image.fromarray(np.where(grey > 99, 255, 0).astype(np.uint8)).convert("1").save(tmp_path / "b.png")
    np.testing.assert_array_equal(load_mask(tmp_path / "b.png"), grey > 99)
    np.testing.assert_allclose(load_mask(DEEP[..., 0]), DEEP[..., 0] / 65535, atol=1e-6)
    np.testing.assert_array_equal(load_mask(grey > 100), (grey > 100).astype(np.float32))
    np.testing.assert_allclose(load_mask(grey / 255), grey / 255, atol=1e-5)
    assert load_mask(grey).dtype == np.float32


def test_masks_with_alpha() -> None:
    grey, alpha = FLAT[..., 0], FLAT[..., 1]
    for constant in (0, 255):
        coded = np.dstack((np.full((7, 9, 3), constant, np.uint8), alpha))
        np.testing.assert_allclose(load_mask(coded), alpha / 255, atol=1e-6)
    np.testing.assert_allclose(load_mask(np.dstack((grey, alpha))), grey / 255.0 * (alpha / 255), atol=1e-6)
    np.testing.assert_allclose(load_mask(np.dstack((FLAT, alpha))), alpha / 255, atol=1e-6)
    # Opaque: alpha says nothing.
    black = np.dstack((np.zeros((7, 9, 3), np.uint8), np.full((7, 9), 255, np.uint8)))
    assert not load_mask(black).any()


def test_arrays_and_images_are_pictures_too() -> None:
    np.testing.assert_array_equal(load_picture(FLAT).pixels, FLAT)
    np.testing.assert_array_equal(load_picture(FLAT[..., 0]).pixels[..., 2], FLAT[..., 0])
    np.testing.assert_array_equal(load_picture(Image.fromarray(FLAT)).pixels, FLAT)
    np.testing.assert_array_equal(load_picture(FLAT / 255.0).pixels, FLAT.astype(np.uint16) * 257)
    four = np.dstack((DEEP, DEEP[..., 0]))
    np.testing.assert_allclose(load_picture(four).alpha, DEEP[..., 0] / 65535, atol=1e-6)
    image = Image.fromarray(FLAT)
    image.getexif()[0x0112] = 6
    image.info["icc_profile"] = ADOBE
    picture = load_picture(image)
    np.testing.assert_array_equal(picture.native, np.rot90(FLAT, -1))
    assert picture.profile == ADOBE
    assert image.size == (9, 7)
    assert len({load_picture(a).sha256 for a in (FLAT, FLAT.reshape(9, 7, 3), DEEP, image)}) == 4


def test_a_file_is_known_by_its_absolute_path_and_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", FLAT)
    monkeypatch.chdir(tmp_path)
    picture = load_picture("a.png")
    assert picture.path == tmp_path / "a.png"
    assert picture.sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


def test_the_callers_array_is_not_shared() -> None:
    given = FLAT.copy()
    picture = load_picture(given)
    given[:] = 0
    np.testing.assert_array_equal(picture.pixels, FLAT)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 7), np.uint8), "of shape"),
        (np.zeros(4, np.uint8), "of shape"),
        (np.zeros((0, 5, 3), np.uint8), "of shape"),
        (np.full((4, 5), 2.0), "0..1"),
        (np.full((4, 5), np.nan), "not finite"),
        (np.full((4, 5), np.inf), "not finite"),
        (np.zeros((4, 5), np.int64), "int64"),
        (np.zeros((4, 5), complex), "complex128"),
        (np.full((4, 5), "x"), "<U1"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, words: str) -> None:
    for load in (load_picture, load_mask):
        with pytest.raises(InputError, match="array.*" + words.replace(".", r"\.")):
            load(array)


# Bad input


def _files(folder: Path) -> dict[str, tuple[bytes | None, str]]:
    pixels = smooth_picture(1, 40, 40)

    def tiff(values: np.ndarray, **options: object) -> bytes:
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **{"photometric": "rgb", **options})
        return stream.getvalue()

    holed, infinite = np.full((4, 4, 3), 0.5, np.float32), np.full((4, 4, 3), 0.5, np.float32)
    holed[1, 1, 1], infinite[2, 2, 2] = np.nan, -np.inf
    cut = {
        f"truncated {kind}": (data[: len(data) // 2], "damaged")
        for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
        for data in [encoded(pixels, kind)]
    }
    bomb = png_of(b"\0", 60_000, 60_000, 8, 2)
    huge = bytearray(encoded(pixels, "BMP"))
    huge[18:26] = struct.pack("<ii", 50_000, 50_000)
    wide = bytearray(tiff(DEEP))
    at = (
        wide.index(struct.pack("<HHIHH", 256, 3, 1, 9, 0))
        if struct.pack("<HHIHH", 256, 3, 1, 9, 0) in wide
        else None
    )
    at = at if at is not None else wide.index(struct.pack("<HHI", 256, 4, 1))
    wide[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 4_000_000_000)
    return {
        **cut,
        "empty": (b"", "is empty"),
        "text": (b"not a picture at all", "no picture"),
        "html": (b"<!DOCTYPE html><html></html>", "no picture"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        "signature alone": (b"\x89PNG\r\n\x1a\n", "no picture"),
        "TIFF signature alone": (b"II*\0", "no picture"),
        "wrong checksum": (encoded(pixels, "PNG").replace(b"IDAT", b"IDAT\1", 1), "damaged"),
        "PNG bomb": (bomb, "60000x60000, 3600 megapixels, over the limit of 200"),
        "BMP bomb": (bytes(huge), "--max-pixels"),
        "TIFF bomb": (bytes(wide), "--max-pixels"),
        "no width": (png_of(b"\0", 0, 5, 8, 2), "no picture"),
        "NaN": (tiff(holed), "not finite"),
        "infinity": (tiff(infinite), "not finite"),
        "range": (tiff(np.full((4, 4, 3), 7.0, np.float32)), "scale them to 0..1"),
        "seven channels": (
            tiff(np.zeros((4, 4, 7), np.uint16), photometric="minisblack", planarconfig="contig"),
            "7 channels",
        ),
        "32-bit levels": (tiff(np.zeros((4, 4), np.uint32), photometric="minisblack"), "uint32"),
        "complex": (tiff(np.zeros((4, 4), np.complex64), photometric="minisblack"), "complex64"),
        "missing": (None, "does not exist"),
    }


@pytest.mark.parametrize("load", [load_picture, load_mask])
def test_bad_files_are_one_line_that_names_the_file(
    tmp_path: Path, load: Callable[..., object], capfd: pytest.CaptureFixture[str]
) -> None:
    for case, (data, words) in _files(tmp_path).items():
        path = tmp_path / "photo of mine.png"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError) as raised:
                load(path)
        message = str(raised.value)
        assert "\n" not in message, case
        assert str(path) in message, case
        assert words in message, (case, message)
        assert ";" in message, (case, message)
    assert capfd.readouterr() == ("", "")


def test_places_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "file").write_bytes(b"x")
    for path, words in [
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "pipe.png", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "loop.png", "symbolic links"),
        (tmp_path / "file" / "a.png", "does not exist"),
        (tmp_path / ("x" * 300), "name too long"),
        (Path("a\0b.png"), "null"),
    ]:
        with pytest.raises(InputError, match=words) as raised:
            read_picture(path)
        assert "\n" not in str(raised.value)
    monkeypatch.setattr(Path, "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(InputError, match="permission denied; change its permissions"):
        read_picture(tmp_path / "file")


def test_a_file_too_large_for_any_picture_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(InputError, match=r"1000\.0 GB.*--max-pixels"):
        read_picture(tmp_path / "a.tif")


def test_the_limit_can_be_raised_and_the_process_keeps_its_own(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    write_picture(tmp_path / "a.png", FLAT)
    with pytest.raises(InputError, match=r"9x7, 6\.3e-05 megapixels, over the limit of 6\.2e-05"):
        read_picture(tmp_path / "a.png", max_pixels=62)
    assert read_picture(tmp_path / "a.png", max_pixels=63).pixels.shape == (7, 9, 3)
    readers = [threading.Thread(target=read_picture, args=(tmp_path / "a.png",)) for _ in range(16)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert before == Image.MAX_IMAGE_PIXELS
    assert all(logging.getLogger(name).level <= logging.CRITICAL for name in ("tifffile", "PIL"))


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(zlib.compress(b""), 14_000, 14_300, 8, 6))
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from deep_image_blending.errors import InputError\n"
        "from deep_image_blending.pictures import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_picture(Path(sys.argv[1]))\n"
        "except InputError as error: assert '--max-pixels' in str(error), error\n"
        "else: raise SystemExit('was read')\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True)


def test_unwritable_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.png").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for path, words in [
        (tmp_path / "a.xyz", "unknown picture format; use one of .*webp"),
        (tmp_path / "a", "unknown picture format"),
        (tmp_path / "no" / "a.png", "does not exist"),
        (tmp_path / "d.png", "is a folder"),
        (tmp_path / "file" / "a.png", "does not exist"),
    ]:
        for refuse in (check_writable, lambda path: write_picture(path, FLAT)):
            with pytest.raises(InputError, match=words):
                refuse(path)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="can't be written to"):
        check_writable(tmp_path / "a.png")


@pytest.mark.parametrize(("name", "side"), [("a.webp", 16_384), ("a.jpg", 65_536)])
def test_a_side_too_long_for_the_format_is_refused(tmp_path: Path, name: str, side: int) -> None:
    with pytest.raises(InputError, match=rf"no side of {side} pixels; write a \.png or \.tif"):
        write_picture(tmp_path / name, np.zeros((1, side, 3), np.uint8))


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "a.png", FLAT)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_picture(tmp_path / "a.png", DEEP)
    monkeypatch.undo()
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, FLAT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# Mutations


def _seeds() -> list[bytes]:
    """A file of every kind that is read."""
    rgba = RANDOM.integers(0, 256, (12, 14, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x013B], exif[0x0112], exif[0x8769], exif[0x8825] = "Ann", 6, {0x829A: 0.5}, {1: "N", 2: (1.0, 2.0, 3.0)}
    full = {"icc_profile": ADOBE, "exif": exif.tobytes(), "dpi": (72, 72)}
    modes = {
        "PNG": ["1", "L", "P", "LA", "RGB", "RGBA"],
        "JPEG": ["L", "RGB", "CMYK"],
        "WEBP": ["RGB", "RGBA"],
        "TIFF": ["1", "L", "P", "RGBA", "CMYK", "YCbCr"],
        "BMP": ["1", "L", "P", "RGB"],
        "GIF": ["P"],
        "PPM": ["L", "RGB"],
    }
    seeds = [encoded(rgba, kind, mode) for kind, names in modes.items() for mode in names]
    seeds += [encoded(rgba, kind, "RGB", **full) for kind in ("PNG", "JPEG", "WEBP", "TIFF")]
    seeds += [encoded(rgba, "TIFF", "RGB", compression=name) for name in ("jpeg", "tiff_lzw", "packbits")]
    seeds += [encoded(rgba, "TIFF", "1", compression="group4"), encoded(rgba, "JPEG", "RGB", progressive=True)]
    for options in ({}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}, {"compression": "lzw"}):
        for values in (DEEP, (DEEP / 65535).astype(np.float32)):
            stream = io.BytesIO()
            tifffile.imwrite(stream, values, photometric="rgb", **options)
            seeds.append(stream.getvalue())
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in DEEP)
    return [*seeds, png_of(rows, 9, 7, 16, 2, png_chunk(b"iCCP", b"p\0\0" + zlib.compress(ADOBE)))]


def _with_right_checksums(data: bytearray) -> bytearray:
    """Checksums of a PNG's chunks made right, so that damage gets past them."""
    at = 8
    while at + 12 <= len(data) and (end := at + 12 + int.from_bytes(data[at : at + 4], "big")) <= len(data):
        data[end - 4 : end] = struct.pack(">I", zlib.crc32(data[at + 4 : end - 4]))
        at = end
    return data


def _mutations(count: int, seed: int) -> Iterator[bytes]:
    random, seeds = np.random.default_rng(seed), _seeds()
    for i in range(count):
        data = bytearray(seeds[i % len(seeds)])
        # Headers are where most of the decoders' decisions are.
        reach = min(len(data), 300) if random.random() < 0.5 else len(data)
        for _ in range(int(random.integers(1, 9))):
            data[int(random.integers(reach))] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
        how = random.random()
        if how < 0.15:
            data = data[: int(random.integers(1, len(data)))]
        elif how < 0.25:
            at = int(random.integers(len(data)))
            data[at:at] = random.bytes(int(random.integers(1, 40)))
        if data[:4] == b"\x89PNG" and random.random() < 0.7:
            data = _with_right_checksums(data)
        yield bytes(data)


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_files_give_a_picture_or_an_input_error(
    tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    path, tally = tmp_path / "mutated", {"picture": 0, "refused": 0}
    messages: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for data in _mutations(count, 5):
            path.write_bytes(data)
            try:
                picture = read_picture(path, max_pixels=100_000)
            except InputError as error:
                tally["refused"] += 1
                messages.add(str(error))
                continue
            tally["picture"] += 1
            assert picture.pixels.shape == picture.native.shape
            assert picture.pixels.dtype in (np.uint8, np.uint16)
            assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
    assert sum(tally.values()) == count
    assert all(str(path) in message and "\n" not in message for message in messages)
    # Enough of both: the mutations reach the decoders, and the decoders' complaints reach us.
    assert min(tally.values()) > count / 10
    # Only our own warnings.
    assert all(str(path) in str(warning.message) for warning in caught)
    record_property("outcomes", tally)
    print(count, "mutated files:", tally)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"BM", b"GIF89a", b"P6\n"]
    ),
    st.binary(max_size=200),
)
def test_any_bytes_give_a_picture_or_an_input_error(tmp_path: Path, start: bytes, rest: bytes) -> None:
    (tmp_path / "a").write_bytes(start + rest)
    message = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = read_picture(tmp_path / "a", max_pixels=100_000)
        except InputError as error:
            message = str(error)
        else:
            assert picture.pixels.ndim == 3
    assert "\n" not in message
