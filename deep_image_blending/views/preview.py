"""What a run would do, at once: the paste, the pixels that will be optimised, the Poisson solution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.pictures import Float, Scene, Window
from deep_image_blending.solve.poisson import guidance_laplacian, solve_poisson
from deep_image_blending.views.contact_sheet import Pixels, contact_sheet

LONGEST = 1024
"""Longer side of a panel; larger canvases are averaged down by a whole factor."""
SMALLEST = 320
OUTLINE, HALO, FRAME = (90, 255, 90), (0, 0, 0), (64, 196, 255)


def preview(scene: Scene) -> Pixels:
    """Three labelled pictures side by side, (H, W, 3) uint8.

    The paste with the mask's outline (mask at one half) and the box of the region; the pixels that will change,
    the rest greyed, with the mask as opacity; and the Poisson solution. On one scale: canvases longer than 1024
    are shown averaged by a whole factor, small ones enlarged by one.
    """
    factor = -(-max(scene.canvas) // LONGEST)
    window = scene.window(None).coarser(factor)
    zoom = max(1, -(-SMALLEST // max(window.canvas)))
    mask = window.mask.repeat(zoom, 0).repeat(zoom, 1)
    paste = _enlarged(_over(window.target, window.source, window.mask), zoom)
    target = _enlarged(window.target, zoom)
    grey = np.repeat(target.mean(-1, keepdims=True), 3, -1) * 0.45 + 70
    box = scaled_box(scene, factor, zoom, mask.shape)
    rows, columns = scene.canvas
    region = scene.region()
    panels = (
        (f"paste on {columns}x{rows}, mask outlined", _outlined(_framed(paste, box), mask)),
        (
            f"will change: {region[3] - region[1]}x{region[2] - region[0]} at row {region[0]}, column {region[1]}",
            _framed(_over(grey, paste, np.asarray(mask > 0, np.float32)), box),
        ),
        ("Poisson", _enlarged(_poisson(window), zoom)),
    )
    return contact_sheet(
        [(label, np.rint(panel.clip(0, 255)).astype(np.uint8)) for label, panel in panels],
        columns=3,
        cell=max(mask.shape),
    )


def describe(scene: Scene) -> list[str]:
    """The coordinates that are used, in canvas pixels; x is vertical and y horizontal, as in the options."""
    rows, columns = scene.canvas
    height, width = scene.mask.shape
    top, left, bottom, right = scene.region()
    covered = int((scene.canvas_mask_crop()[0] > 0).sum())
    cut = int((scene.mask > 0).sum()) - covered
    x, y = scene.top + height / 2, scene.left + width / 2
    lines = [
        f"canvas    {columns} wide, {rows} high",
        f"source    {width} wide, {height} high on the canvas; its corner at row {scene.top}, column {scene.left}",
        f"centre    --x {x:g} (vertical) --y {y:g} (horizontal)",
        f"object    {right - left} wide, {bottom - top} high: rows {top} to {bottom - 1}, "
        f"columns {left} to {right - 1}",
        f"optimised {covered} pixels, {100 * covered / (rows * columns):.1f} % of the canvas",
    ]
    if cut:
        lines.append(f"cut off   {cut} pixels of the object lie off the canvas")
    return lines


def scaled_box(scene: Scene, factor: int, zoom: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The region (top, left, bottom, right) on a panel of `shape` at 1/factor times zoom."""
    top, left, bottom, right = scene.region()
    return (
        top // factor * zoom,
        left // factor * zoom,
        min(shape[0], -(-bottom // factor) * zoom),
        min(shape[1], -(-right // factor) * zoom),
    )


def mask_edge(mask: Float) -> npt.NDArray[np.bool_]:
    """The pixels of the mask's half that have a neighbour outside it; (H, W). Off the canvas is inside."""
    inside = mask >= 0.5
    return np.asarray(inside & ~ndimage.binary_erosion(inside, border_value=1))


def _over(below: npt.NDArray[np.floating], above: Float, opacity: Float) -> Float:
    return np.asarray(below + (above - below) * opacity[..., None], np.float32)


def _enlarged(picture: Float, zoom: int) -> Float:
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def _poisson(window: Window) -> Float:
    solved = solve_poisson(window.target, guidance_laplacian(window.source), window.mask > 0)
    return _over(window.target, solved.astype(np.float32), window.mask)


def _outlined(picture: Float, mask: Float) -> Float:
    """A bright line on the mask's edge, and a dark one around it, so that it shows on any picture."""
    edge = mask_edge(mask)
    result = picture.copy()
    result[ndimage.binary_dilation(edge)] *= 0.45
    result[edge] = OUTLINE
    return result


def _framed(picture: Float, box: tuple[int, int, int, int]) -> Float:
    """Dashes around a box, inside the picture."""
    result = picture.copy()
    top, left, bottom, right = box
    for rows, columns in (
        (slice(top, top + 1), slice(left, right)),
        (slice(bottom - 1, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 1)),
        (slice(top, bottom), slice(right - 1, right)),
    ):
        line = result[rows, columns]
        dark = (np.arange(line.shape[0])[:, None] + np.arange(line.shape[1])) // 5 % 2 == 1
        line[...] = np.where(dark[..., None], HALO, FRAME)
    return result
