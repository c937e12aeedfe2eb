"""What kind of painting lies around the object, told from its own statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import color

from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.palette import surroundings_weight
from deep_image_blending.objectives.schedule import studied_margin
from deep_image_blending.options.pass_options import PaintingName
from deep_image_blending.pictures import Float
from deep_image_blending.pictures.scene import Scene

WORDS = {
    "strokes": "directed strokes",
    "broad": "broad strokes",
    "dots": "dots or grain",
    "soft": "soft touches, or a photograph",
    "poster": "a flat poster",
    "drawing": "a line drawing",
}


class Painting(NamedTuple):
    """The kind of a painting, one of `WORDS`, and the numbers that decided it.

    flat: share of positions without visible texture. grain: contrast at 1 to 2 pixels over that at 4 to 8.
    coherence: of the structure tensor over 6 pixels, 0..1: how far strokes run in one direction. chroma: mean
    distance from grey in CIELAB.
    """

    kind: PaintingName
    numbers: Mapping[str, float]

    def said(self) -> str:
        """One line for people."""
        numbers = ", ".join(f"{name} {value:.2g}" for name, value in self.numbers.items())
        changed = ", ".join(f"{name} x {value:.3g}" for name, value in recipe.FACTORS[self.kind].items())
        return f"painting {self.kind}: {WORDS[self.kind]} ({numbers}); weights {changed or 'as they are'}"


def painting_of(scene: Scene) -> Painting:
    """The kind of painting around a scene's object."""
    window = scene.window(studied_margin(scene))
    return kind_of_painting(window.target, window.mask)


def kind_of_painting(target: Float, mask: Float) -> Painting:
    """The kind of the painting `target` (h, w, 3), 0..255, around the object in `mask` (h, w), 0..1."""
    lab = color.rgb2lab(np.asarray(target, np.float64) / 255)
    light = lab[..., 0]
    near = surroundings_weight(mask) > recipe.FAR + 0.01
    if not near.any():
        near = np.ones(mask.shape, np.bool_)
    bands = {scale: ndimage.gaussian_filter(light, scale) for scale in (1, 2, 4, 8)}
    fine, coarse = light - bands[2], bands[4] - bands[8]
    activity = np.sqrt(ndimage.gaussian_filter((light - bands[4]) ** 2, 4))
    dy, dx = (
        np.zeros_like(light) if light.shape[axis] < 2 else np.gradient(bands[1], axis=axis) for axis in (0, 1)
    )
    yy, xx, xy = (ndimage.gaussian_filter(a, 6) for a in (dy * dy, dx * dx, dx * dy))
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 0.05)
    numbers = {
        "flat": float((activity[near] < 1.5).mean()),
        "grain": float(fine[near].std() / max(1e-3, coarse[near].std())),
        "coherence": float(np.average(coherence[near], weights=activity[near] + 1e-9)),
        "chroma": float(np.hypot(lab[..., 1], lab[..., 2])[near].mean()),
    }
    return Painting(_kind(numbers), numbers)


def _kind(numbers: Mapping[str, float]) -> PaintingName:
    if numbers["flat"] > recipe.FLAT:
        return "drawing" if numbers["chroma"] < recipe.GREY else "poster"
    if numbers["coherence"] >= recipe.DIRECTED:
        return "broad" if numbers["grain"] < recipe.BROAD else "strokes"
    # Dots cover all of a painting; a smooth sky with the grain of its photograph is none.
    dotted = numbers["grain"] > recipe.GRAINY and numbers["flat"] < recipe.DOTTED
    return "dots" if dotted else "soft"
