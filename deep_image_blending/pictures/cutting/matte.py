"""A source and its mask as `--matte` has them: tightened to the object before anything is placed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from deep_image_blending.pictures.bit_depth import Float
from deep_image_blending.pictures.cutting.tightening import tighten
from deep_image_blending.pictures.picture import Picture
from deep_image_blending.pictures.scene import mask_of


@dataclass(frozen=True)
class Matted:
    """source: with the object's own colours where the mask is grey. mask: (h, w) in 0..1, never above the given
    one.

    said: one line, what was done and why. record: the same in numbers, for run.json.
    """

    source: Picture
    mask: Float
    said: str
    record: dict[str, Any]


def matted(source: Picture, mask: Float | None, mode: str, fit: bool = False) -> Matted:
    """Tighten a loosely drawn mask. mode: `auto`, `hard` or `soft`. fit: rescale a mask of another size.

    Raises InputError where the mask is missing, empty or of another size, or, unless the mode is `auto`, where
    OpenCV is missing.
    """
    found = tighten(source.pixels, mask_of(source, mask, fit), mode)
    if found.foreground is not None:
        source = dataclasses.replace(source, pixels=found.foreground)
    record = {"asked": mode, "said": found.said, "confidence": found.confidence, **found.numbers}
    return Matted(source, found.mask, f"mask, {found.said}", record)
