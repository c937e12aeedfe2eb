"""Files, arrays and images are read with their depth and every value; bad ones are refused in one line."""

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

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import (
    load_mask,
    load_picture,
    read_picture,
    write_picture,
)
from tests.conftest import smooth_picture
from tests.pictures.made import (
    ADOBE,
    DEEP,
    FLAT,
    RANDOM,
    encoded,
    png_chunk,
    png_of,
)

# Formats and depths


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
