"""Pictures keep their depth, orientation, profile and every pixel that was not changed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from deep_image_blending.errors import InputError
from deep_image_blending.images import (
    Picture,
    check_writable,
    compose_like,
    load_mask,
    load_picture,
    read_picture,
    write_picture,
)

from .conftest import smooth_picture

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (7, 9, 3)).astype(np.uint16)


def _wide_profile() -> bytes:
    """An RGB profile with swapped primaries: sRGB's bytes with its red and green colorants exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)
    table = {bytes(data[at : at + 4]): at for at in entries}
    red, green = table[b"rXYZ"], table[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = data[green + 4 : green + 12], data[red + 4 : red + 12]
    at = table[b"desc"]
    offset = int.from_bytes(data[at + 4 : at + 8], "big")
    size = int.from_bytes(data[at + 8 : at + 12], "big")
    body = data[offset : offset + size]
    body = body.replace(b"s\0R\0G\0B", b"x\0Y\0Z\0W").replace(b"sRGB", b"xYZW")
    data[offset : offset + size] = body
    return bytes(data)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_formats_return_every_pixel(tmp_path: Path, name: str) -> None:
    pixels = smooth_picture(1, 11, 13)
    write_picture(tmp_path / name, pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, pixels)


def test_jpeg_is_close(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    write_picture(tmp_path / "a.jpg", pixels)
    assert np.abs(read_picture(tmp_path / "a.jpg").pixels.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name, DEEP)
    picture = read_picture(tmp_path / name)
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, DEEP)


def test_sixteen_bit_grey_and_alpha_are_read(tmp_path: Path) -> None:
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png").pixels[..., 2], DEEP[..., 0])
    tifffile.imwrite(tmp_path / "alpha.tif", np.dstack((DEEP, DEEP[..., 0])), photometric="rgb")
    picture = read_picture(tmp_path / "alpha.tif")
    np.testing.assert_array_equal(picture.pixels, DEEP)
    assert picture.alpha is not None
    np.testing.assert_allclose(picture.alpha, DEEP[..., 0] / 65535, atol=1e-6)


def test_sixteen_bits_in_jpeg_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write a \.png or \.tif"):
        write_picture(tmp_path / "a.jpg", DEEP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_exif_orientation_is_applied_and_reset(tmp_path: Path, orientation: int, deep: bool) -> None:
    pixels = smooth_picture(1, 6, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.asarray(_transposed(pixels, orientation))
    path = tmp_path / "a.tif"
    if deep:
        tifffile.imwrite(
            path, pixels.astype(np.uint16) * 257, photometric="rgb", extratags=[(274, 3, 1, orientation, True)]
        )
        expected = expected.astype(np.uint16) * 257
    else:
        path = tmp_path / "a.png"
        Image.fromarray(pixels).save(path, exif=exif)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    write_picture(tmp_path / "out.png", picture.pixels, like=picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png").pixels, expected)


def _transposed(pixels: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(image)


def test_profile_is_converted_to_srgb_and_kept_on_the_output(tmp_path: Path) -> None:
    profile = _wide_profile()
    pixels = smooth_picture(1, 12, 10)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_picture(tmp_path / "a.png")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    expected = ImageCms.profileToProfile(Image.fromarray(pixels), source, srgb, outputMode="RGB")
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    np.testing.assert_array_equal(picture.native, pixels)

    changed = np.zeros((12, 10), bool)
    changed[3:8, 2:7] = True
    written = compose_like(picture, picture.pixels.astype(np.float32), changed)
    np.testing.assert_array_equal(written[~changed], pixels[~changed])
    # There and back through 8 bits: equal where the colour lies inside sRGB.
    inside = changed & ((picture.pixels > 0) & (picture.pixels < 255)).all(2)
    assert np.abs(written[inside].astype(int) - pixels[inside]).max(initial=0) <= 3
    write_picture(tmp_path / "out.png", written, like=picture)
    assert Image.open(tmp_path / "out.png").info["icc_profile"] == profile


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unchanged_pixels_are_the_targets_bit_for_bit(dtype: type) -> None:
    pixels = DEEP if dtype == np.uint16 else (DEEP // 257).astype(np.uint8)
    picture = Picture(Path("t"), pixels, pixels)
    changed = RANDOM.random((7, 9)) > 0.5
    result = RANDOM.uniform(-20, 280, (7, 9, 3)).astype(np.float32)
    written = compose_like(picture, result, changed)
    assert written.dtype == dtype
    np.testing.assert_array_equal(written[~changed], pixels[~changed])
    scale = 257 if dtype == np.uint16 else 1
    np.testing.assert_array_equal(written[changed], np.rint(result[changed].clip(0, 255) * scale))


def test_every_mode_is_read(tmp_path: Path) -> None:
    image = Image.fromarray(smooth_picture(1, 8, 9))
    for mode, name in [("1", "a.png"), ("L", "b.png"), ("P", "c.gif"), ("LA", "d.png"), ("CMYK", "e.jpg")]:
        image.convert(mode).save(tmp_path / name)
        picture = read_picture(tmp_path / name)
        assert picture.pixels.shape == (8, 9, 3)
        assert (picture.alpha is not None) == (mode == "LA")
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        np.testing.assert_array_equal(picture.pixels, expected)


def test_transparency_becomes_alpha(tmp_path: Path) -> None:
    rgba = np.dstack((smooth_picture(1, 8, 9), RANDOM.integers(0, 256, (8, 9)).astype(np.uint8)))
    Image.fromarray(rgba).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    np.testing.assert_allclose(picture.alpha, rgba[..., 3] / 255, atol=1e-6)
    palette = Image.fromarray(rgba[..., 0]).convert("P")
    palette.save(tmp_path / "b.png", transparency=int(rgba[0, 0, 0]))
    assert read_picture(tmp_path / "b.png").alpha is not None


def test_masks_are_grey_levels_over_their_depth(tmp_path: Path) -> None:
    grey = RANDOM.integers(0, 256, (6, 7)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "m.png")
    np.testing.assert_allclose(load_mask(tmp_path / "m.png"), grey / 255, atol=1e-6)
    np.testing.assert_allclose(load_mask(DEEP[..., 0]), DEEP[..., 0] / 65535, atol=1e-6)
    np.testing.assert_array_equal(load_mask(grey > 100), (grey > 100).astype(np.float32))
    white = np.full((6, 7, 4), 255, np.uint8)
    white[..., 3] = grey
    np.testing.assert_allclose(load_mask(white), grey / 255, atol=1e-6)


def test_arrays_and_images_are_pictures_too() -> None:
    pixels = smooth_picture(1, 8, 9)
    np.testing.assert_array_equal(load_picture(pixels).pixels, pixels)
    np.testing.assert_array_equal(load_picture(Image.fromarray(pixels)).pixels, pixels)
    np.testing.assert_array_equal(load_picture(pixels / 255.0).pixels, pixels.astype(np.uint16) * 257)


def _bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture at all")
    whole = io.BytesIO()
    Image.fromarray(smooth_picture(1, 40, 40)).save(whole, "PNG")
    (folder / "cut.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    jpeg = io.BytesIO()
    Image.fromarray(smooth_picture(1, 40, 40)).save(jpeg, "JPEG")
    (folder / "cut.jpg").write_bytes(jpeg.getvalue()[:400])
    (folder / "bomb.png").write_bytes(_png_header(60000, 60000))
    (folder / "zero.png").write_bytes(_png_header(0, 5))
    nan = np.full((4, 4, 3), 0.5, np.float32)
    nan[1, 1, 1] = np.nan
    tifffile.imwrite(folder / "nan.tif", nan, photometric="rgb")
    tifffile.imwrite(folder / "range.tif", np.full((4, 4, 3), 7.0, np.float32), photometric="rgb")
    tifffile.imwrite(
        folder / "many.tif", np.zeros((4, 4, 7), np.uint16), photometric="minisblack", planarconfig="contig"
    )
    (folder / "folder.png").mkdir()
    return {
        "missing": (folder / "missing.png", "does not exist"),
        "empty": (folder / "empty.png", "is empty"),
        "text": (folder / "text.png", "no picture"),
        "truncated png": (folder / "cut.png", "damaged"),
        "truncated jpeg": (folder / "cut.jpg", "damaged"),
        "bomb": (folder / "bomb.png", "--max-pixels"),
        "zero size": (folder / "zero.png", "zero.png"),
        "nan": (folder / "nan.tif", "not finite"),
        "range": (folder / "range.tif", "scale them to 0..1"),
        "channels": (folder / "many.tif", "many.tif"),
        "folder": (folder / "folder.png", "is a folder"),
    }


def _png_header(width: int, height: int) -> bytes:
    import struct
    import zlib

    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0"))):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def test_bad_files_are_one_line_that_names_the_file(tmp_path: Path) -> None:
    for case, (path, words) in _bad_files(tmp_path).items():
        with pytest.raises(InputError) as raised:
            read_picture(path)
        message = str(raised.value)
        assert "\n" not in message, case
        assert path.name in message, case
        assert words in message, (case, message)


def test_unwritable_places_are_named(tmp_path: Path) -> None:
    for path, words in [
        (tmp_path / "a.xyz", "unknown picture format"),
        (tmp_path / "no" / "a.png", "does not exist"),
    ]:
        with pytest.raises(InputError, match=words):
            check_writable(path)


def _mutations(count: int, seed: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    seeds = []
    for kind, more in [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("TIFF", {}), ("BMP", {}), ("GIF", {})]:
        stream = io.BytesIO()
        Image.fromarray(smooth_picture(1, 12, 14)).save(stream, kind, **more)
        seeds.append(stream.getvalue())
    deep = io.BytesIO()
    tifffile.imwrite(deep, DEEP, photometric="rgb", compression="zlib")
    seeds.append(deep.getvalue())
    for i in range(count):
        data = bytearray(seeds[i % len(seeds)])
        for _ in range(int(random.integers(1, 8))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
        if random.random() < 0.3:
            data = data[: int(random.integers(1, len(data)))]
        yield bytes(data)


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_files_give_a_picture_or_an_input_error(tmp_path: Path, count: int) -> None:
    path = tmp_path / "mutated"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in _mutations(count, 5):
            path.write_bytes(data)
            try:
                picture = read_picture(path, max_pixels=100_000)
            except InputError:
                continue
            assert picture.pixels.ndim == 3
