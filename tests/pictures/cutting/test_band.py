from __future__ import annotations

import numpy as np
import pytest

from deep_image_blending.pictures.cutting.band import soft_alpha
from tests.pictures.cutting.made import composed, disc


def test_what_is_held_keeps_its_alpha_though_it_looks_like_background():
    pytest.importorskip("cv2")
    picture = composed(disc(100, 110, 25, 40, 55)).picture
    inside, held = disc(100, 110, 25, 40, 55) > 0.5, np.zeros((100, 110), bool)
    # A rope of five pixels that has the sky's colours.
    held[60:90, 53:58] = True
    inside |= held
    given, fuzz = np.ones(inside.shape, np.float32), np.zeros(inside.shape, np.float32)
    core = (slice(70, 86), slice(54, 57))
    assert soft_alpha(picture, given, inside, fuzz, 1.0)[core].min() < 0.9
    kept = soft_alpha(picture, given, inside, fuzz, 1.0, held)
    assert (kept[core] == 1).all()
    assert (kept[70:86, [50, 60]] < 0.5).all()
