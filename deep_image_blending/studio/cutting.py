"""What a page asks of a mask, and the mask: at once and coarse, then at full size and soft."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import Float, Picture, as_bytes
from deep_image_blending.pictures.cutting.cut_out import Start, cut_out
from deep_image_blending.pictures.cutting.doubts import Corners
from deep_image_blending.pictures.cutting.quick import quick_alpha
from deep_image_blending.pictures.mask import with_edge

MOST_MARKS, MOST_POINTS = 1000, 100_000
REFINED = 450
"""The longer side, in pixels, at which the object is looked for once more; its contour is found at full size."""
QUICK = 1000
"""The longer side of the mask that is shown at once."""

Thing = Literal["object", "background"]


@dataclass(frozen=True)
class Mark:
    """A stroke of the brush, or an outline that is filled. points: (n, 2) rows and columns in pixels."""

    tool: Literal["brush", "lasso"]
    thing: Thing
    points: Float
    radius: float = 1.0


@dataclass(frozen=True)
class Sketch:
    """All that says where the object is, in the source's pixels.

    box: top, left, bottom, right. base: a mask (H, W) in 0..1 to start from. tighten: cut the object out of what
    was marked. grow, feather: of the edge, in pixels.
    """

    box: tuple[int, int, int, int] | None = None
    marks: tuple[Mark, ...] = ()
    base: Float | None = None
    tighten: bool = False
    grow: int = 0
    feather: float = 0.0

    @property
    def paints(self) -> bool:
        """Whether marks are the mask itself, and no hints: on a mask that is given, or with an outline drawn."""
        return self.base is not None or (self.box is None and any(mark.tool == "lasso" for mark in self.marks))

    def scaled(self, factor: float, shape: tuple[int, int]) -> Sketch:
        """The same on a picture of that shape, whose sides are `factor` of this one's."""
        box = None
        if self.box is not None:
            top, left, bottom, right = (side * factor for side in self.box)
            box = (
                math.floor(top),
                math.floor(left),
                min(math.ceil(bottom), shape[0]),
                min(math.ceil(right), shape[1]),
            )
        base = self.base
        if base is not None:
            base = np.asarray(cv2.resize(base, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        marks = tuple(Mark(one.tool, one.thing, one.points * factor, one.radius * factor) for one in self.marks)
        return Sketch(box, marks, base, self.tighten, round(self.grow * factor), self.feather * factor)


def sketch_of(asked: Mapping[str, Any], source: Picture, base: Float | None) -> Sketch:
    """The sketch of a request. Raises InputError, one line, for what is none."""
    shape = source.pixels.shape[:2]
    if base is not None and base.shape != shape:
        raise InputError(
            f"the mask is {base.shape[1]}x{base.shape[0]} but the picture is {shape[1]}x{shape[0]}: "
            "bring one of the same size"
        )
    marks = _marks(asked.get("marks", []))
    grow, feather = _number(asked, "grow", -1000, 1000), _number(asked, "feather", 0, 1000)
    sketch = Sketch(None, marks, base, asked.get("tighten") is True, round(grow), feather)
    if asked.get("box") is None:
        return sketch
    box = asked["box"]
    if not (isinstance(box, list) and len(box) == 4 and all(type(side) is int for side in box)):
        raise InputError("a box is four whole numbers: top, left, bottom, right")
    # A stroke for the object outside the box says that the box was too small.
    strokes = [mark for mark in marks if mark.tool == "brush" and mark.thing == "object"]
    for mark in strokes:
        low = (mark.points.min(0) - mark.radius - 1).astype(int).tolist()
        high = (mark.points.max(0) + mark.radius + 2).astype(int).tolist()
        box = [*map(min, box[:2], low), *map(max, box[2:], high)]
    top, left, bottom, right = max(0, box[0]), max(0, box[1]), min(shape[0], box[2]), min(shape[1], box[3])
    if (top, left, bottom, right) == (0, 0, *shape):
        # All of it: nothing is surely background. The border's own pixels are taken for that.
        top, left, bottom, right = 1, 1, shape[0] - 1, shape[1] - 1
    return Sketch((top, left, bottom, right), marks, base, sketch.tighten, sketch.grow, sketch.feather)


def shown_at_once(source: Picture, sketch: Sketch) -> Float:
    """The mask at up to `QUICK` pixels, (h, w) in 0..1, coarse but quick. Raises InputError."""
    pixels = as_bytes(source.pixels)
    height, width = pixels.shape[:2]
    factor = min(1.0, QUICK / max(height, width))
    if factor < 1:
        shape = max(3, round(height * factor)), max(3, round(width * factor))
        pixels = np.asarray(cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        sketch = sketch.scaled(factor, shape)
    return _edged(_painted(pixels, sketch, quick_alpha), sketch)


def refined(source: Picture, sketch: Sketch) -> tuple[Float, list[Corners]]:
    """The mask at full size, (H, W) in 0..1, soft at the object's edge, and boxes of what is unsure."""
    unsure: list[Corners] = []

    def alpha_of(pixels: Any, start: Start) -> Float:
        found = cut_out(pixels, start, longest=REFINED)
        unsure.extend(found.unsure)
        return found.alpha

    return _edged(_painted(source.pixels, sketch, alpha_of), sketch), unsure


def _painted(pixels: Any, sketch: Sketch, alpha_of: Any) -> Float:
    shape = pixels.shape[:2]
    lassos = [mark for mark in sketch.marks if mark.tool == "lasso"]
    if sketch.paints:
        mask = np.zeros(shape, np.float32) if sketch.base is None else sketch.base.copy()
        for mark in sketch.marks:
            mask = _drawn(mask, mark)
        if sketch.tighten and (mask > 0.5).any():
            mask = alpha_of(pixels, Start(loose=mask))
        return mask
    brushes = [mark for mark in sketch.marks if mark.tool == "brush"]
    strokes = np.full(shape, 0.5, np.float32)
    for mark in brushes:
        strokes = _drawn(strokes, mark)
    if sketch.box is None and not any(mark.thing == "object" for mark in brushes):
        raise InputError("nothing says where the object is: drag a box around it, or paint it")
    mask = alpha_of(pixels, Start(box=sketch.box, strokes=strokes if brushes else None))
    for mark in lassos:
        mask = _drawn(mask, mark)
    return mask


def _drawn(plane: Float, mark: Mark) -> Float:
    """The plane (H, W) with a mark on it: 1 for the object, 0 for the background."""
    value = 1.0 if mark.thing == "object" else 0.0
    # OpenCV wants columns and rows, here in sixteenths of a pixel.
    points = np.rint(mark.points[:, ::-1] * 16).astype(np.int32)
    if mark.tool == "lasso":
        share = np.zeros(plane.shape, np.uint8)
        cv2.fillPoly(share, [points], 255, cv2.LINE_AA, 4)
        part = share.astype(np.float32) / 255
        return np.asarray(plane + (value - plane) * part, np.float32)
    result = plane.copy()
    thickness = max(1, round(2 * mark.radius))
    if len(points) == 1:
        cv2.circle(result, points[0].tolist(), round(16 * mark.radius), value, -1, cv2.LINE_8, 4)
    else:
        cv2.polylines(result, [points], False, value, thickness, cv2.LINE_8, 4)
    return result


def _edged(mask: Float, sketch: Sketch) -> Float:
    return with_edge(np.asarray(mask, np.float32), sketch.grow, sketch.feather)


def _marks(given: Any) -> tuple[Mark, ...]:
    wrong = InputError("the marks are no list of strokes and outlines")
    if not isinstance(given, list) or len(given) > MOST_MARKS:
        raise wrong
    marks, count = [], 0
    for one in given:
        if not isinstance(one, Mapping) or one.get("tool") not in ("brush", "lasso"):
            raise wrong
        try:
            points = np.array(one.get("points"), np.float32)
        except (ValueError, TypeError):
            raise wrong from None
        count += len(points) if points.ndim else 0
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or count > MOST_POINTS:
            raise wrong
        if not np.isfinite(points).all() or np.abs(points).max() > 1e6:
            raise wrong
        thing: Thing = "object" if one.get("thing") == "object" else "background"
        marks.append(Mark(one["tool"], thing, points, _number(one, "radius", 0.5, 2000, 1.0)))
    return tuple(marks)


def _number(asked: Mapping[str, Any], name: str, low: float, high: float, default: float = 0.0) -> float:
    value = asked.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} is no number from {low:g} to {high:g}")
    return float(value)
