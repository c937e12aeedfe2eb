"""Boxes, distances and pieces of regions in a picture: what every way of cutting out asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bool = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
Box = tuple[slice, slice]

EIGHT: Bool = np.ones((3, 3), np.bool_)
"""A pixel and its eight neighbours."""


def box_of(there: Bool, margin: int) -> Box:
    """The box of what is there and `margin` pixels more on every side, within the picture.

    there (H, W), True somewhere.
    """
    found = []
    for axis, length in enumerate(there.shape):
        places = np.flatnonzero(there.any(axis=1 - axis))
        found.append(slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, length)))
    return found[0], found[1]


def pieces_of(there: Bool) -> tuple[npt.NDArray[np.int32], int]:
    """The 8-connected pieces of a region: (H, W) their numbers from 1, 0 elsewhere, and how many they are."""
    numbers, count = ndimage.label(there, EIGHT)
    return np.asarray(numbers, np.int32), int(count)


def share_of_pieces(numbers: npt.NDArray[np.int32], count: int, what: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The mean of `what` (H, W) over every piece: (count + 1,), of which the first is 0."""
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sums = np.bincount(numbers.ravel(), weights=what.ravel().astype(np.float64), minlength=count + 1)
    shares: npt.NDArray[np.float64] = sums / np.maximum(sizes, 1)
    shares[0] = 0
    return shares


def grown(there: Bool, radius: float) -> Bool:
    """Everything within `radius` pixels of the region, in a straight line."""
    if radius <= 0 or not there.any():
        return there.copy()
    if radius < 2:
        return np.asarray(ndimage.binary_dilation(there, EIGHT), np.bool_)
    box = box_of(there, int(radius) + 1)
    result = there.copy()
    result[box] = ndimage.distance_transform_edt(~there[box]) <= radius
    return result


def shrunk(there: Bool, radius: float) -> Bool:
    """What is further than `radius` pixels from everything outside; the picture's border is no outside."""
    return ~grown(~there, radius)


def contour_of(there: Bool) -> Bool:
    """The region's own pixels that touch what is not in it; the picture's border is no contour."""
    return there & ~np.asarray(ndimage.binary_erosion(there, EIGHT, border_value=1), np.bool_)


def smoothed(field: npt.NDArray[Any], weight: npt.NDArray[Any], sigma: float) -> Float:
    """The Gaussian mean of `field` (H, W) or (H, W, C) around every pixel, of where `weight` (H, W) is."""

    def blurred(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(ndimage.gaussian_filter(plane.astype(np.float32), sigma, truncate=3))

    under = np.maximum(blurred(weight), 1e-6)
    if field.ndim == 2:
        return np.asarray(blurred(field * weight) / under, np.float32)
    planes = [blurred(field[..., k] * weight) / under for k in range(field.shape[2])]
    return np.asarray(np.stack(planes, -1), np.float32)
