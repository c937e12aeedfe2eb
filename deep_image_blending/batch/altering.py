"""An object mirrored, turned and lit otherwise, before it is placed."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from deep_image_blending.batch.columns import Alteration
from deep_image_blending.batch.turning import ONE, sine_cosine, turned_size
from deep_image_blending.pictures import Float, Pixels
from deep_image_blending.pictures.scene import mask_of
from deep_image_blending.runs.inputs import Inputs


def altered(inputs: Inputs, alteration: Alteration, fit_mask: bool = False) -> Inputs:
    """The same object on the same target: mirrored first, then turned, then brighter or darker.

    Around its frame a turned source goes on with the colour of its edge; its mask ends there. Raises InputError as
    `mask_of` does.
    """
    if alteration.nothing:
        return inputs
    source, mask = inputs.source, mask_of(inputs.source, inputs.mask, fit_mask)
    native = _pixels(source.native, alteration)
    pixels = native if source.native is source.pixels else _pixels(source.pixels, alteration)
    if alteration.flip:
        mask = np.ascontiguousarray(mask[:, ::-1])
    mask = turned(mask, alteration.rotate, beyond=False).clip(0, 1)
    changed = dataclasses.replace(source, pixels=pixels, native=native, alpha=None)
    return dataclasses.replace(inputs, source=changed, mask=mask)


def _pixels(pixels: Pixels, alteration: Alteration) -> Pixels:
    if alteration.flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    most = np.iinfo(pixels.dtype).max
    values = turned(pixels.astype(np.float32), alteration.rotate, beyond=True)
    return np.asarray(np.rint(values * np.float32(alteration.brightness)).clip(0, most), pixels.dtype)


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
