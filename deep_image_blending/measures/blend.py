"""A finished picture on its scene, as the measures look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_image_blending.measures.object import inner, lab

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from deep_image_blending.measures.features import Features
    from deep_image_blending.pictures import Float
    from deep_image_blending.pictures.scene import Scene, Window

CLOSE = 8
"""Pixels around the object's box that its own measures see: the seam's rings are the farthest from the mask."""
NEAR = 32
"""Pixels of surroundings beside the object's box at least; half the box where that is more, and not too much."""
MOST_SEEN = 4_000_000
"""Pixels that are measured at the most, where the object's box and `NEAR` around it are fewer."""


def wide_box(scene: Scene) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of what is measured at the most."""
    return scene.window_box(_surroundings(scene), 16)


def _surroundings(scene: Scene) -> int:
    top, left, bottom, right = scene.region()
    return scene.margin_within(MOST_SEEN, NEAR, max(NEAR, (bottom - top) // 2, (right - left) // 2))


@dataclass(frozen=True)
class View:
    """The blend in a window: picture (h, w, 3), float32 in 0..255, beside the window's source, mask and target."""

    picture: Float
    window: Window

    @property
    def source(self) -> Float:
        """(h, w, 3), 0..255."""
        return self.window.source

    @property
    def target(self) -> Float:
        """(h, w, 3), 0..255."""
        return self.window.target

    @property
    def mask(self) -> Float:
        """(h, w), 0..1."""
        return self.window.mask

    @cached_property
    def lab(self) -> Float:
        """The picture in CIELAB, (h, w, 3)."""
        return lab(self.picture)

    @cached_property
    def source_lab(self) -> Float:
        """The source in CIELAB, (h, w, 3)."""
        return lab(self.source)

    @cached_property
    def inner(self) -> npt.NDArray[np.bool_]:
        """The mask without its edge, (h, w)."""
        return inner(self.mask)


@dataclass(frozen=True)
class Blend:
    """picture (H, W, 3), uint8, uint16, or float in 0..255, in sRGB, of the canvas's size.

    backbone, weights: whose features are measured, as for `load_backbone`.
    """

    scene: Scene
    picture: npt.NDArray[Any]
    backbone: str = "embedded"
    weights: Path | None = None

    @cached_property
    def close(self) -> View:
        """The object and its boundary."""
        return self._view(self.scene.window(CLOSE))

    @cached_property
    def wide(self) -> View:
        """The object and its surroundings."""
        return self._view(self.scene.window(_surroundings(self.scene), 16))

    @cached_property
    def features(self) -> Features:
        """What the network sees in `wide`. Raises InputError where the backbone can't be had."""
        from deep_image_blending.measures.features import features_of

        return features_of(self.wide, self.backbone, self.weights)

    def _view(self, window: Window) -> View:
        from deep_image_blending.pictures import as_float

        rows = slice(window.top, window.top + window.mask.shape[0])
        columns = slice(window.left, window.left + window.mask.shape[1])
        return View(as_float(self.picture[rows, columns]), window)
