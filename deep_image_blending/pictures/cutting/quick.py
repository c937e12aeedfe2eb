"""A cut-out within the time of a stroke: GrabCut at a thumbnail's size, its edge carried up along the picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures.cutting.cut_out import Start, hints_of
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    OBJECT,
    colour_segmentation,
    reduced_hints,
    reduced_picture,
    reduction,
    surroundings,
)
from deep_image_blending.pictures.cutting.regions import Float

LONGEST, ROUNDS = 140, 4
# Of the guided filter: the window's radius in cells, and what counts as an edge, in squared shares of white.
_RADIUS, _FLATNESS = 2, 1e-3


def quick_alpha(picture: npt.NDArray[np.uint8], start: Start) -> Float:
    """The object's alpha, (H, W) in 0..1, as `cut_out` finds it but coarser.

    picture (H, W, 3) uint8; start: a box, strokes or a loose mask that fit it.
    """
    hints = hints_of(picture.shape[:2], start)
    result = np.zeros(hints.shape, np.float32)
    if not (hints != BACKGROUND).any():
        return result
    box = surroundings(hints != BACKGROUND)
    factor = reduction(hints[box], LONGEST)
    small, given = reduced_picture(picture[box], factor), reduced_hints(hints[box], factor)
    found = colour_segmentation(small, given, rounds=ROUNDS)
    alpha = guided(found.inside.astype(np.float32), small, picture[box])
    alpha[hints[box] == OBJECT] = 1
    alpha[hints[box] == BACKGROUND] = 0
    result[box] = alpha
    return result


def guided(plane: Float, small: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8]) -> Float:
    """(h, w) of a reduced picture -> (H, W) of the picture, edges where its luminance has them.

    The fast guided filter (He, Sun 2015): locally `plane ≈ a * luminance + b`, fitted at the reduced size.
    """
    low = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    high = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        side = 2 * _RADIUS + 1
        return np.asarray(cv2.blur(values, (side, side)))

    of_low, of_plane = mean(low), mean(plane)
    slope = (mean(low * plane) - of_low * of_plane) / (mean(low * low) - of_low**2 + np.float32(_FLATNESS))
    size, offset = (high.shape[1], high.shape[0]), of_plane - slope * of_low
    steep, shift = (np.asarray(cv2.resize(mean(one), size)) for one in (slope, offset))
    # Steeper, so that what is surely inside is whole.
    return np.asarray(((steep * high + shift - 0.5) * 2 + 0.5).clip(0, 1), np.float32)
