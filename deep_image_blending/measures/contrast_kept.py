"""How much of the object's contrast is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure, ratio

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend, View


@measure("deviation of lightness in the object over its source's", range="0..", better="near 1", about="object")
def contrast_kept(blend: Blend) -> float:
    return contrast_ratio(blend.close)


def contrast_ratio(view: View) -> float:
    """Standard deviation of L* inside the eroded mask over the source's. 0.., near 1 is better."""
    ours, own = (float(seen[view.inner, 0].std(dtype=np.float64)) for seen in (view.lab, view.source_lab))
    return ratio(ours, own)
