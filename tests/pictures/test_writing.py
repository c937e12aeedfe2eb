"""Pictures are written whole, in the depth and with the profile that a format can hold, or refused."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import (
    check_writable,
    read_picture,
    write_picture,
)
from tests.conftest import smooth_picture
from tests.pictures.made import (
    ADOBE,
    DEEP,
    FLAT,
)


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


def test_a_bitmap_can_not_hold_a_profile(tmp_path: Path) -> None:
    Image.fromarray(FLAT).save(tmp_path / "a.png", icc_profile=ADOBE)
    picture = read_picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="colour profile"):
        write_picture(tmp_path / "b.bmp", picture.native, like=picture)


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
