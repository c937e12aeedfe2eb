"""The wanted palette: the object's colours moved to the painting's by a smooth map, near to optimal transport."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage import color

from deep_image_blending.objectives import recipe
from deep_image_blending.pictures import Float

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SAMPLE = 8000
"""Colours that stand for the painting, and at least half as many for the object."""
HUES = 300
"""Colours of the painting that the nearest hue is looked for in."""


def transported(colours: Array, palette: Array, steps: int = 24) -> Array:
    """`colours` (N, D) moved so that their distribution becomes that of `palette` (M, D).

    Sliced optimal transport: quantiles are matched along the axes of a random rotation each (Pitié et al., 2007),
    the first along the colours' own axes.
    """
    random = np.random.default_rng(0)
    levels = (np.arange(128) + 0.5) / 128
    moved = colours.copy()
    for step in range(steps):
        size = colours.shape[1]
        axes = np.eye(size) if step == 0 else np.linalg.qr(random.standard_normal((size, size)))[0]
        ours, theirs = moved @ axes, palette @ axes
        shift = np.empty_like(ours)
        for k in range(size):
            a, b = np.quantile(ours[:, k], levels), np.quantile(theirs[:, k], levels)
            a = np.maximum.accumulate(a + 1e-6 * np.arange(len(a)))
            shift[:, k] = np.interp(ours[:, k], a, b - a)
        moved += shift @ axes.T
    return moved


def at_lightness(palette: Array, lightness: Array, spread: float = recipe.SPREAD) -> Array:
    """Colours (N, 3) drawn from `palette` (M, 3) that are about as light as asked for, (N,).

    Dark iron takes the painting's darks, not the hue of the sky that most of the painting is.
    """
    random = np.random.default_rng(2)
    ordered = palette[np.argsort(palette[:, 0], kind="stable")]
    rank = np.searchsorted(ordered[:, 0], lightness + spread * random.standard_normal(len(lightness)))
    strayed = np.abs(rank + 0.02 * len(ordered) * random.standard_normal(len(lightness)))
    drawn: Array = ordered[strayed.astype(int).clip(0, len(ordered) - 1)]
    return drawn


def hues_at_lightness(colours: Array, palette: Array, nearest: float) -> Array:
    """The chroma (N, 2) that colours (N, 3) take of `palette` (M, 3) at their lightness.

    Greys take what the painting has there, by transport. Colours go the share `nearest` of the way from there to
    the nearest hue, with not much more than their own chroma: skin does not turn green because most of the
    painting is.
    """
    spread: Array = transported(colours, at_lightness(palette, colours[:, 0]))[:, 1:]
    few = palette[:: max(1, len(palette) // HUES)]
    ours, theirs = ((c[:, 1:] / (10 + np.hypot(c[:, 1], c[:, 2]))[:, None]) for c in (colours, few))
    apart = ((ours[:, None] - theirs) ** 2).sum(2) / (2 * recipe.HUE_SPREAD**2)
    apart += (colours[:, None, 0] - few[:, 0]) ** 2 / (2 * recipe.SPREAD**2)
    near = np.exp(apart.min(1, keepdims=True) - apart)
    hues = near @ few[:, 1:] / near.sum(1, keepdims=True)
    chroma, found = np.hypot(colours[:, 1], colours[:, 2]), np.hypot(hues[:, 0], hues[:, 1])
    hues *= np.minimum(1, recipe.RICHER * chroma / np.maximum(found, 1e-3))[:, None]
    coloured = (1 - np.exp(-((chroma / recipe.COLOURED) ** 2)))[:, None]
    return np.asarray(spread + nearest * coloured * (hues - spread))


class Wanted(NamedTuple):
    """The object in the palette that is wanted, (h, w, 3) in 0..255.

    merged: how far lightness could go so that the object is still seen, over the most that is tried, 0..1.
    """

    picture: Float
    merged: float


def in_palette(content: Float, target: Float, mask: Float, strength: float) -> Wanted:
    """The content (h, w, 3), 0..255, with the object's colours moved towards those of the painting around it.

    target (h, w, 3), mask (h, w) in 0..1. strength: share 0..1 of the way; at 0 it is the content itself. The map
    is smooth, so that it makes neither noise nor blots. Lightness goes less far where the object's edge would be
    lost against the painting; chroma becomes what the painting has at that lightness.
    """
    if strength == 0:
        return Wanted(content, 1.0)
    lab = color.rgb2lab(np.asarray(content, np.float64) / 255)
    painting = color.rgb2lab(np.asarray(target, np.float64) / 255)
    inside = covered(mask)
    near = surroundings_weight(mask)
    outside = np.flatnonzero(~inside.ravel()) if not inside.all() else np.arange(inside.size)
    chance = near.ravel()[outside]
    if not chance.sum() > 0:
        chance = np.ones(len(outside))
    drawn = np.random.default_rng(1).choice(outside, SAMPLE, p=chance / chance.sum())
    palette = painting.reshape(-1, 3)[drawn]
    ours = lab[inside]
    sample = ours[:: max(1, len(ours) // SAMPLE)]
    goal = transported(sample, palette)
    before = contrast_at_edge(lab, painting, inside)
    nearest = 1 - (1 - recipe.NEAREST_HUE) * strength**2
    moved = lab.copy()
    share = recipe.LIGHTNESS[0]
    # No step in between goes further than the whole way does, nor loses more of the edge than its part of it.
    for part in dict.fromkeys((1.0, strength)):
        for share in (s for s in recipe.LIGHTNESS if s <= share):
            moved[inside] = smooth_map(ours, sample, goal, share * part, 0.0)
            if legible(before, contrast_at_edge(moved, painting, inside), recipe.LOST_EDGE * part):
                break
    light = smooth_map(sample, sample, goal, share * strength, 0.0)
    aim = np.column_stack([goal[:, 0], hues_at_lightness(light, palette, nearest)])
    moved[inside] = smooth_map(ours, sample, aim, share * strength, strength)
    for _ in range(3):
        moved[..., 0] += regained(before, contrast_at_edge(moved, painting, inside), lab[..., 0], inside)
    size, hue = np.hypot(moved[..., 1], moved[..., 2]), np.arctan2(moved[..., 2], moved[..., 1])
    around = np.linspace(-np.pi, np.pi, 73)
    reach = np.percentile(palette[:, 1:] @ np.stack([np.cos(around), np.sin(around)]), 98, axis=0)
    ceiling = np.interp(hue, around, np.maximum(reach, recipe.LEAST_CHROMA))
    shrink = np.minimum(1, (1 - strength) + strength * ceiling / np.maximum(size, 1e-3))
    moved[..., 1:] *= shrink[..., None]
    moved[..., 0] = moved[..., 0].clip(0, 100)
    wanted = (color.lab2rgb(moved) * 255).clip(0, 255).astype(np.float32)
    return Wanted(np.where(inside[..., None], wanted, content), share / recipe.LIGHTNESS[0])


def without_rim(content: Float, mask: Float) -> Float:
    """The content (h, w, 3) with a hard mask's outermost pixels coloured like the nearest ones further inside.

    A cut-out's rim shows the source's background. Softer edges of the mask (h, w) stay as they are.
    """
    inside = np.pad(covered(mask), 2, mode="edge")
    depth = ndimage.distance_transform_edt(inside)
    away, (rows, columns) = ndimage.distance_transform_edt(depth <= recipe.SOURCES_RIM, return_indices=True)
    depth, away, rows, columns = (a[2:-2, 2:-2] for a in (depth, away, rows - 2, columns - 2))
    rows, columns = rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)
    near = (depth <= recipe.SOURCES_RIM) & (away <= recipe.SOURCES_RIM + 1)
    edge = near & (mask >= 1) & (mask[rows, columns] >= 1)
    return np.where(edge[..., None], content[rows, columns], content)


def covered(mask: Float) -> Flags:
    """(h, w): where the object is, in a mask of 0..1; in one that is faint throughout, its stronger half."""
    return np.asarray(mask > 0.5 * min(1.0, float(mask.max())))


def surroundings_weight(mask: Float) -> Array:
    """How much each pixel outside the object counts as painting around it: 1 at the object, a tail far away."""
    inside = covered(mask)
    if inside.all():
        return np.zeros(mask.shape)
    distance = ndimage.distance_transform_edt(~inside)
    size = math.sqrt(inside.sum())
    return np.where(inside, 0.0, np.exp(-((distance / (recipe.NEAR * size)) ** 2)) + recipe.FAR)


def legible(before: Array, after: Array, lost: float) -> bool:
    """Whether the edge is seen still: as a whole, and everywhere but on the share `lost` of it.

    before, after (N,): contrast at the edge's pixels. Where it was not seen before, it can't be lost.
    """
    if not len(before):
        return True
    whole, now = (math.sqrt(float((gap**2).mean())) for gap in (before, after))
    if now < min(recipe.KEPT_EDGE * whole, recipe.LEGIBLE):
        return False
    seen = np.abs(before) >= recipe.VISIBLE
    melted = seen & (np.abs(after) < np.minimum(recipe.KEPT_EDGE * np.abs(before), recipe.VISIBLE))
    return bool(melted.mean() <= lost)


def regained(before: Array, after: Array, lightness: Array, inside: Flags) -> Array:
    """Lightness (h, w) to add so that the object's edge is seen where it was seen before.

    before, after (N,): contrast at the edge's pixels; lightness (h, w), 0..100: the object's own. What the edge
    lacks goes inwards, to what is near and as light, by a bilateral grid (Chen, Paris and Durand, 2007).
    """
    change = np.zeros(inside.shape)
    sign, size = np.sign(before), np.abs(before)
    needed = np.where(size >= recipe.VISIBLE, np.minimum(recipe.KEPT_EDGE * size, recipe.REGAINED), -np.inf)
    lack = sign * np.maximum(0, needed - sign * after)
    if not lack.any():
        return change
    reach = recipe.REGAINED_REACH * math.sqrt(inside.sum())
    cell = np.array([max(1.0, reach / 3), max(1.0, reach / 3), 100 / recipe.REGAINED_TONES])
    spread = (reach / cell[0], reach / cell[0], 1.0)

    def places(where: tuple[npt.NDArray[np.intp], ...]) -> Array:
        found: Array = np.stack([*where, lightness[where]]) / cell[:, None]
        return found

    shape = (*(int(n / cell[0]) + 2 for n in inside.shape), recipe.REGAINED_TONES + 1)
    cells = np.ravel_multi_index(tuple(np.rint(places(edge_of(inside))).astype(int)), shape, mode="clip")
    total, weight = (
        ndimage.gaussian_filter(np.bincount(cells, of, math.prod(shape)).reshape(shape), spread, mode="constant")
        for of in (lack, np.ones(len(lack)))
    )
    # A tenth of the weight beside a straight edge: what is far from every edge stays as it is.
    faint = 0.1 * cell[0] / (2 * math.pi * spread[0])
    within = np.nonzero(inside)
    change[within] = ndimage.map_coordinates(total / (weight + faint), places(within), order=1, mode="nearest")
    return change


def edge_of(inside: Flags) -> tuple[npt.NDArray[np.intp], ...]:
    """Rows and columns (N,) of the object's outermost pixels; inside (h, w)."""
    inner: Flags = ndimage.binary_erosion(inside, np.ones((3, 3), np.bool_), border_value=1)
    return np.nonzero(inside & ~inner)


