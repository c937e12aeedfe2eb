"""The soft edge of an object: alpha in a band around a hard contour, and the object's own colours there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.pictures.cutting.closed_form import closed_form_alpha
from deep_image_blending.pictures.cutting.foreground import foreground_colours
from deep_image_blending.pictures.cutting.grabcut import enlarged_field
from deep_image_blending.pictures.cutting.regions import (
    Bool,
    Box,
    Float,
    contour_of,
    grown,
    pieces_of,
    share_of_pieces,
    shrunk,
)

Pixels = npt.NDArray[Any]
"""uint8 or uint16."""

# Alpha below this, or as near to 1, is none.
_VEIL = 0.08
# Strands are looked for so far from the contour, in cells of the reduced picture.
_STRANDS = 24
_STRANGE = 0.25
# Half the band: so many cells of the picture in which the contour was found, and so many of its pixels.
_BAND, _FOUND = 1.5, 1.5


def soft_alpha(
    crop: npt.NDArray[np.uint8],
    given: Float,
    inside: Bool,
    fuzz: Float,
    factor: float,
    held: Bool | None = None,
) -> Float:
    """Closed-form alpha in a band of a few pixels, wider where strands leave the object; never above `given`.

    crop (H, W, 3) uint8; given (H, W) float32, the bound. inside (h, w) bool, the object by a hard contour, and
    fuzz (h, w) float32, the share of a pixel's surroundings that is neither clearly background nor the object, are
    of the picture reduced by `factor`; so is held (h, w) bool, of which all but the rim is the object whatever its
    colours. Returns (H, W) float32 in 0..1.
    """
    shape = given.shape
    width = _BAND + _FOUND / factor
    known = _ridges(inside, width) | _ridges(~inside, width)
    if held is not None:
        known |= shrunk(held, 1)
    strands = (fuzz > _STRANGE) & ~inside & grown(inside, _STRANDS)
    band = (grown(contour_of(inside), width) & ~known) | strands
    if factor == 1:
        whole = inside
    else:
        whole = enlarged_field(inside, shape) > 0.5
        band = enlarged_field(band, shape) > 0.5
    colours = (crop / np.float32(255)).astype(np.float32)
    alpha = closed_form_alpha(colours, whole.astype(np.float32), band)
    # Matting leaves a breath of alpha on both sides, a veil once composed.
    alpha = np.minimum(((alpha - _VEIL) / (1 - 2 * _VEIL)).clip(0, 1), given)
    numbers, count = pieces_of(alpha > 0)
    crumbs = share_of_pieces(numbers, count, whole) == 0
    return np.where(crumbs[numbers], 0, alpha).astype(np.float32)


def _ridges(region: Bool, width: float) -> Bool:
    """The middle lines of what is thinner than the band, a bar or a gap: they stay known."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(region, 1, mode="edge"))[1:-1, 1:-1], np.float32)
    highest = ndimage.maximum_filter(depth, size=3)
    return np.asarray(region & (depth >= highest) & (depth < width + 1), np.bool_)


def own_colours(picture: Pixels, alpha: Float, box: Box) -> Pixels:
    """The picture (H, W, 3), its pixels replaced by the object's own colours where alpha (of the box) is grey."""
    greatest = np.iinfo(picture.dtype).max
    colours = foreground_colours((picture[box] / np.float32(greatest)).astype(np.float32), alpha)
    result = picture.copy()
    grey = (alpha > 0) & (alpha < 1)
    result[box][grey] = np.rint(colours[grey] * greatest).astype(picture.dtype)
    return result
