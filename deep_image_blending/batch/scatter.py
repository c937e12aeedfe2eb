"""Scenes for synthetic training pictures, after *Cut, Paste and Learn* (Dwibedi, Misra and Hebert, ICCV 2017).

Everything is drawn and computed in whole numbers, so that a seed gives the same manifest on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from deep_image_blending.batch.columns import Method
from deep_image_blending.batch.draws import Draws
from deep_image_blending.batch.objects import Background, Cut
from deep_image_blending.errors import InputError
from deep_image_blending.pictures import rescaled_size
from deep_image_blending.pictures.turning import turned_point, turned_size

THOUSAND = 1000
_TRIES = 60
_SMALLEST = 4
"""Longer side of an object's box, in pixels, below which it is none."""
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Chance:
    """What may come. Shares and factors are in thousandths, angles in degrees; ranges are (least, most).

    scale: longer side of an object's box over the shorter side of the canvas. overlap: most that two boxes share,
    of the smaller one. over_border: most of a box's side that may hang over the border. ts: longer side that
    backgrounds are rescaled to.
    """

    objects: tuple[int, int] = (1, 3)
    scale: tuple[int, int] = (200, 500)
    rotate: tuple[int, int] = (-15, 15)
    flip: bool = True
    brightness: tuple[int, int] = (800, 1200)
    overlap: int = 300
    over_border: int = 0
    distractors: tuple[int, int] = (0, 0)
    methods: tuple[Method, ...] = ("natural",)
    ts: int | None = None


@dataclass(frozen=True)
class Stock:
    """What scenes are made of. folder: of the manifest, which paths are told from."""

    objects: Sequence[Cut]
    backgrounds: Sequence[Background]
    folder: Path
    distractors: Sequence[Cut] = ()

    def named(self, path: Path) -> str:
        """A path as the manifest says it."""
        return Path(os.path.relpath(path.absolute(), self.folder.absolute())).as_posix()


@dataclass
class _Canvas:
    """A background that fills. size: (rows, columns)."""

    size: tuple[int, int]
    taken: list[Box] = field(default_factory=list)


def rows(stock: Stock, chance: Chance, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of a manifest: `count` scenes, each in every method. Any scene depends on the seed and its number
    alone, so that a longer manifest begins as a shorter one does."""
    for number in range(count):
        scene = _scene(stock, chance, Draws(seed, number))
        for method in chance.methods:
            yield {"scene": f"{number:07d}", "method": method, **scene}


def _scene(stock: Stock, chance: Chance, draws: Draws) -> dict[str, Any]:
    background = draws.one_of(stock.backgrounds)
    canvas = _Canvas(rescaled_size(background.size, chance.ts))
    wanted = [True] * draws.between(*chance.objects)
    wanted += [False] * (draws.between(*chance.distractors) if stock.distractors else 0)
    for last in range(len(wanted) - 1, 0, -1):
        other = draws.below(last + 1)
        wanted[last], wanted[other] = wanted[other], wanted[last]
    placed = []
    for annotated in wanted:
        cut = draws.one_of(stock.objects if annotated else stock.distractors)
        found = _placed(cut, canvas, chance, draws)
        if found is None:
            continue
        files = {"source_file": stock.named(cut.picture)}
        if cut.mask is not None:
            files["mask_file"] = stock.named(cut.mask)
        label = {"category": cut.category} if annotated else {"category": cut.category, "annotate": False}
        placed.append({**files, **label, **found})
    ts = {} if chance.ts is None else {"ts": chance.ts}
    # The masks are those of the stock: they are not tightened once more in every picture.
    return {"target_file": stock.named(background.picture), **ts, "matte": "off", "objects": placed}


def _placed(cut: Cut, canvas: _Canvas, chance: Chance, draws: Draws) -> dict[str, Any] | None:
    """How an object comes to lie, as columns; None where there is no room left."""
    flip = chance.flip and draws.below(2) == 1
    degrees, brightness = draws.between(*chance.rotate), draws.between(*chance.brightness)
    share = draws.between(*chance.scale)
    longer = max(_SMALLEST, min(canvas.size) * share // THOUSAND)
    top, left, bottom, right = cut.box
    whole, inner = turned_size(cut.size, degrees), turned_size((bottom - top, right - left), degrees)
    ss = max(1, longer * max(whole) // max(inner))
    height, width = (max(1, side * ss // max(whole)) for side in inner)
    # From the picture's centre to the middle of the mask's box, in halves of a pixel.
    down, across = top + bottom - cut.size[0], left + right - cut.size[1]
    down, across = turned_point(down, -across if flip else across, degrees)
    down, across = down * ss // (2 * max(whole)), across * ss // (2 * max(whole))
    for _ in range(_TRIES):
        box = _somewhere((height, width), canvas.size, chance.over_border, draws)
        if all(_shared(box, other) <= chance.overlap for other in canvas.taken):
            break
    else:
        return None
    canvas.taken.append(box)
    found: dict[str, Any] = {"ss": ss, "x": box[0] + height // 2 - down, "y": box[1] + width // 2 - across}
    if degrees:
        found["rotate"] = degrees
    if flip:
        found["flip"] = True
    if brightness != THOUSAND:
        found["brightness"] = brightness / THOUSAND
    return found


def _somewhere(size: tuple[int, int], canvas: tuple[int, int], over: int, draws: Draws) -> Box:
    corner = []
    for own, side in zip(size, canvas, strict=True):
        most = own * over // THOUSAND
        corner.append(draws.between(-most, max(-most, side - own + most)))
    return corner[0], corner[1], corner[0] + size[0], corner[1] + size[1]


def _shared(one: Box, other: Box) -> int:
    """What two boxes have in common, in thousandths of the smaller."""
    rows = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    columns = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return -(-rows * columns * THOUSAND // smaller)


def thousandths(text: str, flag: str, least: Fraction, most: Fraction) -> int:
    """A decimal number in thousandths. Raises InputError, with the range, for another."""
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{flag} {text!r} is not a number") from None
    if not least <= value <= most:
        raise InputError(f"{flag} {text} is out of range; give {float(least):g} to {float(most):g}")
    return int(value * THOUSAND)


def two(text: str, flag: str) -> tuple[str, str]:
    """`a,b`, or `a` for both. Raises InputError."""
    parts = [part for part in text.split(",") if part.strip()]
    if len(parts) not in (1, 2):
        raise InputError(f"{flag} {text!r} is no range; give two numbers with a comma, or one")
    return parts[0], parts[-1]
