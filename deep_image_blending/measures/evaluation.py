"""Every measure of a finished picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_image_blending.errors import InputError
from deep_image_blending.measures.blend import Blend
from deep_image_blending.measures.measure import declared

if TYPE_CHECKING:
    import numpy.typing as npt

    from deep_image_blending.pictures.scene import Scene


def evaluate_scene(
    scene: Scene, picture: npt.NDArray[Any], *, backbone: str | None = "embedded", weights: Path | None = None
) -> dict[str, float]:
    """Every measure of a finished picture, by name; those that have no value are left out.

    picture: (H, W, 3), uint8, uint16, or float in 0..255, in sRGB. backbone: whose features measure style and
    content; None leaves these out. weights: as for `load_backbone`.

    Raises InputError where the picture has not the canvas's size, or the backbone can't be had.
    """
    if picture.shape[:2] != scene.canvas:
        raise InputError(
            f"the picture is {picture.shape[1]}x{picture.shape[0]} but the canvas is "
            f"{scene.canvas[1]}x{scene.canvas[0]}: give a blend of this target"
        )
    blend = Blend(scene, picture, backbone or "", weights)
    sees = backbone is not None and not blend.features.empty
    found = {name: measure.take(blend) for name, measure in declared().items() if sees or not measure.of_features}
    return {name: value for name, value in found.items() if math.isfinite(value)}
