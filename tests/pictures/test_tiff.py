"""TIFF files in their many layouts."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import picture_size, read_picture
from tests.pictures.made import (
    ADOBE,
    DEEP,
    FLAT,
    RANDOM,
)


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


@pytest.mark.parametrize("read", [read_picture, picture_size])
@pytest.mark.parametrize("channels", [3, 9])
def test_nothing_of_a_file_stays_when_it_has_been_read(
    tmp_path: Path, read: Callable[[Path], object], channels: int
) -> None:
    path = tmp_path / "a.tif"
    values = np.random.default_rng(0).integers(0, 256, (200, 200, channels), dtype=np.uint8)
    tifffile.imwrite(path, values, photometric="rgb")

    def several() -> int:
        for _ in range(4):
            if channels == 9 and read is read_picture:
                with pytest.raises(InputError, match="9 channels"):
                    read(path)
            else:
                read(path)
        return tracemalloc.get_traced_memory()[0]

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before = several()
        kept = several() - before
    finally:
        tracemalloc.stop()
        gc.enable()
    # The objects of the library go with the next collection; they are small.
    assert kept < path.stat().st_size
