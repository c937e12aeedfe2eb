"""Labelled contact sheets of pictures and runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from deep_image_blending.errors import InputError
from deep_image_blending.pictures import as_bytes, read_picture
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.names import distinct_names

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

PAPER, INK = (250, 250, 248), (32, 34, 38)
GAP = 12
"""Pixels between two pictures, and around the sheet."""
SAVED = (("composite.png", "paste"), ("first_pass.png", "first pass"), ("second_pass.png", "second pass"))
"""The pictures of a run directory and what they are called."""


def contact_sheet(
    pictures: Sequence[tuple[str, npt.NDArray[Any]]],
    *,
    crop: Box | None = None,
    columns: int | None = None,
    cell: int = 480,
) -> Pixels:
    """Pictures in rows, each under its label: (H, W, 3) uint8.

    pictures: (label, (h, w, 3) uint8 or uint16). crop: (top, left, bottom, right) cut out of each, within what it
    has. columns: pictures a row; None puts up to four in one row, and more in rows as square as they get.
    cell: longer side of a picture on the sheet, in pixels. Raises InputError for no picture, or a crop that misses
    one.
    """
    if not pictures:
        raise InputError("there is nothing to compare; give pictures or run directories")
    if columns is None:
        columns = len(pictures) if len(pictures) <= 4 else math.ceil(math.sqrt(len(pictures)))
    columns = max(1, min(columns, len(pictures)))
    shown = [fitted(as_bytes(_cropped(label, pixels, crop)), cell) for label, pixels in pictures]
    width = max(picture.shape[1] for picture in shown)
    size = max(13, round(cell / 26))
    labels = [_label(label, width, size) for label, _ in pictures]
    grid = range(0, len(shown), columns)
    captions = [max(label.shape[0] for label in labels[i : i + columns]) for i in grid]
    heights = [max(picture.shape[0] for picture in shown[i : i + columns]) for i in grid]
    sheet = np.full(
        (sum(captions) + sum(heights) + GAP * (len(grid) + 1), columns * (width + GAP) + GAP, 3), PAPER, np.uint8
    )
    top = GAP
    for row, start in enumerate(grid):
        for column, i in enumerate(range(start, min(start + columns, len(shown)))):
            left = GAP + column * (width + GAP)
            for at, part in ((top, labels[i]), (top + captions[row], shown[i])):
                sheet[at : at + part.shape[0], left : left + part.shape[1]] = part
        top += captions[row] + heights[row] + GAP
    return sheet


def run_pictures(run: RunDirectory) -> list[tuple[str, npt.NDArray[Any]]]:
    """The run's finished pictures, in order, named. Raises InputError for none, or another size."""
    canvas, found = run.manifest.get("placement", {}).get("canvas"), []
    for file, name in SAVED:
        if (run.path / file).is_file():
            pixels = read_picture(run.path / file).pixels
            if canvas is not None and list(pixels.shape[:2]) != canvas:
                raise InputError(f"'{run.path / file}' is not of this run: its size is another; start a new run")
            found.append((name, pixels))
    if not found:
        raise InputError(f"run '{run.path}' has no pictures yet; finish it with --resume")
    return found


def comparison(runs: Sequence[RunDirectory], *, crop: bool = False, columns: int | None = None) -> Pixels:
    """The finished pictures of one run or several on a sheet, several in a row each where all have as many.

    crop: the first run's object alone. Raises InputError as `contact_sheet`, and for a run without pictures.
    """
    names = distinct_names([run.path for run in runs])
    found = [run_pictures(run) for run in runs]
    if columns is None and len(runs) > 1 and len({len(pictures) for pictures in found}) == 1:
        columns = len(found[0])
    labelled = [
        (f"{name}: {title}" if len(runs) > 1 else title, picture)
        for name, pictures in zip(names, found, strict=True)
        for title, picture in pictures
    ]
    return contact_sheet(labelled, crop=object_crop(runs[0]) if crop else None, columns=columns)


def object_crop(run: RunDirectory, margin: float = 0.25) -> Box:
    """The object's box on the canvas with a margin, as a share of its longer side, around it."""
    return with_margin(*placed(run), margin)


def placed(run: RunDirectory) -> tuple[Sequence[int], Sequence[int]]:
    """Where a run's object lies (top, left, bottom, right), and its canvas (rows, columns). Raises InputError."""
    placement = run.manifest.get("placement", {})
    if "region" not in placement or "canvas" not in placement:
        raise InputError(f"run '{run.path}' does not say where its object lies; start a new run")
    return placement["region"], placement["canvas"]


def with_margin(region: Sequence[int], canvas: Sequence[int], margin: float) -> Box:
    """(top, left, bottom, right) grown by a share of its longer side, within the canvas (rows, columns)."""
    top, left, bottom, right = region
    around = max(8, round(margin * max(bottom - top, right - left)))
    return (
        max(0, top - around),
        max(0, left - around),
        min(canvas[0], bottom + around),
        min(canvas[1], right + around),
    )


def fitted(pixels: Pixels, side: int) -> Pixels:
    """Rescaled so that the longer side is `side`; whole multiples enlarge pixel by pixel."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if side % longer == 0:
        return pixels.repeat(side // longer, 0).repeat(side // longer, 1)
    size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _cropped(label: str, pixels: npt.NDArray[Any], crop: Box | None) -> npt.NDArray[Any]:
    if crop is None:
        return pixels
    top, left, bottom, right = crop
    part = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if part.size == 0:
        raise InputError(
            f"'{label}' is {pixels.shape[1]}x{pixels.shape[0]} and has nothing in rows {top} to {bottom}, "
            f"columns {left} to {right}; compare pictures of one canvas, or leave out the crop"
        )
    return part


def _label(text: str, width: int, size: int) -> Pixels:
    """The text on paper, broken at spaces (long words anywhere) where it is wider than `width`."""
    font = ImageFont.load_default(size)
    lines = [""]
    for word in text.split():
        grown = f"{lines[-1]} {word}".strip()
        if font.getlength(grown) <= width:
            lines[-1] = grown
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    step = round(size * 1.3)
    image = Image.new("RGB", (width, step * len(lines) + size // 4), PAPER)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((0, i * step), line, INK, font)
    return np.asarray(image)
