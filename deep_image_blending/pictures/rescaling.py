"""Rescaling: to what size, whether that is within bounds, and with Pillow's bicubic filter."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import Float
from deep_image_blending.pictures.picture import Picture


def rescaled_size(shape: tuple[int, ...], longer: int | None, square: bool = False) -> tuple[int, int]:
    """(rows, columns) of a picture of that shape once its longer side is `longer`; None keeps it.

    Cheap, so that whoever plans memory can ask before anything is rescaled.

    >>> rescaled_size((300, 400, 3), 200)
    (150, 200)
    """
    if longer is None:
        return shape[0], shape[1]
    if square:
        return longer, longer
    scale = longer / max(shape[0], shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resized_picture(picture: Picture, size: tuple[int, int], option: str) -> Picture:
    """Pillow's default (bicubic) resampling of a picture to (rows, columns), in its own depth.

    Raises InputError, before anything is made, where that is more than the picture's limit.
    """
    rows, columns = size
    if rows * columns > picture.max_pixels:
        raise InputError(
            f"{option} {max(size)} makes '{picture.path}' {columns}x{rows}, {rows * columns / 1e6:.4g} "
            f"megapixels, over the limit of {picture.max_pixels / 1e6:.4g}; give a smaller {option}, "
            "or if you mean it, raise the limit with --max-pixels"
        )
    pixels = _resized(picture.pixels, size)
    native = pixels if picture.native is picture.pixels else _resized(picture.native, size)
    return dataclasses.replace(picture, pixels=pixels, native=native)


def _resized(pixels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    if pixels.shape[:2] == size:
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((size[1], size[0])))
    planes = [resized_plane(pixels[..., i], size) for i in range(pixels.shape[2])]
    return np.asarray(np.rint(np.stack(planes, -1).clip(0, 65535)), np.uint16)


def resized_plane(plane: npt.NDArray[Any], size: tuple[int, int]) -> Float:
    image = Image.fromarray(plane.astype(np.float32), mode=None)
    return np.asarray(image.resize((size[1], size[0])), np.float32)


def resized_mask(mask: Float, size: tuple[int, int], square: bool) -> Float:
    if square:
        # The published program resamples the mask as an 8-bit picture.
        image = Image.fromarray(np.rint(mask * 255).astype(np.uint8))
        return np.asarray(image.resize((size[1], size[0])), np.float32) / np.float32(255)
    resized = resized_plane(mask, size).clip(0, 1)
    # Bicubic ringing leaves traces far from the edge; below half a grey level there is no mask.
    resized[resized < 0.5 / 255] = 0
    return resized
