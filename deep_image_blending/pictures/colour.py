"""Colour: ICC profiles, sRGB and inks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures.bit_depth import Float, Pixels, as_unit, blocks, from_unit


@lru_cache(maxsize=1)
def srgb() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))


@lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether the profile changes no colour by more than 8 bits show: names tell less (there is a linear sRGB)."""
    ramp = np.linspace(0, 1, 18, dtype=np.float32)
    if profile[16:20] == b"CMYK":
        return False
    if profile[16:20] == b"GRAY":
        return bool(np.abs(converted(ramp[:, None], profile, srgb()) - ramp[:, None]).max() < 1 / 255)
    colours = np.stack(np.meshgrid(ramp, ramp, ramp), -1).reshape(-1, 3)
    return bool(np.abs(converted(colours, profile, srgb()) - colours).max() < 1 / 255)


def converted(colours: Float, source: bytes, goal: bytes) -> Float:
    """(N, 1 or 3) in 0..1 from one ICC profile to another, relative colorimetric with black point compensation.

    In floating point: Little CMS's 16-bit path interpolates a grid, and is off by some levels of 8 bits.
    """
    given = colours[None] if colours.shape[1] == 3 else np.ascontiguousarray(colours.T)
    made = _transformed(given, source, goal, "rgb" if colours.shape[1] == 3 else "gray")
    return np.nan_to_num(np.asarray(made[0], np.float32)).clip(0, 1)


def _transformed(values: npt.NDArray[Any], source: bytes, goal: bytes, space: str) -> npt.NDArray[Any]:
    import imagecodecs

    intent = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    return np.asarray(
        imagecodecs.cms_transform(
            values, source, goal, colorspace=space, outcolorspace="rgb", intent=intent, flags=flags
        )
    )


def to_srgb(planes: Pixels, profile: bytes) -> Pixels:
    """(H, W, 1, 3 or 4) of a profile -> (H, W, 3) sRGB of the same depth."""
    height, width, channels = planes.shape
    if channels == 4:
        return _transformed(planes, profile, srgb(), "cmyk")
    made = np.empty((height, width, 3), planes.dtype)
    for part in blocks(planes.shape):
        colours = as_unit(planes[part]).reshape(-1, channels)
        made[part] = from_unit(converted(colours, profile, srgb()), planes.dtype).reshape(-1, width, 3)
    return made


def ink_to_rgb(planes: Pixels) -> Pixels:
    """CMYK without a profile: each ink and black take their share of the light, (1 - C) (1 - K)."""
    made = np.empty((*planes.shape[:2], 3), planes.dtype)
    for part in blocks(planes.shape):
        light = 1 - as_unit(planes[part])
        made[part] = from_unit(light[..., :3] * light[..., 3:], planes.dtype)
    return made
