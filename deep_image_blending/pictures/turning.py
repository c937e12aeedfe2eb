"""An object mirrored and turned; where corners come to lie is found in whole numbers, the same everywhere."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures.bit_depth import Float
from deep_image_blending.pictures.picture import Picture

ONE = 1 << 16
"""What sine and cosine are multiplied with."""


def sine_cosine(degrees: float) -> tuple[int, int]:
    """Sine and cosine of an angle, times `ONE`, to the nearest whole number."""
    angle = math.radians(degrees)
    return round(ONE * math.sin(angle)), round(ONE * math.cos(angle))


def turned_size(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """(rows, columns) that hold a picture of (rows, columns) which is turned about its centre.

    >>> turned_size((30, 40), 90)
    (40, 30)
    """
    rows, columns = size
    sine, cosine = (abs(one) for one in sine_cosine(degrees))
    return -(-(columns * sine + rows * cosine) // ONE), -(-(columns * cosine + rows * sine) // ONE)


def turned_point(down: int, right: int, degrees: float) -> tuple[int, int]:
    """A point's place, (down, right) of the centre, once its picture is turned against the clock."""
    sine, cosine = sine_cosine(degrees)
    return (down * cosine - right * sine) // ONE, (right * cosine + down * sine) // ONE


def turned_picture(picture: Picture, flip: bool, degrees: float) -> Picture:
    """Mirrored left to right if asked, then turned; around its frame it goes on with the colour of its edge."""
    if not flip and degrees % 360 == 0:
        return picture
    pixels = _altered(picture.pixels, flip, degrees)
    native = pixels if picture.native is picture.pixels else _altered(picture.native, flip, degrees)
    return dataclasses.replace(picture, pixels=pixels, native=native, alpha=None)


def turned_mask(mask: Float, flip: bool, degrees: float) -> Float:
    """The same of a mask (h, w) in 0..1; beyond its frame it is 0."""
    mask = np.ascontiguousarray(mask[:, ::-1]) if flip else mask
    return turned(mask, degrees, beyond=False).clip(0, 1)


def turned(plane: Float, degrees: float, beyond: bool) -> Float:
    """(h, w) or (h, w, C) about its centre, against the clock, on a canvas that holds it.

    beyond: outside the frame the edge goes on; else there is 0.
    """
    if degrees % 360 == 0:
        return plane
    import cv2

    rows, columns = plane.shape[:2]
    height, width = turned_size((rows, columns), degrees)
    sine, cosine = (one / ONE for one in sine_cosine(degrees))
    # From the new picture's places to the old one's, centre to centre.
    down, right = (height - 1) / 2, (width - 1) / 2
    back: npt.NDArray[np.float64] = np.array(
        [
            [cosine, -sine, (columns - 1) / 2 - cosine * right + sine * down],
            [sine, cosine, (rows - 1) / 2 - sine * right - cosine * down],
        ]
    )
    border = cv2.BORDER_REPLICATE if beyond else cv2.BORDER_CONSTANT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane, back, (width, height), flags=flags, borderMode=border), np.float32)


def _altered(pixels: npt.NDArray[Any], flip: bool, degrees: float) -> npt.NDArray[Any]:
    if flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    most = np.iinfo(pixels.dtype).max
    values = turned(pixels.astype(np.float32), degrees, beyond=True)
    return np.asarray(np.rint(values).clip(0, most), pixels.dtype)
