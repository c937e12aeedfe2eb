"""The parts of a window that are evaluated: clusters of the mask, tiles, and the mask seen by a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from deep_image_blending.networks.box import Box, union
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures

BORDER = 2
"""Positions of every layer along the canvas's border that style is not measured at."""


def thrifty_tile(network: Network) -> int:
    """A tile whose surroundings don't outweigh it."""
    return max(512, 2 * network.reach())


@dataclass(frozen=True)
class Region:
    """One cluster of the mask, or a tile of one: its pixels and its features, where they vary."""

    box: Box
    features: RegionFeatures
    weights: Mapping[str, Tensor]
    """By tap: the mask resampled to the layer, on the positions that vary, (1, 1, h_l, w_l)."""
    style_weights: Mapping[str, Tensor]
    """The same off the canvas's border."""


def regions_of(network: Network, target: Tensor, mask: Tensor, taps: set[str], tile: int = 0) -> list[Region]:
    """The regions of a window, target (1, 3, h, w), mask (1, 1, h, w); none where there are no taps.

    tile: side in pixels of the parts that are evaluated one at a time; 0 evaluates a cluster as a whole.
    """
    if not taps:
        return []
    shortened = network.truncated(taps)
    strides = shortened.strides()
    sizes = shortened.sizes((mask.shape[2], mask.shape[3]))
    resampled = {tap: resample(mask, strides[tap], sizes[tap]) for tap in taps}
    styled = {tap: off_the_border(resampled[tap]) for tap in taps}
    found = []
    for box, core in region_boxes(shortened, clusters(mask, shortened.reach(), max(strides.values())), tile):
        features = RegionFeatures(shortened, target, box, taps)
        by_tap, of_style = (
            {tap: counted_weights(weights[tap], features.boxes[tap], core, strides[tap]) for tap in taps}
            for weights in (resampled, styled)
        )
        found.append(Region(box, features, by_tap, of_style))
    return found


def bounding_box(mask: Tensor) -> Box:
    """Of where the mask (1, 1, h, w) is above 0."""
    rows, columns = torch.nonzero(mask[0, 0] > 0, as_tuple=True)
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


def region_boxes(network: Network, boxes: Sequence[Box], tile: int) -> list[tuple[Box, tuple[Box, Box] | None]]:
    """The boxes that are evaluated one at a time, each with the core whose features it counts and its cluster.

    With a tile of 0 a cluster is one box and counts as a whole (None). Otherwise it is cut into tiles, each
    evaluated with as much of its neighbours as its features can see.
    """
    if not tile:
        return [(box, None) for box in boxes]
    align, reach = max(network.strides().values()), network.reach()
    side = -(-tile // align) * align
    found: list[tuple[Box, tuple[Box, Box] | None]] = []
    for box in boxes:
        # Sides as even as can be: a last sliver would be evaluated with as large surroundings as a full tile.
        high, wide = (
            math.ceil(length / math.ceil(length / side) / align) * align for length in (box.height, box.width)
        )
        for top in range(box.top, box.bottom, high):
            for left in range(box.left, box.right, wide):
                core = Box(top, left, min(box.bottom, top + high), min(box.right, left + wide))
                near = Box(
                    max(box.top, core.top - reach),
                    max(box.left, core.left - reach),
                    min(box.bottom, core.bottom + reach),
                    min(box.right, core.right + reach),
                )
                found.append((near, (core, box)))
    return found


def counted_weights(weights: Tensor, place: Box, core: tuple[Box, Box] | None, stride: int) -> Tensor:
    """A layer's weights on `place`, 0 where they belong to another tile. core: the tile, and its cluster.

    A tile at the cluster's edge counts all that lies beyond it.
    """
    weight = cut(weights, place)
    if core is None:
        return weight
    tile, box = core
    far = 1 << 40
    rows = torch.arange(place.top, place.bottom, device=weight.device)
    columns = torch.arange(place.left, place.right, device=weight.device)
    top = -far if tile.top == box.top else tile.top // stride
    left = -far if tile.left == box.left else tile.left // stride
    bottom = far if tile.bottom == box.bottom else tile.bottom // stride
    right = far if tile.right == box.right else tile.right // stride
    mine = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))[None]
    return weight * mine


def clusters(mask: Tensor, reach: int, align: int) -> list[Box]:
    """The boxes that hold the mask, one for each group of blobs that is cheaper to evaluate on its own.

    mask (1, 1, h, w). A box is evaluated with its surroundings up to half of `reach`; boxes whose surroundings
    meet share features and are one. Boxes are aligned to `align`, the network's total stride.
    """
    labels, count = ndimage.label((mask[0, 0] > 0).cpu().numpy(), structure=[[1] * 3] * 3)
    height, width = mask.shape[2:]
    margin = reach // 2 + align

    def grown(box: Box) -> Box:
        return Box(
            max(0, box.top - margin),
            max(0, box.left - margin),
            min(height, box.bottom + margin),
            min(width, box.right + margin),
        )

    boxes = [
        Box(rows.start, columns.start, rows.stop, columns.stop)
        for rows, columns in ndimage.find_objects(labels, count)
    ]
    merged = True
    while merged:
        merged = False
        kept: list[Box] = []
        for box in boxes:
            for i, other in enumerate(kept):
                both = union(box, other)
                apart = grown(box).area + grown(other).area
                if grown(box).intersects(grown(other)) or grown(both).area <= apart:
                    kept[i] = both
                    merged = True
                    break
            else:
                kept.append(box)
        boxes = kept
    return [
        Box(
            box.top // align * align,
            box.left // align * align,
            min(height, -(-box.bottom // align) * align),
            min(width, -(-box.right // align) * align),
        )
        for box in boxes
    ]


def resample(mask: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """The mask's mean over the pixels that a layer's position stands for; (1, 1, rows, columns) of `size`."""
    if stride > 1:
        mask = F.avg_pool2d(mask, stride, stride, ceil_mode=True, count_include_pad=False)
    return mask[:, :, : size[0], : size[1]]


def off_the_border(weights: Tensor) -> Tensor:
    """The weights (1, 1, h, w) without the canvas's outermost positions, unless most of them lie there.

    Those see the zeros around the canvas more than the picture: style would be met by any colour there.
    """
    inner = torch.zeros_like(weights)
    part = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    inner[part] = weights[part]
    return inner if inner.sum() > 0.5 * weights.sum() else weights


def cut(image: Tensor, box: Box) -> Tensor:
    return image[:, :, box.top : box.bottom, box.left : box.right]
