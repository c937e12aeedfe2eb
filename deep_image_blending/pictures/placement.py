"""Where the object goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deep_image_blending.errors import InputError


@dataclass(frozen=True)
class Placement:
    """Where the object goes.

    ss, ts: longer side to which source (with its mask) and target are rescaled; None keeps them.
    x, y: vertical and horizontal centre of the source on the canvas, in pixels; None is the canvas's centre.
    square: rescale to ss×ss and ts×ts whatever the shape, and make the mask hard, as published.
    grow, feather: pixels by which the mask grows (or shrinks), and over which its edge fades.
    """

    ss: int | None = None
    ts: int | None = None
    x: float | None = None
    y: float | None = None
    square: bool = False
    grow: int = 0
    feather: float = 0.0
    fit_mask: bool = False

    def __post_init__(self) -> None:
        for name in ("ss", "ts"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 100_000:
                raise InputError(f"--{name} {value} is not a size; give the longer side in pixels, 1 or more")
        for name in ("x", "y"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(f"--{name} {value} is not a position; give pixels on the canvas")
        if not math.isfinite(self.feather) or self.feather < 0:
            raise InputError(f"--feather {self.feather} is out of range; give pixels, 0 or more")
