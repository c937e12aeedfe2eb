"""The losses as relative quantities, inside the mask: the objective of `natural` and `resnet`.

Everything constant (guidance field, target statistics, reference features) is computed when an objective is built.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deep_image_blending.losses.declaration import declared
from deep_image_blending.losses.term import Context, Parts, TargetStatistics
from deep_image_blending.networks.box import Box, union
from deep_image_blending.networks.mask_regions import Region, bounding_box, regions_of
from deep_image_blending.networks.network import Network
from deep_image_blending.options.pass_options import PassOptions
from deep_image_blending.solve.pixels import Pixels


@dataclass(frozen=True)
class WindowTensors:
    """One window of the scene: source, target, reference (1, 3, h, w) in 0..255, mask (1, 1, h, w) in 0..1.

    reference: the picture whose content is kept.
    """

    source: Tensor
    mask: Tensor
    target: Tensor
    reference: Tensor


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


class NormalisedObjective:
    """A weighted sum of relative losses, seen by the blend `B = Z·M + T·(1-M)`, inside the mask only.

    statistics: what the target is like. tile: side in pixels; where above 0, features are evaluated tile by tile,
    and once more for the gradient (activation checkpointing, Chen et al., 2016), so that one tile's are held at a
    time. The terms and their gradient are the same.
    """

    start = None

    def __init__(
        self,
        network: Network,
        options: PassOptions,
        window: WindowTensors,
        statistics: TargetStatistics,
        taps: tuple[tuple[str, ...], str],
        tile: int = 0,
    ) -> None:
        self.tile, self.mask, self.target = tile, window.mask, window.target
        self.pixels = Pixels(window.target, window.mask)
        wanted = {name: loss for name, loss in declared().items() if options.weights[name]}
        style_taps, content_tap = taps
        looked_at = set[str]()
        if any(loss.taps == "style" for loss in wanted.values()):
            looked_at.update(style_taps)
        if any(loss.taps == "content" for loss in wanted.values()):
            looked_at.add(content_tap)
        with torch.no_grad():
            self.frame = _framed(bounding_box(window.mask), (window.mask.shape[2], window.mask.shape[3]))
            self.regions = regions_of(network, window.target, window.mask, looked_at, tile)
            context = Context(
                network=network,
                options=options,
                source=window.source,
                mask=window.mask,
                target=window.target,
                reference=window.reference,
                style_taps=style_taps,
                content_tap=content_tap,
                statistics=statistics,
                regions=self.regions,
                frame=self.frame,
                area=window.mask.sum(),
            )
            self.losses = {name: loss.term(context) for name, loss in wanted.items() if loss.term is not None}
        # The part of the window that any loss sees: an evaluation's pictures are of its size.
        self.seen = functools.reduce(union, (region.box for region in self.regions), self.frame)
        target, mask = _cut(self.target, self.seen).contiguous(), _cut(self.mask, self.seen).contiguous()
        self._view = (target, mask, Pixels(target, mask))

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        target, mask, pixels = self._view
        blend = target + mask * (pixels.scatter(x) - target)
        framed = self._seen_part(blend, self.frame)
        parts = [
            self._measured(index, region, self._seen_part(blend, region.box))
            for index, region in enumerate(self.regions)
        ]
        return {name: loss.value([part[name] for part in parts], framed) for name, loss in self.losses.items()}

    def picture(self, x: Tensor) -> Tensor:
        return self.target + self.mask * (self.pixels.scatter(x) - self.target)

    def _seen_part(self, blend: Tensor, box: Box) -> Tensor:
        return _cut(blend, box.shifted(-self.seen.top, -self.seen.left))

    def _measured(self, index: int, region: Region, pixels: Tensor) -> dict[str, Parts]:
        """What each loss keeps of a region's features, by its name."""
        if not self.tile or not torch.is_grad_enabled():
            return self._measure(index, region, pixels)
        names: list[tuple[str, str]] = []

        def run(pixels: Tensor) -> tuple[Tensor, ...]:
            found = self._measure(index, region, pixels)
            names[:] = [(name, key) for name, part in found.items() for key in part]
            return tuple(found[name][key] for name, key in names)

        values: tuple[Tensor, ...] = _Recomputed.apply(run, pixels)  # type: ignore[no-untyped-call]
        kept: dict[str, dict[str, Tensor]] = {name: {} for name in self.losses}
        for (name, key), value in zip(names, values, strict=True):
            kept[name][key] = value
        return dict(kept)

    def _measure(self, index: int, region: Region, pixels: Tensor) -> dict[str, Parts]:
        features = region.features(pixels)
        return {name: loss.of_region(index, features) for name, loss in self.losses.items()}


def _framed(box: Box, size: tuple[int, int]) -> Box:
    """A box with what losses of pixels see around it: a Laplacian one pixel, and total variation one more."""
    return Box(
        max(0, box.top - 2), max(0, box.left - 2), min(size[0], box.bottom + 2), min(size[1], box.right + 2)
    )


def _cut(image: Tensor, box: Box) -> Tensor:
    rows, columns = box.slices()
    return image[:, :, rows, columns]
