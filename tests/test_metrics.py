"""Measures on constructed pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import lab2rgb, rgb2lab

from deep_image_blending import metrics
from deep_image_blending.config import Placement
from deep_image_blending.images import load_picture
from deep_image_blending.scene import compose_scene

from .conftest import disc_mask, smooth_picture

MASK = disc_mask(60, 64).astype(np.float32) / 255


def _smooth(seed: int) -> np.ndarray:
    return ndimage.gaussian_filter(smooth_picture(seed, 60, 64).astype(float), (2, 2, 0))


def test_a_perfect_copy_has_no_seam_no_bleed_and_no_residual() -> None:
    picture = _smooth(1)
    assert metrics.seam_visibility(picture, MASK) == pytest.approx(1, abs=0.25)
    assert metrics.colour_bleed(picture, picture, MASK) == 0
    assert metrics.laplacian_residual(picture, picture, picture, MASK) == pytest.approx(0, abs=1e-20)
    assert metrics.contrast_kept(picture, picture, MASK) == 1
    assert metrics.saturation_kept(picture, picture, MASK) == 1
    assert metrics.background_difference(picture, picture, MASK) == 0


def test_a_step_at_the_boundary_is_a_visible_seam() -> None:
    picture = _smooth(1)
    stepped = np.where(MASK[..., None] > 0.5, picture * 0.4, picture)
    assert metrics.seam_visibility(stepped, MASK) > 2 * metrics.seam_visibility(picture, MASK)


def test_colour_bleed_is_the_constant_shift_in_lab() -> None:
    source = lab2rgb(np.broadcast_to([55.0, 10.0, -12.0], (60, 64, 3))) * 255
    moved = lab2rgb(np.broadcast_to([58.0, 14.0, -12.0], (60, 64, 3))) * 255
    assert metrics.colour_bleed(moved, source, MASK) == pytest.approx(5.0, abs=0.02)


def test_contrast_and_saturation_are_the_factors_that_were_applied() -> None:
    lab = rgb2lab(_smooth(3) / 255 * 0.3 + 0.35)
    changed = lab.copy()
    changed[..., 0] = 50 + 0.5 * (lab[..., 0] - 50)
    changed[..., 1:] *= 0.25
    picture, source = lab2rgb(changed) * 255, lab2rgb(lab) * 255
    assert metrics.contrast_kept(picture, source, MASK) == pytest.approx(0.5, abs=0.02)
    assert metrics.saturation_kept(picture, source, MASK) == pytest.approx(0.25, abs=0.02)


def test_blurring_the_object_lowers_its_high_frequencies() -> None:
    picture = smooth_picture(5, 60, 64).astype(float)
    blurred = np.where(MASK[..., None] > 0, ndimage.gaussian_filter(picture, (2, 2, 0)), picture)
    assert metrics.high_frequencies(picture, MASK) == pytest.approx(1, abs=0.3)
    assert metrics.high_frequencies(blurred, MASK) < 0.2


def test_background_difference_is_the_largest_change_outside() -> None:
    target = _smooth(1)
    changed = target.copy()
    changed[0, 0, 1] += 7
    assert metrics.background_difference(changed, target, MASK) == pytest.approx(7)


def test_evaluating_a_scene_gives_every_measure_and_the_target_has_no_style_distance() -> None:
    target = smooth_picture(2, 90, 96)
    scene = compose_scene(
        load_picture(target[10:70, 10:74]),
        np.ones((60, 64), np.float32),
        load_picture(target),
        Placement(x=40, y=42),
    )
    found = metrics.evaluate_scene(scene, target.astype(np.float32), backbone="random")
    assert found.keys() == metrics.MEASURES.keys()
    assert found["content_distance"] < 0.02
    assert found["style_distance"] < 0.1
    assert found["colour_bleed"] < 1e-9
