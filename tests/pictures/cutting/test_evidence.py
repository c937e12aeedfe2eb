from __future__ import annotations

import numpy as np

from deep_image_blending.pictures.cutting.evidence import Evidence, as_areas


def evidence(distance: np.ndarray, lightness: np.ndarray) -> Evidence:
    lab = np.stack([lightness, np.zeros_like(lightness), np.zeros_like(lightness)], -1).astype(np.float32)
    one = np.ones(distance.shape, np.float32)
    return Evidence(distance.astype(np.float32), one, one, lab, lab)


def test_shaded_pixels_are_as_foreign_as_the_area_that_they_lie_in():
    random = np.random.default_rng(0)
    left = np.arange(60)[None] < 30
    passing = random.uniform(0, 1, (40, 60)) < 0.4
    distance = np.where(left, np.where(passing, 0.6, 1.8), random.uniform(0.1, 0.5, (40, 60)))
    where = np.ones((40, 60), bool)
    found = as_areas(evidence(distance, np.where(left, 80.0, 40.0)), where).distance
    # 0.4 * 0.6 + 0.6 * 1.8 = 1.32 in the mean.
    inner = np.s_[6:-6, 6:24]
    np.testing.assert_allclose(found[inner][passing[inner]], 1.32, atol=0.25)
    assert (found[:, 30:] < 0.6).all(), "the area beside it, of another lightness, is none of its business"
    assert (found >= distance.astype(np.float32)).all()


def test_pixels_that_are_not_asked_for_neither_change_nor_count():
    distance = np.full((20, 24), 0.5)
    distance[:, :12] = 9.0
    where = np.ones((20, 24), bool)
    where[:, :12] = False
    found = as_areas(evidence(distance, np.full((20, 24), 50.0)), where).distance
    np.testing.assert_allclose(found, distance, atol=1e-4)
