"""The object's pixels, and lightness and colour as they are seen: CIELAB (L* in 0..100) of sRGB under D65."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from deep_image_blending.measures.measure import Array


STRIP = 128
"""Rows that are converted at once."""


def lab(picture: Array) -> npt.NDArray[np.float32]:
    """CIELAB of a picture (h, w, 3) in 0..255, single precision (to 2e-4)."""
    from skimage.color import rgb2lab

    found = np.empty(picture.shape, np.float32)
    # In strips: the conversion holds several pictures of what it is given.
    for top in range(0, len(picture), STRIP):
        strip = np.clip(picture[top : top + STRIP], 0, 255).astype(np.float32)
        found[top : top + STRIP] = rgb2lab(strip / np.float32(255))
    return found


def inner(mask: Array) -> npt.NDArray[np.bool_]:
    """The mask (h, w) without its edge, or all of it where nothing else is left."""
    from scipy import ndimage

    inside = mask > 0.5
    eroded = ndimage.binary_erosion(inside, iterations=2)
    if eroded.any():
        return np.asarray(eroded)
    return np.asarray(inside if inside.any() else mask > 0)