def contrast_at_edge(lab: Array, painting: Array, inside: Flags) -> Array:
    """Difference of lightness of the object's outer band and the painting beside it, (N,): of each edge pixel.

    lab, painting (h, w, 3) in CIELAB; inside (h, w). Empty where the object has no edge.
    """
    if inside.all():
        return np.zeros(0)
    width = max(3, round(math.sqrt(inside.sum()) / 25))
    depth, reach = ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside)
    band, ring = inside & (depth <= width), ~inside & (reach <= width)
    size = 2 * width + 1

    def local(values: Array, where: Flags) -> Array:
        weight = ndimage.uniform_filter(where.astype(float), size)
        averaged: Array = ndimage.uniform_filter(values * where, size) / np.maximum(weight, 1e-6)
        return averaged

    gap: Array = (local(lab[..., 0], band) - local(painting[..., 0], ring))[edge_of(inside)]
    return gap


def smooth_map(colours: Array, sample: Array, goal: Array, lightness: float, chroma: float) -> Array:
    """`colours` (N, 3) in CIELAB, moved by the smooth map that is nearest to `sample` -> `goal` (M, 3).

    lightness, chroma: shares of the way. Lightness goes by its quantiles alone (order is kept); chroma is a ridge
    regression on low powers of lightness and on chroma, so that like colours stay alike.
    """

    def terms(c: Array) -> Array:
        light = c[:, 0] / 50 - 1
        return np.stack([np.ones_like(light), light, light**2, light**3, c[:, 1] / 50, c[:, 2] / 50], 1)

    known = terms(sample)
    ridge = np.diag([1e-9, 1, 2, 4, 1, 1]) * 0.02 * len(sample)
    solution = np.linalg.solve(known.T @ known + ridge, known.T @ (goal[:, 1:] - sample[:, 1:]))
    levels = (np.arange(64) + 0.5) / 64
    ours, theirs = np.quantile(sample[:, 0], levels), np.quantile(goal[:, 0], levels)
    ours = np.maximum.accumulate(ours + 1e-6 * np.arange(len(ours)))
    shift = ndimage.gaussian_filter1d(theirs - ours, 4, mode="nearest")
    grid = np.arange(101.0)
    steepness = np.diff(lightness * np.interp(grid, ours, shift)).clip(-recipe.STEEPEST, recipe.STEEPEST)
    gentle = np.concatenate([[0.0], np.cumsum(steepness)])
    wanted = lightness * (goal[:, 0] - sample[:, 0]).mean()
    gentle += wanted - np.interp(sample[:, 0], grid, gentle).mean()
    moved: Any = colours.copy()
    moved[:, 0] += np.interp(colours[:, 0], grid, gentle)
    moved[:, 1:] += chroma * terms(colours) @ solution
    return np.asarray(moved)
