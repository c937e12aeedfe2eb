"""A picture: its pixels, and what is written in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures.bit_depth import Float, Pixels, from_unit
from deep_image_blending.pictures.colour import converted, srgb, to_srgb

DEFAULT_MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    pixels: (H, W, 3) uint8 or uint16 in sRGB, upright. native: the same in the file's own RGB colour profile (is
    `pixels` itself where that is sRGB). alpha: (H, W) in 0..1 where the file has transparency. profile: the ICC
    profile of `native`; exif (orientation 1), dpi: kept for the output. sha256: of the file's bytes. notes:
    what of the file was left out, in words. max_pixels: the limit that it was read under, and is rescaled under.
    """

    path: Path
    pixels: Pixels
    native: Pixels
    alpha: Float | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    sha256: str = ""
    notes: tuple[str, ...] = ()
    max_pixels: int = DEFAULT_MAX_PIXELS


def compose_like(
    target: Picture, result: Float, changed: npt.NDArray[np.bool_], top: int = 0, left: int = 0
) -> Pixels:
    """The array to write: `result` where `changed`, elsewhere the target's own pixels, bit for bit.

    result (h, w, 3) float, sRGB, 0..255; changed (h, w); top, left: where on the target they lie. In the target's
    depth and colour profile. A changed pixel that rounds to the target's sRGB value keeps the target's own, which
    sRGB may not reach.
    """
    written = target.native.copy()
    part = slice(top, top + changed.shape[0]), slice(left, left + changed.shape[1])
    maximum = np.iinfo(written.dtype).max
    values = np.rint(result[changed].clip(0, 255) * (maximum / 255)).astype(written.dtype)
    if target.native is not target.pixels and target.profile is not None:
        moved = (values != target.pixels[part][changed]).any(1)
        colours = result[changed][moved].clip(0, 255).astype(np.float32) / np.float32(255)
        values[~moved] = target.native[part][changed][~moved]
        values[moved] = from_unit(converted(colours, srgb(), target.profile), written.dtype)
    written[part][changed] = values
    return written


def in_srgb(written: Pixels, like: Picture) -> Pixels:
    """What reading a file of `written` (H, W, 3), in the depth and colour profile of `like`, gives in sRGB."""
    if like.native is like.pixels or like.profile is None:
        return written
    return to_srgb(written, like.profile)
