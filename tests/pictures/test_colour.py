"""Colour: profiles are converted by their closed forms, and unchanged pixels keep every bit."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_image_blending.pictures import (
    Picture,
    compose_like,
    in_srgb,
    load_mask,
    read_picture,
    write_picture,
)
from tests.pictures.made import (
    ADOBE,
    DEEP,
    FLAT,
    GREY_18,
    LINEAR_SRGB,
    RANDOM,
    adobe_to_srgb,
    encoded_srgb,
    ink_profile,
    srgb_to_adobe,
)


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
