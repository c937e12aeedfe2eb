"""The losses as relative quantities, inside the mask: the objective of `natural`.

Everything constant (guidance field, target statistics, reference features) is computed when an objective is built.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.networks.box import Box, union
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.objectives.regions import (
    bounding_box,
    clusters,
    counted_weights,
    cut,
    off_the_border,
    region_boxes,
    resample,
    rows_of,
    wide,
)
from deep_image_blending.options.options import PassOptions
from deep_image_blending.solve.pixels import Pixels

Moments = Mapping[str, Tensor]


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
        target, mask = cut(self.target, self.seen).contiguous(), cut(self.mask, self.seen).contiguous()
        self.view = (target, mask, Pixels(target, mask))

    def _seen_part(self, blend: Tensor, box: Box) -> Tensor:
        return cut(blend, box.shifted(-self.seen.top, -self.seen.left))

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
                values[tap] = rows_of(features[tap])[region.style_weights[tap].flatten() > 0.5]
        return Measured(moments, content, values)

    def _prepare_gradient(self, source: Tensor) -> None:
        size = (self.mask.shape[2], self.mask.shape[3])
        box = bounding_box(self.mask)
        # A Laplacian sees one pixel around the mask, and total variation one more.
        self.frame = Box(
            max(0, box.top - 2), max(0, box.left - 2), min(size[0], box.bottom + 2), min(size[1], box.right + 2)
        )
        source, mask, target = (cut(image, self.frame) for image in (source, self.mask, self.target))
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
                {tap: counted_weights(weights[tap], features.boxes[tap], core, strides[tap]) for tap in taps}
                for weights in (resampled, styled)
            )
            self.regions.append(Region(box, features, by_tap, of_style))
            if weights.content:
                # The reference's own surroundings count: its features are those of an undisturbed picture.
                own = RegionFeatures(network, reference, box, taps)(cut(reference, box))
                self.references.append(own[self.content_tap])
        if weights.content:
            energies = [
                (self._seen(own).square() * region.weights[self.content_tap]).sum()
                for own, region in zip(self.references, self.regions, strict=True)
            ]
            self.content_energy = torch.stack(energies).sum().clamp_min(1e-12)

    def _seen(self, features: Tensor) -> Tensor:
        return losses.apply_head(wide(features), self.network.heads.get(self.content_tap))

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
        difference = wide(features - own)
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
        self.colour_reference = cut(reference, self.frame)
        self.frame_mask = cut(self.mask, self.frame)
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
