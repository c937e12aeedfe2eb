from __future__ import annotations

import sys

import numpy as np
import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    OBJECT,
    PERHAPS_OBJECT,
    has_opencv,
    reduced_hints,
    segment,
)
from tests.pictures.cutting.made import composed, disc, iou, loosened


def hints_of(mask: np.ndarray) -> np.ndarray:
    return np.where(mask > 0.5, PERHAPS_OBJECT, BACKGROUND).astype(np.uint8)


def test_missing_opencv_is_one_line_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert not has_opencv()
    made = composed(disc(40, 40, 10))
    with pytest.raises(InputError, match="pip install opencv-python-headless"):
        segment(made.picture, hints_of(loosened(made.truth, 5)))


def test_object_is_found_in_a_loose_mask_the_same_every_time():
    pytest.importorskip("cv2")
    made = composed(disc(90, 100, 25))
    hints = hints_of(loosened(made.truth, 9))
    found = segment(made.picture, hints)
    assert iou(found.inside.astype(np.float32), made.truth) > 0.9
    assert not found.inside[hints == BACKGROUND].any()
    assert found.evidence[45, 50] > 0 > found.evidence[45, 50 - 32]
    again = segment(made.picture, hints)
    np.testing.assert_array_equal(found.inside, again.inside)
    np.testing.assert_array_equal(found.evidence, again.evidence)


def test_contour_of_a_reduced_picture_is_found_again_in_its_own_pixels():
    pytest.importorskip("cv2")
    made = composed(disc(240, 260, 80))
    found = segment(made.picture, hints_of(loosened(made.truth, 20)), longest=70)
    assert iou(found.inside.astype(np.float32), made.truth) > 0.985


def test_a_stroke_of_one_pixel_survives_reduction():
    pytest.importorskip("cv2")
    hints = np.full((40, 40), PERHAPS_OBJECT, np.uint8)
    hints[20, 5:30] = OBJECT
    assert (reduced_hints(hints, 4.0) == OBJECT).sum() >= 6
