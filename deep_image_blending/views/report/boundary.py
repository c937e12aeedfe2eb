"""Where on its boundary an object is worth looking at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.views.contact_sheet import Box, Pixels
from deep_image_blending.views.preview import mask_edge


def boundary_box(paste: Pixels, inside: npt.NDArray[np.bool_]) -> Box:
    """A square on the boundary of `inside` (H, W) where the paste (H, W, 3) has the strongest edges along it.

    Its side is a third of the object's longer side, 32 to 160 pixels, as far as the canvas goes.
    """
    rows, columns = np.nonzero(inside)
    side = int(np.clip(max(np.ptp(rows), np.ptp(columns)) / 3, 32, 160))
    height, width = min(side, inside.shape[0]), min(side, inside.shape[1])
    luma = paste.astype(np.float32).mean(-1)
    strength = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) * mask_edge(inside.astype(np.float32))
    total = ndimage.uniform_filter(strength, (height, width), mode="constant")
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    top = int(np.clip(row - height // 2, 0, inside.shape[0] - height))
    left = int(np.clip(column - width // 2, 0, inside.shape[1] - width))
    return top, left, top + height, left + width
