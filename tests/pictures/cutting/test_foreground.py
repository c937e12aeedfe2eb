from __future__ import annotations

import numpy as np
from scipy import ndimage

from deep_image_blending.pictures.cutting.foreground import foreground_colours
from tests.pictures.cutting.made import composed, disc


def test_colours_are_those_before_the_composition():
    truth = ndimage.gaussian_filter(disc(160, 180, 50), 3).astype(np.float32)
    made = composed(truth, grain=0.0)
    picture = made.picture.astype(np.float32) / 255
    found = foreground_colours(picture, truth)
    grey = (truth > 0.1) & (truth < 0.999)
    assert np.abs(found - made.fore)[grey].mean() < 0.02
    assert np.abs(found - made.fore)[grey].mean() < 0.15 * np.abs(picture - made.fore)[grey].mean()


def test_composed_anew_no_fringe_of_the_old_background_remains():
    truth = ndimage.gaussian_filter(disc(100, 100, 30), 2).astype(np.float32)
    made = composed(truth, grain=0.0)
    picture, ground = made.picture.astype(np.float32) / 255, np.array([1, 0, 1], np.float32)
    cover = truth[..., None]
    wanted = cover * made.fore + (1 - cover) * ground
    own = cover * foreground_colours(picture, truth) + (1 - cover) * ground
    plain = cover * picture + (1 - cover) * ground
    assert np.abs(own - wanted).max() < 0.04 < np.abs(plain - wanted).max()


def test_picture_is_kept_where_alpha_is_whole_and_where_there_is_none():
    made = composed(disc(50, 60, 15))
    picture = made.picture.astype(np.float32) / 255
    whole = made.truth == 1
    np.testing.assert_array_equal(foreground_colours(picture, made.truth)[whole], picture[whole])
    nothing = np.zeros_like(made.truth)
    np.testing.assert_array_equal(foreground_colours(picture, nothing), picture)
