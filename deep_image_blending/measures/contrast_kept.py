"""How much of the object's contrast is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.measures.measure import measure, ratio
from deep_image_blending.measures.object import inner, lab

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array


@measure("deviation of lightness in the object over its source's", range="0..", better="near 1", about="object")
def contrast_kept(blend: Blend) -> float:
    return contrast_ratio(blend.close.picture, blend.close.source, blend.close.mask)


def contrast_ratio(picture: Array, source: Array, mask: Array) -> float:
    """Standard deviation of L* inside the eroded mask over the source's. 0.., near 1 is better."""
    inside = inner(mask)
    return ratio(float(lab(picture)[inside, 0].std()), float(lab(source)[inside, 0].std()))
