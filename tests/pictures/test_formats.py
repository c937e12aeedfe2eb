"""Formats beyond Pillow's own, what is ignored in any of them, and the way on from those that are not read."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import (
    Placement,
    compose_scene,
    load_mask,
    load_picture,
    picture_size,
    rescaled_size,
)
from deep_image_blending.pictures.formats import jpeg_xl_size
from tests.conftest import disc_mask, smooth_picture

PICTURE = smooth_picture(3, 40, 56)
# What lossy formats keep: no noise, and no edges of colour.
GRADIENT = np.dstack(np.broadcast_arrays(*np.ogrid[20:60, 90:146], np.uint8(70))).astype(np.uint8)
DEEP = PICTURE.astype(np.uint16) * 257


# Formats


@pytest.mark.parametrize("values", [PICTURE, DEEP, PICTURE[..., 0]], ids=["8", "16", "grey"])
def test_jpeg_xl_keeps_every_bit(tmp_path: Path, values: np.ndarray) -> None:
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(values, lossless=True))
    found = load_picture(tmp_path / "a.jxl").pixels
    np.testing.assert_array_equal(found, np.broadcast_to(values.reshape(40, 56, -1), (40, 56, 3)))


def test_jpeg_xls_alpha_is_read(tmp_path: Path) -> None:
    alpha = disc_mask(40, 56)
    data = imagecodecs.jpegxl_encode(np.dstack((PICTURE, alpha)), lossless=True)
    (tmp_path / "a.jxl").write_bytes(data)
    np.testing.assert_allclose(load_picture(tmp_path / "a.jxl").alpha, alpha / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (256, 256), (40, 56), (300, 400), (1, 999), (1200, 1000), (9000, 3)])
@pytest.mark.parametrize("boxed", [False, True])
def test_jpeg_xls_size_is_known_before_it_is_decoded(size: tuple[int, int], boxed: bool, tmp_path: Path) -> None:
    data = imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8), lossless=True, usecontainer=boxed)
    assert jpeg_xl_size(data) == size[::-1]
    (tmp_path / "a.jxl").write_bytes(data)
    with pytest.raises(InputError, match=f"{size[1]}x{size[0]}.*over the limit"):
        load_picture(tmp_path / "a.jxl", max_pixels=size[0] * size[1] - 1)


@pytest.mark.parametrize(("name", "kind"), [("a.jp2", "JPEG2000"), ("a.tga", "TGA"), ("a.avif", "AVIF")])
def test_formats_of_pillows(tmp_path: Path, name: str, kind: str) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / name, kind, **({"quality": 95} if kind == "AVIF" else {}))
    error = np.abs(load_picture(tmp_path / name).pixels.astype(int) - GRADIENT)
    assert error.max() <= (4 if kind == "AVIF" else 0)


def test_heic_is_read_where_its_library_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(GRADIENT)).save(tmp_path / "a.heic", quality=95)
    error = np.abs(load_picture(tmp_path / "a.heic").pixels.astype(int) - GRADIENT)
    assert error.max() <= 4


def test_heic_without_its_library_names_it_and_a_converter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(InputError, match=r"is HEIC.*deep-image-blending\[formats\].*magick") as raised:
        load_picture(tmp_path / "a.heic")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"8BPS\0\1", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b"gimp xcf file", "GIMP"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance"),
        (b"<?xml version='1.0'?>\n<svg/>", "SVG"),
    ],
)
def test_files_that_are_not_read_are_named_with_a_converter(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "a.bin").write_bytes(start + bytes(300))
    with pytest.raises(InputError, match=f"is an? {kind}.*magick"):
        load_picture(tmp_path / "a.bin")


def test_the_message_lists_all_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"no picture")
    with pytest.raises(InputError) as raised:
        load_picture(tmp_path / "a.txt")
    assert "give PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, AVIF, JPEG 2000, JPEG XL, TGA or HEIC" in str(raised.value)


# What is ignored is said


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_further_frames_and_pages_are_said(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    for load, given in ((load_picture, "'"), (load_mask, "mask '")):
        with pytest.warns(UserWarning, match=f"{given}.*a': it has more than one frame or page: the first"):
            load(tmp_path / "a")
    with pytest.warns(UserWarning, match="first was taken"):
        assert len(load_picture(tmp_path / "a").notes) == 1


def test_a_preview_inside_a_tiff_is_no_page(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PICTURE, photometric="rgb")
        file.write(PICTURE[::4, ::4], photometric="rgb", subfiletype=1)
    assert load_picture(tmp_path / "a.tif").notes == ()
    assert not recwarn.list


def test_a_targets_transparency_is_said_and_noted_and_a_whole_one_not(recwarn: pytest.WarningsRecorder) -> None:
    alpha = np.full((40, 56), 255, np.uint8)
    mask = disc_mask(20, 20).astype(np.float32) / 255
    source = load_picture(smooth_picture(1, 20, 20))
    scene = compose_scene(source, mask, load_picture(np.dstack((PICTURE, alpha))), Placement())
    assert scene.target.notes == ()
    assert not recwarn.list
    alpha[3, 3] = 9
    with pytest.warns(UserWarning, match="transparency was ignored"):
        scene = compose_scene(source, mask, load_picture(np.dstack((PICTURE, alpha))), Placement())
    assert scene.target.notes == ("its transparency was ignored: a target is opaque",)


def test_a_faint_mask_is_said(tmp_path: Path) -> None:
    Image.fromarray((disc_mask(20, 20) > 0).astype(np.uint8) * 2).save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match=r"m\.png' reaches 2 of 255 at most"):
        mask = load_mask(tmp_path / "m.png")
    assert mask.max() == pytest.approx(2 / 255)


# Size before anything is read or rescaled


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(
    "name", ["a.png", "a.jpg", "a.webp", "a.tif", "deep.tif", "a.bmp", "a.jxl", "a.jp2", "a.tga"]
)
def test_the_size_in_the_heading_is_the_pictures(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / name
    if name == "a.jxl":
        path.write_bytes(imagecodecs.jpegxl_encode(PICTURE))
    elif name == "deep.tif":
        tifffile.imwrite(path, DEEP, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        more = {"exif": exif} if path.suffix in (".png", ".jpg", ".webp", ".tif") else {}
        Image.fromarray(PICTURE).save(path, **more)
    assert picture_size(path) == load_picture(path).pixels.shape[:2]
    with pytest.raises(InputError, match="over the limit"):
        picture_size(path, max_pixels=40 * 56 - 1)


def test_the_size_of_what_is_no_picture_is_refused_as_reading_it_is(tmp_path: Path) -> None:
    for data in (b"", b"no picture", b"II*\0", b"\xff\x0a", b"\x89PNG\r\n\x1a\n"):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(InputError, match=r"a' .*; give"):
            picture_size(tmp_path / "a")


def test_the_size_after_rescaling_is_what_rescaling_makes() -> None:
    picture = load_picture(smooth_picture(2, 37, 51))
    for longer in (1, 2, 9, 51, 64):
        for square in (False, True):
            placement = Placement(ts=longer, square=square)
            scene = compose_scene(load_picture(PICTURE), np.ones((40, 56), np.float32), picture, placement)
            assert scene.canvas == rescaled_size((37, 51), longer, square)
    assert rescaled_size((37, 51, 3), None) == (37, 51)


@pytest.mark.parametrize("option", ["ts", "ss"])
def test_rescaling_beyond_the_limit_is_refused_before_it_is_done(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = load_picture(smooth_picture(1, 20, 20)), load_picture(PICTURE)
    monkeypatch.setattr("PIL.Image.Image.resize", lambda *_: pytest.fail("was rescaled"))
    with pytest.raises(InputError, match=rf"--{option} 90000 makes .* over the limit of 200; give a smaller"):
        compose_scene(source, np.ones((20, 20), np.float32), target, Placement(**{option: 90_000}))


def test_a_raised_limit_holds_for_rescaling_too() -> None:
    target = load_picture(PICTURE, max_pixels=40 * 56)
    source, mask = load_picture(smooth_picture(1, 20, 20)), np.ones((20, 20), np.float32)
    assert compose_scene(source, mask, target, Placement(ts=56)).canvas == (40, 56)
    with pytest.raises(InputError, match="over the limit"):
        compose_scene(source, mask, target, Placement(ts=57))


def test_damage_beyond_pillows_formats_is_one_line(tmp_path: Path) -> None:
    made = {
        "a.jxl": imagecodecs.jpegxl_encode(PICTURE),
        "a.jp2": imagecodecs.jpeg2k_encode(PICTURE),
        "a.tga": _saved("TGA"),
    }
    for name, data in made.items():
        for end in (3, 12, 20, len(data) // 2):
            (tmp_path / name).write_bytes(data[:end])
            with pytest.raises(InputError) as raised:
                load_picture(tmp_path / name)
            assert "\n" not in str(raised.value)


def _saved(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, kind)
    return stream.getvalue()
