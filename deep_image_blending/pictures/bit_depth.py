"""The depths of a picture: 8 and 16 bits, and their ways to and from floating point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import InputError

Pixels = npt.NDArray[Any]
"""uint8 or uint16."""
Float = npt.NDArray[np.float32]


def as_float(pixels: npt.NDArray[Any]) -> Float:
    """Pixels of either depth as float32 in 0..255 (exactly invertible)."""
    values = pixels.astype(np.float32)
    return np.divide(values, np.float32(257), out=values) if pixels.dtype == np.uint16 else values


def as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Pixels of either depth as uint8, to the nearest level: 0 is 0 and 65535 is 255.

    >>> as_bytes(np.array([0, 257, 65535], np.uint16)).tolist()
    [0, 1, 255]
    """
    if pixels.dtype == np.uint16:
        return np.asarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)
    return np.asarray(pixels, np.uint8)


def as_unit(values: Pixels) -> Float:
    """uint8 or uint16 -> 0..1."""
    unit = values.astype(np.float32)
    return np.divide(unit, np.float32(np.iinfo(values.dtype).max), out=unit)


def from_unit(values: Float, dtype: npt.DTypeLike) -> Pixels:
    """0..1 -> uint8 or uint16."""
    return np.rint(values.clip(0, 1) * np.float32(np.iinfo(np.dtype(dtype)).max)).astype(dtype)


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of a picture (H, W, ...), about a megapixel at a time: what is computed of them stays small.

    >>> [(part.start, part.stop) for part in blocks((3, 1 << 19))]
    [(0, 2), (2, 3)]
    """
    rows = max(1, (1 << 20) // max(1, math.prod(shape[1:2])))
    return (slice(top, min(shape[0], top + rows)) for top in range(0, shape[0], rows))


def as_integers(name: str, array: npt.NDArray[Any]) -> Pixels:
    """Any depth as uint8 or uint16, floating point in 0..1 at 16 bits. Raises InputError for other values."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(array.dtype.newbyteorder("="))
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(f"'{name}' has values that are not finite (NaN or infinity); replace them")
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"'{name}' has floating-point values in {array.min():.4g}..{array.max():.4g}; scale them to 0..1"
            )
        made = np.empty(array.shape, np.uint16)
        for part in blocks(array.shape):
            made[part] = np.rint(array[part].astype(np.float64) * 65535)
        return made
    raise InputError(f"'{name}' has values of type {array.dtype}; give 8 or 16 bits a channel, or floats in 0..1")
