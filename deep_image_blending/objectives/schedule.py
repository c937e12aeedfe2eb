"""The order in which a pass looks at its window: resolutions coarse to fine, and rounds at each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deep_image_blending.objectives import recipe

if TYPE_CHECKING:
    from deep_image_blending.options.pass_options import PassOptions
    from deep_image_blending.pictures.scene import Scene


@dataclass(frozen=True)
class Round:
    """A stretch of evaluations with its matches fixed.

    number: 1 for the pass's first; of: how many there are. share: of the wanted picture in what is matched.
    opens: it is the first at its resolution, and begins with copies of the painting.
    """

    number: int
    of: int
    share: float
    opens: bool


@dataclass(frozen=True)
class Stage:
    """A stretch of evaluations on one objective: its scale, the evaluation at which it ends, and its round."""

    scale: int
    until: int
    round: Round | None = None


def resolutions(scene: Scene, options: PassOptions, evaluations: int) -> list[Stage]:
    """One stage a resolution; the finest gets half of the evaluations, the others share the rest."""
    top, left, bottom, right = scene.region()
    longer = max(bottom - top, right - left)
    count = options.levels or max(1, min(4, int(math.log2(max(longer, 1) / 128)) + 1))
    count = min(count, evaluations)
    stages, spent = [], 0
    for i in range(count - 1, -1, -1):
        share = evaluations // 2 // (count - 1) if i else evaluations - spent
        spent += max(1, share)
        stages.append(Stage(2**i, spent))
    return stages


def rounds(scene: Scene, options: PassOptions, evaluations: int) -> list[Stage]:
    """Rounds at each resolution, as many evaluations in each as the recipe has, in proportion."""
    finest = finest_scale(scene)
    top, left, bottom, right = scene.region()
    sides = (bottom - top, right - left)
    count = options.levels or max(1, int(math.log2(max(max(sides) / finest, 1) / recipe.LEAST_SIDE)) + 1)
    count = min(count, len(recipe.ROUNDS))
    # Nothing may vanish where pixels are averaged.
    while count > 1 and min(*sides, min(scene.canvas) // 4) < finest * 2**count:
        count -= 1
    by_level = (*recipe.ROUNDS[:-1], recipe.FINEST.get(options.painting, recipe.ROUNDS[-1]))
    chosen = [
        (finest * 2 ** (count - 1 - level), share, number)
        for level, found in enumerate(by_level[-count:])
        for share, number in found
    ]
    total, seen, done = sum(number for _, _, number in chosen), 0, 0
    kept: list[tuple[int, int, float]] = []
    for scale, share, number in chosen:
        seen += number
        until = round(evaluations * seen / total)
        if until > done:
            kept.append((scale, until, share))
            done = until
    return [
        Stage(scale, until, Round(i + 1, len(kept), share, opens=i == 0 or kept[i - 1][0] != scale))
        for i, (scale, until, share) in enumerate(kept)
    ]


def finest_scale(scene: Scene) -> int:
    """The finest scale that an object is painted at: 1, or for a very large one a power of two."""
    top, left, bottom, right = scene.region()
    scale = 1
    while (bottom - top) * (right - left) > recipe.MOST_PAINTED * scale**2:
        scale *= 2
    return scale


def studied_margin(scene: Scene) -> int:
    """Pixels around the object's box that are looked at: evenly on each side, as many as memory is bounded by."""
    top, left, bottom, right = scene.region()
    height, width = scene.canvas
    scale = finest_scale(scene)
    low, high = recipe.LEAST_STUDIED * scale, max(recipe.LEAST_STUDIED * scale, *scene.canvas)
    while low < high:
        margin = (low + high + 1) // 2
        tall = min(height, bottom + margin) - max(0, top - margin)
        wide = min(width, right + margin) - max(0, left - margin)
        fits = tall * wide <= recipe.MOST_STUDIED * scale**2
        low, high = (margin, high) if fits else (low, margin - 1)
    return low
