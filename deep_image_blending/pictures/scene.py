"""Source, mask and target placed on one canvas, and the windows of it that a pass computes on."""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import Float, Pixels, as_float
from deep_image_blending.pictures.mask import with_edge
from deep_image_blending.pictures.picture import Picture, compose_like
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.rescaling import rescaled_size, resized_mask, resized_picture, resized_plane
from deep_image_blending.pictures.turning import turned_mask, turned_picture


@dataclass(frozen=True)
class Window:
    """A cut-out of the scene, everything at the same size; all arrays float32.

    source (h, w, 3) and target (h, w, 3) in 0..255, mask (h, w) in 0..1. top, left: where it lies on the canvas;
    canvas: that canvas's (rows, columns). At a coarser `scale` all of these are divided by it. shown: rows and
    columns that the source's own frame covers; beyond it the source goes on with the colour of its edge.
    """

    source: Float
    mask: Float
    target: Float
    top: int
    left: int
    canvas: tuple[int, int]
    scale: int = 1
    shown: tuple[slice, slice] = (slice(None), slice(None))

    def around_mask(self, margin: int) -> tuple[slice, slice]:
        """Rows and columns that hold the mask's pixels above 0 with `margin` around them."""
        bounds = []
        for axis in (1, 0):
            found = np.flatnonzero((self.mask > 0).any(axis))
            bounds.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin))
        return bounds[0], bounds[1]

    def cut_to_mask(self, *, target: bool) -> Window:
        """A copy of the part that holds the mask's pixels above 0, without the source; or without pictures."""
        part = self.around_mask(0)
        mask = self.mask[part].copy()
        return Window(
            _blank(mask.shape),
            mask,
            self.target[part].copy() if target else _blank(mask.shape),
            self.top + part[0].start,
            self.left + part[1].start,
            self.canvas,
            self.scale,
        )

    def coarser(self, factor: int) -> Window:
        """The same window with `factor`×`factor` pixels averaged into one; a partial last row or column is cut."""
        if factor == 1:
            return self
        mask = averaged(self.mask[..., None], factor)[..., 0]
        return Window(
            averaged(self.source, factor) if self.source.strides[0] else _blank(mask.shape),
            mask,
            averaged(self.target, factor),
            self.top // factor,
            self.left // factor,
            (self.canvas[0] // factor, self.canvas[1] // factor),
            self.scale * factor,
        )


@dataclass(frozen=True)
class Scene:
    """An object placed on a canvas.

    target: the canvas, at its final size. source (h, w, 3) float32 0..255 and mask (h, w) float32 0..1 at the
    object's final size; top, left: where their corner lies on the canvas (may be off it).
    """

    target: Picture
    source: Float
    mask: Float
    top: int
    left: int

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns of the canvas."""
        return self.target.pixels.shape[0], self.target.pixels.shape[1]

    def region(self) -> tuple[int, int, int, int]:
        """Bounding box (top, left, bottom, right) on the canvas of the pixels whose mask is above 0."""
        mask, top, left = self.canvas_mask_crop()
        rows, columns = (np.flatnonzero((mask > 0).any(axis)) for axis in (1, 0))
        return top + int(rows[0]), left + int(columns[0]), top + int(rows[-1]) + 1, left + int(columns[-1]) + 1

    def canvas_mask_crop(self) -> tuple[Float, int, int]:
        """The part of the mask that lies on the canvas, and where."""
        height, width = self.canvas
        top, left = max(0, self.top), max(0, self.left)
        bottom = min(height, self.top + self.mask.shape[0])
        right = min(width, self.left + self.mask.shape[1])
        rows = slice(top - self.top, max(top, bottom) - self.top)
        columns = slice(left - self.left, max(left, right) - self.left)
        return self.mask[rows, columns], top, left

    def canvas_mask(self) -> Float:
        """The mask on the whole canvas, (H, W) in 0..1."""
        part, top, left = self.canvas_mask_crop()
        mask = np.zeros(self.canvas, np.float32)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        return mask

    def window_box(self, margin: int | None, align: int = 1) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of the window with that margin."""
        height, width = self.canvas
        if margin is None:
            return 0, 0, height, width
        top, left, bottom, right = self.region()
        return (
            max(0, top - margin) // align * align,
            max(0, left - margin) // align * align,
            min(height, -(-(bottom + margin) // align) * align),
            min(width, -(-(right + margin) // align) * align),
        )

    def margin_within(self, pixels: int, least: int, most: int) -> int:
        """The largest margin around the object's box, in `least`..`most`, whose window on the canvas has so many
        pixels at most; `least` where none has."""
        while least < most:
            margin = (least + most + 1) // 2
            top, left, bottom, right = self.window_box(margin)
            within = (bottom - top) * (right - left) <= pixels
            least, most = (margin, most) if within else (least, margin - 1)
        return least

    def window(self, margin: int | None, align: int = 1, *, sourceless: bool = False) -> Window:
        """The region with `margin` pixels around it (None: the whole canvas), its corner a multiple of `align`.

        sourceless: nobody will look at its source, which is left blank.
        """
        box = self.window_box(margin, align)
        top, left, bottom, right = box
        target = as_float(self.target.pixels[top:bottom, left:right])
        if sourceless:
            return Window(_blank(target.shape[:2]), self.mask_in(box), target, top, left, self.canvas)
        # Around its own frame the source goes on with the colour of its edge: no edge arises where it ends.
        rows = np.clip(np.arange(top, bottom) - self.top, 0, self.source.shape[0] - 1)
        columns = np.clip(np.arange(left, right) - self.left, 0, self.source.shape[1] - 1)
        source = self.source[np.ix_(rows, columns)]
        shown = (
            slice(max(0, self.top - top), max(0, self.top + self.source.shape[0] - top)),
            slice(max(0, self.left - left), max(0, self.left + self.source.shape[1] - left)),
        )
        return Window(source, self.mask_in(box), target, top, left, self.canvas, shown=shown)

    def mask_in(self, box: tuple[int, int, int, int]) -> Float:
        """The mask on a box (top, left, bottom, right) of the canvas, (h, w)."""
        top, left, bottom, right = box
        mask = np.zeros((bottom - top, right - left), np.float32)
        part, part_top, part_left = self.canvas_mask_crop()
        r0, c0 = max(top, part_top), max(left, part_left)
        r1, c1 = min(bottom, part_top + part.shape[0]), min(right, part_left + part.shape[1])
        if r1 > r0 and c1 > c0:
            mask[r0 - top : r1 - top, c0 - left : c1 - left] = part[
                r0 - part_top : r1 - part_top, c0 - part_left : c1 - part_left
            ]
        return mask

    def agreement(self, width: int = 4) -> float:
        """How well the source's surroundings explain the target's, -inf..1: the same scene near 1, another near 0.

        R² of the least-squares fit `T ≈ a S + b`, a ≥ 0 per channel, over the pixels up to `width` outside the
        mask that both have; 0 where there are fewer than 32.
        """
        mask, top, left = self.canvas_mask_crop()
        ring = ndimage.binary_dilation(mask > 0, np.ones((3, 3), np.bool_), width) & (mask == 0)
        if np.count_nonzero(ring) < 32:
            return 0.0
        rows, columns = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        own = slice(top - self.top, top - self.top + mask.shape[0])
        across = slice(left - self.left, left - self.left + mask.shape[1])
        source = self.source[own, across][ring].astype(np.float64)
        target = as_float(self.target.pixels[rows, columns])[ring].astype(np.float64)
        source -= source.mean(0)
        target -= target.mean(0)
        gain = ((source * target).sum(0) / np.maximum((source**2).sum(0), 1e-9)).clip(0)
        return float(1 - ((target - gain * source) ** 2).sum() / max(float((target**2).sum()), 1e-9))

    def pasted(self) -> tuple[Window, Float]:
        """Plain cut-and-paste: the window that it changes, and its pixels (h, w, 3) float32 0..255."""
        window = self.window(0)
        return window, window.target + (window.source - window.target) * window.mask[..., None]

    def paste(self) -> tuple[Float, npt.NDArray[np.bool_]]:
        """The same on the whole canvas: (H, W, 3) float32 0..255, and where it differs from the target."""
        return self.on_canvas(*self.pasted())

    def source_canvas(self) -> Float:
        """The source on the whole canvas, (H, W, 3) float32 0..255."""
        return self.window(None).source

    def on_canvas(self, window: Window, blend: Float) -> tuple[Float, npt.NDArray[np.bool_]]:
        """A blended window put back on the canvas: (H, W, 3) float32 0..255, and the pixels it may change."""
        result = as_float(self.target.pixels)
        changed = np.zeros(self.canvas, np.bool_)
        rows = slice(window.top, window.top + blend.shape[0])
        columns = slice(window.left, window.left + blend.shape[1])
        result[rows, columns] = blend
        changed[rows, columns] = window.mask > 0
        return result, changed

    def composed(self, window: Window, blend: Float) -> Pixels:
        """The canvas with a blended window, (H, W, 3) as a file has it: the target's own pixels where unmasked."""
        return compose_like(self.target, blend, window.mask > 0, window.top, window.left)


def _blank(size: tuple[int, ...]) -> Float:
    """(h, w, 3) of zeros, in no memory."""
    return np.broadcast_to(np.float32(0), (*size, 3))


def averaged(image: Float, factor: int) -> Float:
    """Means of `factor`×`factor` blocks of (H, W, C); a partial last row or column of them is cut off.

    >>> averaged(np.float32([[[0], [2]], [[4], [6]]]), 2).tolist()
    [[[3.0]]]
    """
    if factor == 1:
        return image
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    width = columns * factor
    # By rows, then by columns: twenty times as fast as one mean over both.
    sums = image[: rows * factor, :width].reshape(rows, factor, -1).sum(1, dtype=np.float32)
    sums = sums.reshape(rows, width, -1)
    return np.asarray(sum(sums[:, step::factor] for step in range(factor)) / np.float32(factor**2))


def mask_of(source: Picture, mask: Float | None, fit: bool = False) -> Float:
    """The object in the source, (h, w) in 0..1 of its size: the mask, or where that is None its alpha channel.

    fit: rescale a mask of another size. Raises InputError where the mask is missing, empty or of another size.
    """
    if mask is None:
        if source.alpha is None:
            raise InputError(
                f"'{source.path}' has no alpha channel, so it needs a mask; give one with --mask-file"
            )
        mask = source.alpha
    height, width = source.pixels.shape[:2]
    if mask.shape != (height, width):
        if not fit:
            raise InputError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]} but source '{source.path}' is {width}x{height}: "
                "give them the same size, or pass --fit-mask to rescale the mask"
            )
        mask = resized_plane(mask, (height, width)).clip(0, 1)
    if not (mask > 0).any():
        raise InputError(f"the mask of '{source.path}' is empty: no pixel is above black; paint the object white")
    return mask


def compose_scene(source: Picture, mask: Float | None, target: Picture, placement: Placement) -> Scene:
    """Mirror, turn, rescale, place. mask (h, w) in 0..1 of the source's size; None takes its alpha channel.

    A target's transparency is ignored, with a warning and among its notes. Raises InputError where the mask is
    missing, empty, of another size, or off the canvas, and for an --ss or --ts over the picture's limit.
    """
    mask = mask_of(source, mask, placement.fit_mask)
    if target.alpha is not None and target.alpha.min() < 1:
        note = "its transparency was ignored: a target is opaque"
        warnings.warn(f"'{target.path}': {note}", stacklevel=2)
        target = dataclasses.replace(target, notes=(*target.notes, note))
    if placement.ts is not None:
        goal = rescaled_size(target.pixels.shape, placement.ts, placement.square)
        target = resized_picture(target, goal, "--ts")
    source = turned_picture(source, placement.flip, placement.rotate)
    mask = turned_mask(mask.astype(np.float32), placement.flip, placement.rotate)
    pixels = as_float(source.pixels)
    if placement.ss is not None:
        goal = rescaled_size(source.pixels.shape, placement.ss, placement.square)
        pixels = as_float(resized_picture(source, goal, "--ss").pixels)
        mask = resized_mask(mask, goal, placement.square)
    if placement.square:
        mask = (mask > 0).astype(np.float32)
    mask = with_edge(mask, placement.grow, placement.feather)
    if not (mask > 0).any():
        raise InputError(f"the mask of '{source.path}' is empty after rescaling, growing and feathering")
    rows, columns = target.pixels.shape[:2]
    x = rows / 2 if placement.x is None else placement.x
    y = columns / 2 if placement.y is None else placement.y
    top, left = math.floor(x - pixels.shape[0] / 2), math.floor(y - pixels.shape[1] / 2)
    scene = Scene(target, pixels, mask, top, left)
    if not (scene.canvas_mask_crop()[0] > 0).any():
        raise InputError(
            f"the object lies wholly off the canvas: '{target.path}' is {columns}x{rows}, and the object's centre "
            f"is at x (vertical) {x:g}, y (horizontal) {y:g}; choose x in 0..{rows} and y in 0..{columns}"
        )
    return scene
