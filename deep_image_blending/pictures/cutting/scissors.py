"""Live wire: a path along the picture's edges from where the hand set a seed to where it points now.

Intelligent scissors (Mortensen, Barrett 1995) by scikit-image's minimal-cost paths: the costs around a seed are
found once, after which a path to any pixel there is a walk back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.graph import MCP_Geometric

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.regions import EIGHT, Box, Float, box_of

# What a step costs where there is no edge, over one along the strongest.
_FLAT = 1.0
_EDGE = 0.02
_BLUR = 1.0
# How far the first window reaches from the seed, and how many pixels take a tenth of a second.
_FIRST, _AT_ONCE = 112, 100_000


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
    """Paths from one seed over a picture's edge costs.

    Costs are found in a window around the seed, which grows when the hand leaves it. Where it would grow too large
    for a hand's patience, a path over cells of several pixels says where to look, and the path keeps to its cells
    and those beside them.
    """

    def __init__(self, costs: Float, seed: tuple[int, int]) -> None:
        """costs: of `edge_costs`; seed: row and column. Raises InputError for a seed outside the picture."""
        self._costs, self._seed = costs, seed
        self._coarse: _Window | None = None
        self._require(seed)
        self._near = _Window(costs, seed, self._box(seed, _FIRST))

    def path(self, to: tuple[int, int]) -> list[tuple[int, int]]:
        """Rows and columns from the seed to a pixel, both included. Raises InputError outside the picture."""
        self._require(to)
        if not self._near.holds(to):
            # An edge goes no further astray than half the way, or the cells have to find it.
            away = max(abs(one - two) for one, two in zip(self._seed, to, strict=True))
            box = self._box(to, away // 2)
            if (box[0].stop - box[0].start) * (box[1].stop - box[1].start) > _AT_ONCE:
                return self._along_cells(to)
            self._near = _Window(self._costs, self._seed, box)
        return self._near.path(to)

    def _box(self, to: tuple[int, int], margin: int) -> Box:
        """The seed, another pixel, and so many pixels around both, within the picture."""
        sides = zip(self._seed, to, self._costs.shape, strict=True)
        rows, columns = (
            slice(max(min(one, two) - margin, 0), min(max(one, two) + margin + 1, length))
            for one, two, length in sides
        )
        return rows, columns

    def _along_cells(self, to: tuple[int, int]) -> list[tuple[int, int]]:
        height, width = self._costs.shape
        side = int(np.ceil(np.sqrt(height * width / _AT_ONCE)))
        if self._coarse is None:
            padded = np.pad(self._costs, ((0, -height % side), (0, -width % side)), constant_values=_FLAT)
            # The least of a cell: an edge is thinner than it.
            cells = padded.reshape(padded.shape[0] // side, side, -1, side).min((1, 3))
            start = self._seed[0] // side, self._seed[1] // side
            self._coarse = _Window(cells, start, (slice(0, cells.shape[0]), slice(0, cells.shape[1])))
        way = np.zeros((-(-height // side), -(-width // side)), np.bool_)
        way[tuple(np.transpose(self._coarse.path((to[0] // side, to[1] // side))))] = True
        way = np.asarray(ndimage.binary_dilation(way, EIGHT)).repeat(side, 0).repeat(side, 1)[:height, :width]
        # What costs less than nothing is a wall.
        return _Window(np.where(way, self._costs, -1), self._seed, box_of(way, 0)).path(to)

    def _require(self, place: tuple[int, int]) -> None:
        height, width = self._costs.shape
        if not (0 <= place[0] < height and 0 <= place[1] < width):
            raise InputError(f"row {place[0]}, column {place[1]} is outside the picture of {width}x{height}")


class _Window:
    """The cheapest ways from a seed to every pixel of a box of the costs (H, W)."""

    def __init__(self, costs: Float, seed: tuple[int, int], box: Box) -> None:
        self._box = box
        self._paths = MCP_Geometric(costs[box])
        self._paths.find_costs([(seed[0] - box[0].start, seed[1] - box[1].start)])

    def holds(self, place: tuple[int, int]) -> bool:
        return all(part.start <= at < part.stop for part, at in zip(self._box, place, strict=True))

    def path(self, to: tuple[int, int]) -> list[tuple[int, int]]:
        top, left = self._box[0].start, self._box[1].start
        found = self._paths.traceback((to[0] - top, to[1] - left))
        return [(int(row) + top, int(column) + left) for row, column in found]
