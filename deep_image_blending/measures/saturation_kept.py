"""How much of the object's colourfulness is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure, ratio

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend, View


@measure("mean chroma of the object over its source's", range="0..", better="near 1", about="object")
def saturation_kept(blend: Blend) -> float:
    return saturation_ratio(blend.close)


def saturation_ratio(view: View) -> float:
    """Mean chroma `hypot(a*, b*)` inside the eroded mask over the source's. 0.., near 1 is better."""
    ours, own = (
        float(np.hypot(seen[view.inner, 1], seen[view.inner, 2]).mean(dtype=np.float64))
        for seen in (view.lab, view.source_lab)
    )
    return ratio(ours, own)
