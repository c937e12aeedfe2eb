"""The object's pixels, and lightness and colour as they are seen: CIELAB (L* in 0..100) of sRGB under D65."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from deep_image_blending.measures.measure import Array


def lab(picture: Array) -> npt.NDArray[np.float64]:
    """CIELAB of a picture (h, w, 3) in 0..255."""
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(np.clip(picture, 0, 255).astype(np.float64) / 255))


def inner(mask: Array) -> npt.NDArray[np.bool_]:
    """The mask (h, w) without its edge, or all of it where nothing else is left."""
    from scipy import ndimage

    inside = mask > 0.5
    eroded = ndimage.binary_erosion(inside, iterations=2)
    if eroded.any():
        return np.asarray(eroded)
    return np.asarray(inside if inside.any() else mask > 0)
