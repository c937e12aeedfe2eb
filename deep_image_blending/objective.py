"""The objective of one pass: a weighted sum of losses, as a function of the optimised pixels alone.

Everything constant (guidance field, target statistics, reference features) is computed when an objective is built.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.config import PassOptions, Weights
from deep_image_blending.features import Box, Network, RegionFeatures, union, whole

Moments = Mapping[str, Tensor]

BORDER = 2
"""Positions of every layer along the canvas's border that style is not measured at."""


class Objective(Protocol):
    """What the engine minimises."""

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """The weighted loss terms (0-dim) at the pixels x (3, n)."""
        ...

    def picture(self, x: Tensor) -> Tensor:
        """The blend (1, 3, h, w), 0..255, not clamped."""
        ...


class Pixels:
    """The pixels that are optimised: those of the mask, or all. `x` is (3, n)."""

    def __init__(self, base: Tensor, chosen: Tensor | None) -> None:
        """base (1, 3, h, w): the values of the others. chosen (1, 1, h, w): optimised where above 0."""
        self.base = base
        self.index = None if chosen is None else torch.nonzero(chosen.flatten() > 0).flatten()

    def gather(self, image: Tensor) -> Tensor:
        flat = image.reshape(3, -1)
        return flat.clone() if self.index is None else flat.index_select(1, self.index)

    def scatter(self, x: Tensor) -> Tensor:
        if self.index is None:
            return x.reshape(self.base.shape)
        return self.base.reshape(3, -1).index_copy(1, self.index, x).reshape(self.base.shape)


def thrifty_tile(network: Network) -> int:
    """A tile whose surroundings don't outweigh it."""
    return max(512, 2 * network.reach())


class Measured(NamedTuple):
    """What losses need of one region's features.

    moments: by tap, (C+1, C+1). content: weighted squared distance from the reference, not yet relative. values:
    by tap, (K, C), the features inside the mask.
    """

    moments: dict[str, Tensor]
    content: Tensor
    values: dict[str, Tensor]


