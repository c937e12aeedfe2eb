"""Orientation is applied; metadata, profile and resolution go from a picture to what is written like it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from deep_image_blending.pictures import (
    Picture,
    read_picture,
    write_picture,
)
from tests.pictures.made import (
    ADOBE,
    DEEP,
    FLAT,
    png_chunk,
    png_of,
)

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
