"""Masks as COCO writes them: polygons where these say all, run lengths where there are holes or hidden parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bool = npt.NDArray[np.bool_]
_CRUMB = 16
"""Pixels of a part below which a polygon of half pixels says too little of it."""


def segmentation(mask: Bool, whole: bool) -> Any:
    """The segmentation of a mask (H, W). whole: nothing hides a part of it."""
    if whole and not _has_holes(mask):
        parts, count = ndimage.label(mask)
        sizes = np.bincount(parts.ravel())[1:]
        if count and sizes.min() >= _CRUMB:
            return polygons(mask)
    return run_lengths(mask)


def polygons(mask: Bool) -> list[list[float]]:
    """The outline of each part of a mask without holes: x, y, x, y, ... in pixels from the left upper corner.

    The line runs half-way between pixels inside and outside, and is never half a pixel away from that.
    """
    from skimage.measure import approximate_polygon, find_contours

    found = []
    padded = np.pad(mask, 1).astype(np.float32)
    for contour in find_contours(padded, 0.5, fully_connected="low"):
        # Of the padded array's pixel centres, in (row, column): its pixel 1 begins at 0.
        line = approximate_polygon(contour, 0.5)[:-1] - 0.5
        if len(line) >= 3:
            found.append([float(value) for value in np.round(line[:, ::-1], 2).ravel()])
    return found


def run_lengths(mask: Bool) -> dict[str, Any]:
    """COCO's run-length encoding, column by column, from a run of zeros on, as its compressed text."""
    values = np.asfortranarray(mask).ravel(order="F")
    edges = np.flatnonzero(np.diff(values)) + 1
    counts = np.diff(np.concatenate(([0], edges, [values.size])))
    runs = [int(count) for count in counts]
    if values.size and values[0]:
        runs = [0, *runs]
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": _text(runs)}


def _text(runs: list[int]) -> str:
    """Five bits a letter from '0' on, the sixth saying that more follow; from the third run on, differences.

    As `rleToString` of cocoapi's `maskApi.c` writes it.
    """
    letters = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            letters.append(chr(48 + (bits | 32 if more else bits)))
            if not more:
                break
    return "".join(letters)


def _has_holes(mask: Bool) -> bool:
    around = np.pad(~mask, 1, constant_values=True)
    return int(ndimage.label(around, np.ones((3, 3)))[1]) > 1