class _Recomputed(torch.autograd.Function):
    """A function of one tensor that keeps nothing for its gradient, and is evaluated again for it.

    PyTorch's own `checkpoint` imports its compiler when it is first used: 150 MB, just when memory is short.
    """

    @staticmethod
    def forward(ctx: Any, run: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            pairs = [pair for pair in zip(ctx.run(x), gradients, strict=True) if pair[0].requires_grad]
            outputs, weights = zip(*pairs, strict=True)
            (gradient,) = torch.autograd.grad(outputs, x, weights)
        return None, gradient


@dataclass(frozen=True)
class Region:
    """One cluster of the mask: its pixels and its features, where they vary."""

    box: Box
    features: RegionFeatures
    weights: Mapping[str, Tensor]
    """By tap: the mask resampled to the layer, on the positions that vary, (1, 1, h_l, w_l)."""
    style_weights: Mapping[str, Tensor]
    """The same off the canvas's border."""


class NormalisedObjective:
    """The losses as relative quantities, seen by the blend `B = Z·M + T·(1-M)`, inside the mask only.

    target, source (1, 3, h, w), mask (1, 1, h, w): one window of the scene. reference (1, 3, h, w): the picture
    whose content is kept. style: the target's second moments by tap. `weights` of 0 leave a term out.

    tile: side in pixels; where above 0, features are evaluated tile by tile, and once more for the gradient
    (activation checkpointing, Chen et al., 2016), so that one tile's are held at a time. The terms and their
    gradient are the same.
    """

    def __init__(
        self,
        network: Network,
        options: PassOptions,
        *,
        source: Tensor,
        mask: Tensor,
        target: Tensor,
        reference: Tensor,
        style: Moments,
        style_taps: Sequence[str],
        content_tap: str,
        histogram_target: Mapping[str, Tensor] | None = None,
        log_totals: Mapping[str, Tensor] | None = None,
        tile: int = 0,
    ) -> None:
        self.tile = tile
        self.weights = options.weights
        self.colour = options.colour
        self.statistics = options.statistics
        self.mask, self.target = mask, target
        self.pixels = Pixels(target, mask)
        self.network = network
        self.style_taps, self.content_tap = tuple(style_taps), content_tap
        self.log_totals = log_totals or {}
        self.area = mask.sum()
        with torch.no_grad():
            self._prepare_gradient(source)
            self._prepare_regions(reference)
            self._prepare_view()
            self.style = {
                tap: losses.style_statistics(
                    losses.project_moment(style[tap], network.heads.get(tap)), self.statistics
                )
                for tap in (self.style_taps if self.weights.style else ())
            }
            self.sorted_targets = dict(histogram_target or {}) if self.weights.histogram else {}
            self.histogram_energy = {
                tap: values.square().mean().clamp_min(1e-12) for tap, values in self.sorted_targets.items()
            }
            self._prepare_colour(reference)

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        target, mask, pixels = self.view
        blend = target + mask * (pixels.scatter(x) - target)
        weights, found = self.weights, dict[str, Tensor]()
        framed = self._seen_part(blend, self.frame)
        if weights.gradient:
            found["gradient"] = weights.gradient * self._gradient(framed)
        if weights.style or weights.content or weights.histogram:
            parts = [
                self._measured(region, own, self._seen_part(blend, region.box))
                for region, own in itertools.zip_longest(self.regions, self.references)
            ]
            if weights.style:
                found["style"] = weights.style * self._style(parts)
            if weights.content:
                content = torch.stack([part.content for part in parts]).sum() / self.content_energy
                if self.colour:
                    content = content + self.colour * self._colour_shift(framed)
                found["content"] = weights.content * content
            if weights.histogram:
                found["histogram"] = weights.histogram * self._histogram(parts)
        if weights.tv:
            found["tv"] = weights.tv * losses.total_variation(framed) / (255 * 3 * self.area)
        return found

    def picture(self, x: Tensor) -> Tensor:
        return self.target + self.mask * (self.pixels.scatter(x) - self.target)

    def _prepare_view(self) -> None:
        """The part of the window that any loss sees: an evaluation's pictures are of its size."""
        self.seen = functools.reduce(union, (region.box for region in self.regions), self.frame)
        target, mask = _cut(self.target, self.seen).contiguous(), _cut(self.mask, self.seen).contiguous()
        self.view = (target, mask, Pixels(target, mask))

    def _seen_part(self, blend: Tensor, box: Box) -> Tensor:
        return _cut(blend, box.shifted(-self.seen.top, -self.seen.left))

    def _measured(self, region: Region, own: Tensor | None, pixels: Tensor) -> Measured:
        """What the losses need of a region's features; own: its reference features."""
        if not self.tile or not torch.is_grad_enabled():
            return self._measure(region, own, pixels)
        style = self.style_taps if self.weights.style else ()
        histogram = self.style_taps if self.weights.histogram else ()

        def run(pixels: Tensor) -> tuple[Tensor, ...]:
            found = self._measure(region, own, pixels)
            return (*found.moments.values(), found.content, *found.values.values())

        found: tuple[Tensor, ...] = _Recomputed.apply(run, pixels)  # type: ignore[no-untyped-call]
        moments, values = dict(zip(style, found, strict=False)), found[len(style) + 1 :]
        return Measured(moments, found[len(style)], dict(zip(histogram, values, strict=True)))

    def _measure(self, region: Region, own: Tensor | None, pixels: Tensor) -> Measured:
        features = region.features(pixels)
        moments = {}
        if self.weights.style:
            for tap in self.style_taps:
                moments[tap] = losses.second_moment(self._smoothed(tap, features[tap]), region.style_weights[tap])
        content = pixels.new_zeros(()) if own is None else self._content(features[self.content_tap], own, region)
        values = {}
        if self.weights.histogram:
            for tap in self.style_taps:
                values[tap] = _rows(features[tap])[region.style_weights[tap].flatten() > 0.5]
        return Measured(moments, content, values)

    def _prepare_gradient(self, source: Tensor) -> None:
        size = (self.mask.shape[2], self.mask.shape[3])
        box = bounding_box(self.mask)
        # A Laplacian sees one pixel around the mask, and total variation one more.
        self.frame = Box(
            max(0, box.top - 2), max(0, box.left - 2), min(size[0], box.bottom + 2), min(size[1], box.right + 2)
        )
        source, mask, target = (_cut(image, self.frame) for image in (source, self.mask, self.target))
        # The frame's own edge rows are constant, except where they are the canvas's.
        self.guidance = losses.laplacian(source, "replicate") * mask + losses.laplacian(target, "replicate") * (
            1 - mask
        )
        # Outside the mask the target's Laplacian holds what lies under the object, and would draw it into the rim.
        self.inside = (mask > 0).to(mask.dtype)
        self.guidance_energy = (self.guidance.square() * mask).sum().clamp_min(1.0)

    def _gradient(self, blend: Tensor) -> Tensor:
        """blend: its frame."""
        field = losses.laplacian(blend, "replicate")
        return losses.gradient_loss(field * self.inside, self.guidance * self.inside, self.guidance_energy)

    def _prepare_regions(self, reference: Tensor) -> None:
        weights = self.weights
        taps = set[str]()
        if weights.style or weights.histogram:
            taps.update(self.style_taps)
        if weights.content:
            taps.add(self.content_tap)
        self.regions: list[Region] = []
        self.references: list[Tensor] = []
        if not taps:
            return
        network = self.network.truncated(taps)
        strides, reach = network.strides(), network.reach()
        sizes = network.sizes((self.mask.shape[2], self.mask.shape[3]))
        resampled = {tap: resample(self.mask, strides[tap], sizes[tap]) for tap in taps}
        styled = {tap: off_the_border(resampled[tap]) for tap in taps}
        boxes = clusters(self.mask, reach, max(strides.values()))
        for box, core in region_boxes(network, boxes, self.tile):
            features = RegionFeatures(network, self.target, box, taps)
            by_tap, of_style = (
                {tap: _counted(weights[tap], features.boxes[tap], core, strides[tap]) for tap in taps}
                for weights in (resampled, styled)
            )
            self.regions.append(Region(box, features, by_tap, of_style))
            if weights.content:
                # The reference's own surroundings count: its features are those of an undisturbed picture.
                own = RegionFeatures(network, reference, box, taps)(_cut(reference, box))
                self.references.append(own[self.content_tap])
        if weights.content:
            energies = [
                (self._seen(own).square() * region.weights[self.content_tap]).sum()
                for own, region in zip(self.references, self.regions, strict=True)
            ]
            self.content_energy = torch.stack(energies).sum().clamp_min(1e-12)

    def _seen(self, features: Tensor) -> Tensor:
        return losses.apply_head(_wide(features), self.network.heads.get(self.content_tap))

    def _style(self, parts: Sequence[Measured]) -> Tensor:
        distances = []
        for tap in self.style_taps:
            moment = torch.stack([part.moments[tap] for part in parts]).sum(0)
            moment = losses.project_moment(moment, self.network.heads.get(tap))
            distances.append(
                losses.style_distance(losses.style_statistics(moment, self.statistics), self.style[tap])
            )
        return torch.stack(distances).mean()

    def _smoothed(self, tap: str, features: Tensor) -> Tensor:
        if tap not in self.log_totals:
            return features
        return losses.smooth_activations(features, self.log_totals[tap])

    def _content(self, features: Tensor, own: Tensor, region: Region) -> Tensor:
        """Weighted sum of squared differences from the reference's features, seen through the head."""
        head = self.network.heads.get(self.content_tap)
        difference = _wide(features - own)
        weights = region.weights[self.content_tap]
        if head is None:
            return (difference.square() * weights).sum()
        # |P d|² as dᵀ(PᵀP)d: the bias cancels, and the wide features are never made.
        metric = head.weight.T @ head.weight
        flat = difference.permute(0, 2, 3, 1).reshape(-1, difference.shape[1])
        return ((flat @ metric) * flat).sum(1) @ weights.flatten()

    def _histogram(self, parts: Sequence[Measured]) -> Tensor:
        distances = []
        for tap in self.style_taps:
            values = torch.cat([part.values[tap] for part in parts])
            if values.shape[0]:
                distances.append(
                    losses.histogram_loss(values, self.sorted_targets[tap], self.histogram_energy[tap])
                )
        return torch.stack(distances).mean() if distances else self.area * 0

    def _prepare_colour(self, reference: Tensor) -> None:
        if not self.colour:
            return
        # Patches of colour from about a twentieth of the object's size on are held; finer brightness is texture.
        self.colour_sigma = max(2.0, float(self.area.sqrt()) / 20)
        self.colour_reference = _cut(reference, self.frame)
        self.frame_mask = _cut(self.mask, self.frame)
        self.coverage = losses.gaussian_blur(self.frame_mask, self.colour_sigma).clamp_min(0.05)

    def _colour_shift(self, blend: Tensor) -> Tensor:
        """Mean squared shift of colour inside the mask, in units of 64 levels: low-passed, and without brightness.

        Texture may change brightness at its own scale, but hue and saturation nowhere: second moments are met as
        well by a few glaring pixels, and their square costs more than a texture's.
        """
        difference = self.frame_mask * (blend - self.colour_reference)
        shift = losses.gaussian_blur(difference, self.colour_sigma) / self.coverage
        chroma = difference - difference.mean(1, keepdim=True)
        squares = (shift.square() + chroma.square()) * self.frame_mask
        return squares.sum() / (64**2 * 3 * self.area)


class PublishedFirstPass:
    """The first pass of Deep Image Blending (Zhang, Wen, Shi, WACV 2020), number for number.

    source, mask: the object on its own frame, (1, 3, ss, ss) and (1, 1, ss, ss); target (1, 3, ts, ts); top,
    left: the frame's corner on the canvas.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        *,
        source: Tensor,
        mask: Tensor,
        target: Tensor,
        top: int,
        left: int,
        style_taps: Sequence[str],
        content_tap: str,
    ) -> None:
        self.weights, self.target = weights, target
        self.frame_mask = mask
        self.frame = Box(top, left, top + mask.shape[2], left + mask.shape[3])
        self.pixels = Pixels(target, None)
        self.style_taps, self.content_tap = tuple(style_taps), content_tap
        size = (target.shape[2], target.shape[3])
        margins = (left, size[1] - self.frame.right, top, size[0] - self.frame.bottom)
        self.mask = F.pad(mask, margins)
        with torch.no_grad():
            foreground = F.pad(losses.laplacian(source) * mask, margins)
            self.guidance = foreground + losses.laplacian(target) * (1 - self.mask)
            self.canvas_features = RegionFeatures(network, target, whole(size), set(style_taps))
            self.style = {tap: losses.gram_matrix(found) for tap, found in self.canvas_features(target).items()}
            own = source * mask
            # Outside the mask both pictures are black, and their features the same.
            self.object_box = bounding_box(mask)
            self.object_features = RegionFeatures(network, torch.zeros_like(own), self.object_box, {content_tap})
            self.content = _wide(self.object_features(_cut(own, self.object_box))[content_tap])
            rows, columns = self.object_features.sizes[content_tap]
            self.content_share = self.content[0, 0].numel() / (rows * columns)

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        raw = self.pixels.scatter(x)
        blend = raw * self.mask + self.target * (1 - self.mask)
        weights, found = self.weights, dict[str, Tensor]()
        if weights.gradient:
            found["gradient"] = weights.gradient * losses.gradient_loss(losses.laplacian(blend), self.guidance)
        if weights.style:
            found["style"] = weights.style * published_style(
                self.canvas_features(raw), self.style, self.style_taps
            )
        if weights.content:
            seen = _cut(_cut(blend, self.frame) * self.frame_mask, self.object_box)
            features = _wide(self.object_features(seen)[self.content_tap])
            found["content"] = weights.content * self.content_share * losses.content_loss(features, self.content)
        if weights.tv:
            found["tv"] = weights.tv * losses.total_variation(blend)
        return found

    def picture(self, x: Tensor) -> Tensor:
        return self.pixels.scatter(x) * self.mask + self.target * (1 - self.mask)


class PublishedSecondPass:
    """The second pass: the whole canvas from the frozen first-pass image (1, 3, H, W) to the target's style."""

    def __init__(
        self,
        network: Network,
        weights: Weights,
        *,
        first: Tensor,
        target: Tensor,
        style_taps: Sequence[str],
        content_tap: str,
        zero_content: bool,
    ) -> None:
        self.weights, self.zero_content = weights, zero_content
        self.pixels = Pixels(target, None)
        self.style_taps, self.content_tap = tuple(style_taps), content_tap
        size = (target.shape[2], target.shape[3])
        with torch.no_grad():
            self.features = RegionFeatures(network, target, whole(size), {*style_taps, content_tap})
            of_target = self.features(target)
            self.style = {tap: losses.gram_matrix(of_target[tap]) for tap in self.style_taps}
            self.content = _wide(self.features(first)[content_tap])
            self.sorted_targets = {
                tap: _rows(of_target[tap]).sort(0).values for tap in (self.style_taps if weights.histogram else ())
            }

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        raw = self.pixels.scatter(x)
        weights, found = self.weights, dict[str, Tensor]()
        features = self.features(raw)
        if weights.style:
            found["style"] = weights.style * published_style(features, self.style, self.style_taps)
        if weights.content:
            own = _wide(features[self.content_tap])
            reference = own.detach() if self.zero_content else self.content
            found["content"] = weights.content * losses.content_loss(own, reference)
        if weights.histogram:
            parts = [
                losses.histogram_loss(_rows(features[tap]), self.sorted_targets[tap]) for tap in self.style_taps
            ]
            found["histogram"] = weights.histogram * torch.stack(parts).mean()
        if weights.tv:
            found["tv"] = weights.tv * losses.total_variation(raw)
        return found

    def picture(self, x: Tensor) -> Tensor:
        return self.pixels.scatter(x)


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


def _counted(weights: Tensor, place: Box, core: tuple[Box, Box] | None, stride: int) -> Tensor:
    """A layer's weights on `place`, 0 where they belong to another tile. core: the tile, and its cluster.

    A tile at the cluster's edge counts all that lies beyond it.
    """
    weight = _cut(weights, place)
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


def published_style(features: Mapping[str, Tensor], target: Moments, taps: Sequence[str]) -> Tensor:
    """Mean over layers of the mean squared difference of Gram matrices (Zhang et al., 2020)."""
    return torch.stack(
        [(losses.gram_matrix(_wide(features[tap])) - target[tap]).square().mean() for tap in taps]
    ).mean()


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


def _cut(image: Tensor, box: Box) -> Tensor:
    return image[:, :, box.top : box.bottom, box.left : box.right]


def _rows(features: Tensor) -> Tensor:
    return _wide(features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]))


def _wide(values: Tensor) -> Tensor:
    """In float32 or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
