"""Whether the boundary is seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import mean, measure, ratio

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend, View


@measure(
    "gradient across the boundary over that of the rings beside it",
    range="0.., 1: no seam",
    better="near 1",
    about="boundary",
)
def seam(blend: Blend) -> float:
    return seam_visibility(blend.close)


def seam_visibility(view: View) -> float:
    """Mean gradient magnitude of L* on the boundary ring over that of the rings just inside and outside. Near 1.

    0..; above 1 the boundary shows, below 1 it is smoother than what lies beside it. The boundary ring holds the
    pixels beside the mask's edge (mask 0.5), the others those whose distance to it is 3 to 6. nan where the mask
    has no boundary, or is so small that there are no other rings.
    """
    import cv2

    inside = view.mask > 0.5
    if inside.all() or not inside.any():
        return math.nan
    lightness = view.lab[..., 0]
    rows, columns = (
        np.zeros_like(lightness) if lightness.shape[axis] < 2 else np.gradient(lightness, axis=axis)
        for axis in (0, 1)
    )
    magnitude = np.hypot(rows, columns)
    distance = np.maximum(
        *(
            cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for side in (inside, ~inside)
        )
    )
    beside = (distance >= 3) & (distance <= 6)
    return ratio(mean(magnitude[distance <= 1]), mean(magnitude[beside]))
