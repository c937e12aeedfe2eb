"""What a manifest's first pictures will be, as plain pastes on one sheet."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deep_image_blending.batch.blending import blend_row
from deep_image_blending.batch.row import Row
from deep_image_blending.pictures import as_bytes
from deep_image_blending.views.contact_sheet import contact_sheet


def pastes(rows: Iterable[Row], most: int = 12, cell: int = 320) -> npt.NDArray[np.uint8]:
    """The first scenes, each once, objects pasted, with the boxes that annotations would have."""
    scenes: dict[str, Row] = {}
    for row in rows:
        scenes.setdefault(row.scene, row)
        if len(scenes) == most:
            break
    shown = []
    for row in itertools.islice(scenes.values(), most):
        made = blend_row(dataclasses.replace(row, method="paste"), measured=False)
        boxes = [one.box for one in made.objects if one.annotate and one.box is not None]
        shown.append((", ".join(one.category for one in made.objects), framed(as_bytes(made.seen), boxes)))
    return contact_sheet(shown, cell=cell)


def framed(picture: npt.NDArray[np.uint8], boxes: Iterable[tuple[int, int, int, int]]) -> npt.NDArray[np.uint8]:
    """A picture with boxes (top, left, bottom, right) drawn in."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    wide = max(1, max(picture.shape[:2]) // 250)
    for top, left, bottom, right in boxes:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=(255, 64, 0), width=wide)
    return np.asarray(image)
