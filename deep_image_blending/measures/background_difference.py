"""Whether the picture outside the mask is still the target's, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array

ROWS = 64
"""Rows that are compared at a time: large canvases are not copied as a whole."""


@measure(
    "largest change where the mask is 0, in grey levels", range="0..255", better="lower", about="surroundings"
)
def background_difference(blend: Blend) -> float:
    from deep_image_blending.pictures import as_float

    scene, picture = blend.scene, blend.picture
    mask = np.zeros(scene.canvas, np.float32)
    part, top, left = scene.canvas_mask_crop()
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    target, worst = scene.target.pixels, 0.0
    for start in range(0, len(mask), ROWS):
        rows = slice(start, start + ROWS)
        # A picture of the target's depth is for the most part the target itself.
        if picture.dtype != target.dtype or not np.array_equal(picture[rows], target[rows]):
            found = largest_change(as_float(picture[rows]), as_float(target[rows]), mask[rows])
            worst = max(worst, found)
    return worst


def largest_change(picture: Array, target: Array, mask: Array) -> float:
    """Largest absolute difference from the target where the mask is 0, in grey levels: 0..255, and must be 0."""
    outside = mask == 0
    return float(np.abs(picture[outside] - target[outside]).max()) if outside.any() else 0.0
