"""The mask: whether it looks right, and its edge, which grows, shrinks and fades."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from deep_image_blending.pictures.bit_depth import Float


def looks_inverted(mask: Float) -> bool:
    """Whether the mask's border is mostly white and its middle darker: the object painted black, perhaps."""
    border = np.concatenate((mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    return bool(border.mean() > 0.9 and mask.mean() < border.mean() - 0.02)


def with_edge(mask: Float, grow: int, feather: float) -> Float:
    """The mask (h, w) grown by a disc of radius `grow` (shrunk where that is negative), then faded inwards.

    >>> with_edge(np.array([[0, 1, 1, 1, 0]], np.float32), -1, 0).tolist()
    [[0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    if grow > 0:
        mask = grown(mask, grow)
    elif grow < 0:
        mask = -grown(-mask, -grow)
    if feather > 0:
        # The edge fades inwards, so that feathering never takes in pixels that the mask left out.
        distance = ndimage.distance_transform_edt(np.pad(mask > 0, 1))[1:-1, 1:-1]
        mask = (mask * np.clip(distance / (feather + 1), 0, 1)).astype(np.float32)
    return mask


def grown(plane: Float, radius: int) -> Float:
    """The greatest value (h, w) within `radius` of each pixel: grey dilation by a disc. Of `-plane`, erosion.

    Of two values it is a distance to the greater one. Of more, a disc is its rows, each a maximum along a line.

    >>> grown(np.array([[0, 0, 1, 0, 0]], np.float32), 1).tolist()
    [[0.0, 1.0, 1.0, 1.0, 0.0]]
    """
    high, low = plane.max(), plane.min()
    if high == low:
        return plane
    if ((plane == high) | (plane == low)).all():
        near = ndimage.distance_transform_edt(plane != high) <= radius
        return np.asarray(np.where(near, high, low), np.float32)
    result, height = plane.copy(), plane.shape[0]
    for away in range(min(radius, height - 1) + 1):
        half = min(math.isqrt(radius * radius - away * away), plane.shape[1] - 1)
        row = ndimage.maximum_filter1d(plane, 2 * half + 1, axis=1, mode="nearest")
        for to, come in ((slice(away, None), slice(height - away)), (slice(height - away), slice(away, None))):
            np.maximum(result[to], row[come], out=result[to])
    return result
