"""Metadata: EXIF, resolution and orientation, as far as they hold for the picture in any file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, PROFILE = 274, 282, 283, 296, 34675
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
# What describes the picture, not how this file lays it out: description, camera, resolution, program, date,
# artist, copyright, rating, the titles and keywords of Windows.
_DESCRIPTIVE = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432, 18246, 18249, *range(0x9C9B, 0x9CA0))
_STALE = (0xA002, 0xA003, _INTEROP_IFD)


def description(read: Image.Exif) -> bytes | None:
    """The metadata that hold for the picture in any file, orientation 1, as an EXIF block; None without any."""
    kept = Image.Exif()
    kept.endian = read.endian
    for tag in _DESCRIPTIVE:
        if tag in read:
            kept[tag] = read[tag]
    for tag in (_EXIF_IFD, _GPS_IFD):
        # A dictionary where a program set it, a place in the file where it was read.
        found = read.get(tag)
        found = found if isinstance(found, dict) else read.get_ifd(tag)
        if entries := {key: value for key, value in found.items() if key not in _STALE}:
            kept[tag] = entries
    if not kept:
        return None
    kept[ORIENTATION] = 1
    return kept.tobytes()


def resolution(dpi: Any, orientation: Any) -> tuple[float, float] | None:
    """Pixels an inch along (width, height), of the upright picture."""
    try:
        pair = (float(dpi[0]), float(dpi[1]))
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    pair = pair[::-1] if orientation in (5, 6, 7, 8) else pair
    return pair if all(0 < value < 1e5 for value in pair) else None


def upright(array: npt.NDArray[Any], orientation: Any) -> npt.NDArray[Any]:
    """EXIF orientation 1..8 applied to the first two axes; another value is 1."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
