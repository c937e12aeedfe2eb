"""The saved moments as pictures, and the frames between them, laid out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.options.pass_options import PASSES
from deep_image_blending.pictures import as_bytes, read_picture
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.contact_sheet import INK, PAPER, Pixels, placed
from deep_image_blending.views.curves import CurveStrip, curve_strip
from deep_image_blending.views.video.moments import Moment

LAYOUTS = ("blend", "side-by-side", "curve", "side-by-side-curve")
LONGEST = 1920
"""Longer side of a picture in a frame; larger canvases are scaled down."""
GAP = 8
"""Pixels between the pictures of a frame."""
NARROWEST = 320
"""Pixels that a frame with curves has at least in width, so that they can be read."""
SEEN = 256
"""Longer side at which the change from one moment to the next is measured."""


class Film:
    """The moments as pictures, and the frames between them, laid out."""

    def __init__(self, run: RunDirectory, moments: Sequence[Moment], layout: str) -> None:
        self.moments, self.beside = moments, layout.startswith("side-by-side")
        self.paste = _read(moments[0].path)
        self.box = tuple(placed(run)[0])
        self._kept: dict[int, Pixels] = {}
        height, width = self.paste.shape[:2]
        columns = 2 if self.beside else 1
        self.scale = min(1.0, LONGEST / max(height, width * columns))
        self.least = NARROWEST if layout.endswith("curve") else 1
        self.strip = _strip(run, self._size()[0]) if layout.endswith("curve") else None

    def picture(self, index: int) -> Pixels:
        """A moment on the whole canvas."""
        if index not in self._kept:
            found = _read(self.moments[index].path)
            if found.shape != self.paste.shape:
                top, left, bottom, right = self.box
                canvas = self.paste.copy()
                if canvas[top:bottom, left:right].shape != found.shape:
                    raise InputError(f"'{self.moments[index].path}' is not of this run: its size is another")
                canvas[top:bottom, left:right] = found
                found = canvas
            # Two neighbours are mixed; no others are needed.
            self._kept = {i: kept for i, kept in self._kept.items() if abs(i - index) <= 1}
            self._kept[index] = found
        return self._kept[index]

    def region(self, index: int) -> Pixels:
        """A moment's object, its longer side at most SEEN."""
        top, left, bottom, right = self.box
        part = self.picture(index)[top:bottom, left:right]
        factor = -(-max(part.shape[:2]) // SEEN)
        return np.asarray(Image.fromarray(part).reduce(factor)) if factor > 1 else part

    def frame(self, position: float) -> Pixels:
        """The frame at a place of the timeline, with even sides."""
        before = int(min(position, len(self.moments) - 1))
        share = position - before
        blend = self.picture(before)
        if share > 0:
            mixed = blend * np.float32(1 - share) + self.picture(before + 1) * np.float32(share)
            blend = np.rint(mixed).astype(np.uint8)
        shown = [self._scaled(part) for part in ((self.paste, blend) if self.beside else (blend,))]
        width, height = self._size()
        strip = 0 if self.strip is None else self.strip.pixels.shape[0]
        page = np.full((height + strip, width, 3), PAPER, np.uint8)
        used = sum(part.shape[1] for part in shown) + GAP * (len(shown) - 1)
        left = max(0, (width - used) // 2)
        for part in shown:
            rows, columns = part.shape[:2]
            page[:rows, left : left + columns] = part
            if width - left - columns == 1 and self.strip is None:
                page[:rows, -1] = part[:, -1]
            if height - rows == 1:
                page[height - 1, left : left + columns] = part[-1]
            left += columns + GAP
        if self.strip is not None:
            page[height:] = self._curves(self.strip, position)
        return page

    def _scaled(self, picture: Pixels) -> Pixels:
        if self.scale == 1.0:
            return picture
        height, width = picture.shape[:2]
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))

    def _size(self) -> tuple[int, int]:
        """Width and height of the pictures' part of a frame: even, as H.264's colour at half resolution asks."""
        height, width = (max(1, round(side * self.scale)) for side in self.paste.shape[:2])
        if self.beside:
            width = 2 * width + GAP
        width = max(width, self.least)
        return width + width % 2, height + height % 2

    def _curves(self, strip: CurveStrip, position: float) -> Pixels:
        """The curves with a line at the evaluation that the frame shows."""
        before = int(min(position, len(self.moments) - 1))
        after = min(before + 1, len(self.moments) - 1)
        one, other = self.moments[before], self.moments[after]
        share = position - before
        if one.name != other.name:
            one, share = (other, 0.0) if share >= 0.5 else (one, 0.0)
        if one.name is None or one.name not in strip.axes:
            return strip.pixels
        column = strip.column(one.name, one.evaluation + share * (other.evaluation - one.evaluation))
        pixels = strip.pixels.copy()
        pixels[strip.span(one.name), max(0, column - 1) : column + 1] = INK
        return pixels


def _strip(run: RunDirectory, width: int) -> CurveStrip:
    try:
        tables = [(name, rows) for name in PASSES if (rows := run.read_losses(name))]
    except InputError as error:
        raise InputError(f"{error}, or choose --layout blend") from error
    if not tables:
        raise InputError(f"run '{run.path}' has no loss table to draw; choose --layout blend")
    height = int(np.clip(0.4 * width, 180, 420)) // 2 * 2
    return curve_strip(tables, width, height)


def _read(path: Path) -> Pixels:
    return as_bytes(read_picture(path).pixels)
