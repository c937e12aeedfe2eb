"""Live wire: a path along the picture's edges from where the hand set a seed to where it points now.

Intelligent scissors (Mortensen, Barrett 1995) by scikit-image's minimal-cost paths: every seed's costs are found
once, after which a path to any pixel is a walk back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.graph import MCP_Geometric

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.regions import Float

# What a step costs where there is no edge, over one along the strongest.
_FLAT = 1.0
_EDGE = 0.02
_BLUR = 1.0


def edge_costs(picture: npt.NDArray[Any]) -> Float:
    """What a step onto every pixel costs: (H, W) float32 in 0.02..1, low along edges.

    picture (H, W, 3) uint8 or uint16. The gradient is the strongest channel's, over the picture's strong ones.
    """
    values = (picture / np.float32(np.iinfo(picture.dtype).max)).astype(np.float32)
    strength = np.zeros(picture.shape[:2], np.float32)
    for channel in range(values.shape[2]):
        smooth = ndimage.gaussian_filter(values[..., channel], _BLUR)
        np.maximum(strength, np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)), out=strength)
    strong = max(float(np.percentile(strength, 98)), 1e-3)
    return np.asarray(_EDGE + (_FLAT - _EDGE) * (1 - np.minimum(strength / strong, 1)) ** 2, np.float32)


class LiveWire:
    """Paths from one seed over a picture's edge costs."""

    def __init__(self, costs: Float, seed: tuple[int, int]) -> None:
        """costs: of `edge_costs`; seed: row and column. Raises InputError for a seed outside the picture."""
        self._shape = costs.shape
        self._require(seed)
        self._paths = MCP_Geometric(costs)
        self._paths.find_costs([seed])

    def path(self, to: tuple[int, int]) -> list[tuple[int, int]]:
        """Rows and columns from the seed to a pixel, both included. Raises InputError outside the picture."""
        self._require(to)
        return [(int(row), int(column)) for row, column in self._paths.traceback(to)]

    def _require(self, place: tuple[int, int]) -> None:
        if not (0 <= place[0] < self._shape[0] and 0 <= place[1] < self._shape[1]):
            height, width = self._shape
            raise InputError(f"row {place[0]}, column {place[1]} is outside the picture of {width}x{height}")
