"""Depths of a picture: what is shown of sixteen bits is the same everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deep_image_blending.pictures import as_bytes, as_float, write_picture
from deep_image_blending.views.contact_sheet import contact_sheet
from deep_image_blending.views.video import film

LEVELS = np.arange(65536, dtype=np.uint16)


def test_sixteen_bits_become_the_nearest_of_eight() -> None:
    np.testing.assert_array_equal(as_bytes(LEVELS), np.rint(LEVELS / 257))
    np.testing.assert_array_equal(as_bytes(np.arange(256, dtype=np.uint16) * 257), np.arange(256))
    eight = np.arange(256, dtype=np.uint8)
    assert as_bytes(eight) is eight


def test_floating_point_is_the_exact_level_of_either_depth() -> None:
    np.testing.assert_array_equal(np.rint(as_float(LEVELS) * 257), LEVELS)
    np.testing.assert_array_equal(np.rint(as_float(LEVELS)), as_bytes(LEVELS))
    np.testing.assert_array_equal(as_float(np.arange(256, dtype=np.uint8)), np.arange(256))


def test_every_view_shows_sixteen_bits_alike(tmp_path: Path) -> None:
    # 200 a level of eight bits and more than half of one: cut off it would be 200, to the nearest 201.
    deep = np.full((40, 40, 3), 200 * 257 + 200, np.uint16)
    write_picture(tmp_path / "a.png", deep)
    assert (film._read(tmp_path / "a.png") == 201).all()
    sheet = contact_sheet([("", deep)], cell=40)
    assert (sheet == 201).all(2).sum() == 1600
