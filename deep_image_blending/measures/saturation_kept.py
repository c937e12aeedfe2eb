"""How much of the object's colourfulness is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure, ratio
from deep_image_blending.measures.object import inner, lab

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array


@measure("mean chroma of the object over its source's", range="0..", better="near 1", about="object")
def saturation_kept(blend: Blend) -> float:
    return saturation_ratio(blend.close.picture, blend.close.source, blend.close.mask)


def saturation_ratio(picture: Array, source: Array, mask: Array) -> float:
    """Mean chroma `hypot(a*, b*)` inside the eroded mask over the source's. 0.., near 1 is better."""
    inside = inner(mask)
    ours, theirs = lab(picture)[inside], lab(source)[inside]
    return ratio(
        float(np.hypot(ours[:, 1], ours[:, 2]).mean()), float(np.hypot(theirs[:, 1], theirs[:, 2]).mean())
    )
