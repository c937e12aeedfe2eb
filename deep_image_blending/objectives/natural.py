"""The losses as relative quantities, inside the mask: the objective of `natural` and `resnet`.

Everything constant (guidance field, target statistics, reference features) is computed when an objective is built.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
    """One window of the scene: reference and target (1, 3, h, w) in 0..255, mask (1, 1, h, w) in 0..1.

    reference: the picture whose edges and content are kept.
    """

    reference: Tensor
    mask: Tensor
    target: Tensor


Run = Callable[[Tensor], tuple[Tensor, ...]]


class _Recomputed(torch.autograd.Function):
    """Functions of an image's parts that keep nothing for their gradient, and are evaluated again for it.

    PyTorch's own `checkpoint` imports its compiler when it is first used: 150 MB, just when memory is short.
    """

    @staticmethod
    def forward(ctx: Any, runs: Sequence[tuple[Box, Run]], image: Tensor) -> tuple[Tensor, ...]:
        ctx.runs, ctx.counts = runs, []
        ctx.save_for_backward(image)
        found: list[Tensor] = []
        for box, run in runs:
            values = run(_cut(image, box))
            ctx.counts.append(len(values))
            found.extend(values)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (image,) = ctx.saved_tensors
        found, left = torch.zeros_like(image), list(gradients)
        for (box, run), count in zip(ctx.runs, ctx.counts, strict=True):
            own, left = left[:count], left[count:]
            with torch.enable_grad():
                part = _cut(image, box).detach().requires_grad_(True)
                pairs = [pair for pair in zip(run(part), own, strict=True) if pair[0].requires_grad]
                outputs, weights = zip(*pairs, strict=True)
                (gradient,) = torch.autograd.grad(outputs, part, weights)
            _cut(found, box).add_(gradient)
            # One part's activations at a time.
            del part, pairs, outputs, weights, gradient
        return None, found


class _Blended(torch.autograd.Function):
    """`T + M (Z - T)` where the mask is above 0, and T elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, index: Tensor, theirs: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(index, mask)
        ours = (x - theirs).mul_(mask).add_(theirs)
        return target.reshape(3, -1).index_copy(1, index, ours).reshape(target.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        index, mask = ctx.saved_tensors
        return gradients[0].reshape(3, -1).index_select(1, index).mul_(mask), None, None, None, None


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
        pixels = Pixels(target, mask)
        assert pixels.index is not None
        self._view = (target, pixels.index, pixels.gather(target), mask.reshape(1, -1)[:, pixels.index])

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        blend: Tensor = _Blended.apply(x, *self._view)  # type: ignore[no-untyped-call]
        framed, parts = self._seen_part(blend, self.frame), self._measured(blend)
        return {name: loss.value([part[name] for part in parts], framed) for name, loss in self.losses.items()}

    def picture(self, x: Tensor) -> Tensor:
        return self.target + self.mask * (self.pixels.scatter(x) - self.target)

    def _seen_part(self, blend: Tensor, box: Box) -> Tensor:
        return blend if box == self.seen else _cut(blend, box.shifted(-self.seen.top, -self.seen.left))

    def _measured(self, blend: Tensor) -> list[dict[str, Parts]]:
        """What each loss keeps of each region's features, by its name."""
        if not self.tile or not self.regions or not torch.is_grad_enabled():
            return [
                self._measure(index, region, self._seen_part(blend, region.box))
                for index, region in enumerate(self.regions)
            ]
        names: list[list[tuple[str, str]]] = [[] for _ in self.regions]

        def run_of(index: int, region: Region) -> Run:
            def run(pixels: Tensor) -> tuple[Tensor, ...]:
                found = self._measure(index, region, pixels)
                names[index] = [(name, key) for name, part in found.items() for key in part]
                return tuple(found[name][key] for name, key in names[index])

            return run

        runs = [
            (region.box.shifted(-self.seen.top, -self.seen.left), run_of(index, region))
            for index, region in enumerate(self.regions)
        ]
        values = iter(_Recomputed.apply(runs, blend))  # type: ignore[no-untyped-call]
        kept: list[dict[str, dict[str, Tensor]]] = [{name: {} for name in self.losses} for _ in self.regions]
        for index, of_region in enumerate(names):
            for name, key in of_region:
                kept[index][name][key] = next(values)
        return [dict(found) for found in kept]

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
