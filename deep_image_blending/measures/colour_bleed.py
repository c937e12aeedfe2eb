"""How much of the surroundings' colour has run into the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure
from deep_image_blending.measures.object import inner, lab

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array


@measure(
    "mean low-pass shift in CIELAB of the object against its source",
    range="0..",
    better="lower",
    about="object",
)
def colour_bleed(blend: Blend) -> float:
    return colour_shift(blend.close.picture, blend.close.source, blend.close.mask)


def colour_shift(picture: Array, source: Array, mask: Array) -> float:
    """Mean CIELAB distance (ΔE 1976) of low-passed object and source, inside the eroded mask.

    0.., lower is better; 2.3 is about a just noticeable difference. The low pass is a Gaussian of a twentieth of
    the root of the mask's area (1 pixel at least), weighted by the mask.
    """
    from scipy import ndimage

    sigma = max(1.0, float(np.sqrt(mask.sum())) / 20)
    shift = (lab(picture) - lab(source)) * mask[..., None]
    cover = ndimage.gaussian_filter(mask.astype(np.float64), sigma)[..., None]
    smooth = ndimage.gaussian_filter(shift, (sigma, sigma, 0)) / np.maximum(cover, 1e-6)
    return float(np.linalg.norm(smooth[inner(mask)], axis=1).mean())
