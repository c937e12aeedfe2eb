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
    """A stretch of evaluations on one objective: its scale, the evaluation at which it ends, and its round.

    corrects: it only corrects what a coarser one made, by shallow layers alone, evaluated tile by tile.
    """

    scale: int
    until: int
    round: Round | None = None
    corrects: bool = False


LARGE = 400_000
"""Pixels of the object's box up to which a scale gets the greater part of a pass's evaluations."""
CORRECTING, CORRECTING_PIXELS = 0.07, 0.1
"""Share of the evaluations that each finer scale gets; where losses of pixels alone correct, which cost little."""
MOST_LEVELS = 6
MOST_SEEN = 4_000_000
"""Pixels that a pass sees at full resolution, where the object itself and what a network sees of it are fewer."""


def resolutions(scene: Scene, options: PassOptions, evaluations: int) -> list[Stage]:
    """One stage a resolution; the main one gets half of the evaluations or more, the coarser share the rest.

    The main one is the finest, unless the object is large: what is found at a coarser one is then carried upward,
    and each finer one corrects in few evaluations what only it can see.
    """
    rows, columns = _sides(scene)
    count = options.levels or max(1, min(MOST_LEVELS, int(math.log2(max(rows, columns, 1) / 128)) + 1))
    count, main = min(count, evaluations), 0
    while main + 1 < count and rows * columns > LARGE * 4**main:
        main += 1
    correcting = CORRECTING_PIXELS if options.weights["gradient"] else CORRECTING
    coarser, few = count - 1 - main, max(1, round(correcting * evaluations))
    left = evaluations - few * main
    share = max(1, left // 2 // max(1, coarser))
    ends = [share * (i + 1) for i in range(coarser)] + [left + few * i for i in range(main + 1)]
    return [Stage(2**i, ends[count - 1 - i], corrects=i < main) for i in range(count - 1, -1, -1)]


def seen_margin(scene: Scene, reach: int) -> int:
    """Pixels around the object's box that a pass sees: as many as the object is long, or as `MOST_SEEN` allows."""
    least = max(128, reach)
    return scene.margin_within(MOST_SEEN, least, max(least, *_sides(scene)))


def _sides(scene: Scene) -> tuple[int, int]:
    """Rows and columns of the object's box."""
    top, left, bottom, right = scene.region()
    return bottom - top, right - left


def rounds(scene: Scene, options: PassOptions, evaluations: int) -> list[Stage]:
    """Rounds at each resolution, as many evaluations in each as the recipe has, in proportion."""
    finest, sides = finest_scale(scene), _sides(scene)
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
    rows, columns = _sides(scene)
    return scale_within(rows * columns, recipe.MOST_PAINTED)


def scale_within(pixels: int, most: int) -> int:
    """The least power of two by which both sides are divided where no more than `most` pixels are to be left.

    >>> [scale_within(pixels, 100) for pixels in (100, 101, 401)]
    [1, 2, 4]
    """
    scale = 1
    while pixels > most * scale**2:
        scale *= 2
    return scale


def studied_margin(scene: Scene) -> int:
    """Pixels around the object's box that are looked at: evenly on each side, as many as memory is bounded by."""
    scale = finest_scale(scene)
    least = recipe.LEAST_STUDIED * scale
    return scene.margin_within(recipe.MOST_STUDIED * scale**2, least, max(least, *scene.canvas))
