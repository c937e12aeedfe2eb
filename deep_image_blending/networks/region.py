"""The exact evaluation of a network on the only region where its features can change.

Outside the mask a blend is constant, so only the activations whose receptive field meets the mask's bounding box
vary. `RegionFeatures` computes those alone: the constant surroundings of every convolution are convolved once and
added as a constant (convolution is linear) along the region's edges, the only outputs that they reach, and the
constant surroundings of every other layer are kept and put in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.networks.box import Box, union, whole
from deep_image_blending.networks.network import Layer, Network


class RegionFeatures:
    """Features of blends that differ from `canvas` in `box` only, where they can differ from the canvas's.

    canvas: (1, 3, H, W), 0..255. box: the changing pixels. taps: names of the wanted activations.
    `boxes[tap]` says which positions of the layer come out. Called with the pixels of the box (1, 3, h, w), it
    gives features (1, C, h_l, w_l) by tap, equal to those that the whole canvas would give there.
    """

    def __init__(self, network: Network, canvas: Tensor, box: Box, taps: frozenset[str] | set[str]) -> None:
        self.network = network.truncated(taps)
        self.taps = frozenset(taps)
        self.box = box
        size = (canvas.shape[2], canvas.shape[3])
        self.sizes = self.network.sizes(size)
        self.boxes = changed_boxes(self.network, self.sizes, box)
        self._whole = box == whole(size)
        self._channels = self.network.channels()
        self._dtype = next(iter(self.network.parameters.values()))[0].dtype
        self._constants: dict[str, Tensor] = {}
        self._edges: dict[str, list[tuple[Box, Tensor]]] = {}
        if not self._whole:
            self._prepare_surroundings(canvas)

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        values = {"image": self._input(pixels)}
        last_use = {name: layer.output for layer in self.network.layers for name in layer.inputs}
        found: dict[str, Tensor] = {}
        for layer in self.network.layers:
            inputs = [values[name] for name in layer.inputs]
            for name in layer.inputs:
                if last_use[name] == layer.output:
                    values.pop(name, None)
            value = self._evaluate(layer, inputs)
            values[layer.output] = value
            if layer.output in self.taps:
                found[layer.output] = value
        return found

    def _input(self, pixels: Tensor) -> Tensor:
        return self.network.normalisation(pixels).to(self._dtype, memory_format=torch.channels_last)

    def _evaluate(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        out = self.boxes[layer.output]
        if out.area == 0:
            return inputs[0].new_zeros(1, self._channels[layer.output], out.height, out.width)
        if layer.kind in ("add", "concat"):
            placed = [self._placed(layer, which, value) for which, value in enumerate(inputs)]
            if layer.kind == "concat":
                return torch.cat(placed, 1)
            total = placed[0] + placed[1]
            return torch.relu_(total) if layer.relu else total
        source = self.boxes[layer.inputs[0]]
        if layer.kind == "conv":
            weight, bias = self.network.parameters[layer.output]
            pads = _pads(layer, source, out)
            # oneDNN unfolds the input of a convolution whose padding is as wide as its kernel, into much memory.
            if len(set(pads)) == 1 and 0 <= pads[0] < layer.kernel:
                value = F.conv2d(inputs[0], weight, bias, layer.stride, pads[0], groups=layer.groups)
            else:
                value = F.conv2d(F.pad(inputs[0], pads), weight, bias, layer.stride, groups=layer.groups)
            edges = self._edges.get(layer.output)
            if edges:
                value = _add_along_edges(value, edges)
            return torch.relu_(value) if layer.relu else value
        if self._whole:
            return _pool(layer, inputs[0])
        window, constants = inputs[0], self._constants.get(layer.output)
        if constants is not None:
            window = F.pad(window, _pads(layer, source, out)) + constants
        # What lies beyond the canvas is among the constants.
        return _pool(replace(layer, padding=0, ceil=False), window)

    def _placed(self, layer: Layer, which: int, value: Tensor) -> Tensor:
        """An input of a sum or a concatenation on its output's box, its constant surroundings around it."""
        constants = self._constants.get(f"{layer.output}/{which}")
        if constants is None:
            return value
        return F.pad(value, _margins(self.boxes[layer.inputs[which]], self.boxes[layer.output])) + constants

    @torch.no_grad()
    def _prepare_surroundings(self, canvas: Tensor) -> None:
        """The constant part of every layer, from one evaluation of a crop that holds all receptive fields."""
        rows, columns = canvas.shape[2], canvas.shape[3]
        strides = self.network.strides()
        total, reach = max(strides.values()), self.network.reach()
        top = max(0, (self.box.top - reach) // total * total)
        left = max(0, (self.box.left - reach) // total * total)
        bottom, right = min(rows, self.box.bottom + reach), min(columns, self.box.right + reach)
        crop = canvas[:, :, top:bottom, left:right]
        values = {"image": self._input(crop)}
        last_use = {name: layer.output for layer in self.network.layers for name in layer.inputs}
        plain = RegionFeatures(self.network, crop, whole((bottom - top, right - left)), self.taps)
        for layer in self.network.layers:
            inputs = [values[name] for name in layer.inputs]
            offsets = [(top // strides[name], left // strides[name]) for name in layer.inputs]
            if self.boxes[layer.output].area == 0:
                pass
            elif layer.kind == "conv":
                self._edges[layer.output] = self._constant_edges(layer, inputs[0], offsets[0])
            else:
                self._constants.update(self._constant_part(layer, inputs, offsets))
            for name in layer.inputs:
                if last_use[name] == layer.output:
                    values.pop(name, None)
            values[layer.output] = plain._evaluate(layer, inputs)

    def _constant_edges(self, layer: Layer, value: Tensor, offset: tuple[int, int]) -> list[tuple[Box, Tensor]]:
        """What the surroundings add to a convolution's outputs, by strip along the edges that they reach."""
        out, changed = self.boxes[layer.output], self.boxes[layer.inputs[0]]
        weight, _ = self.network.parameters[layer.output]
        edges = []
        for strip in _outside(out, layer.within(changed)):
            rows, columns = layer.window(strip.top, strip.bottom), layer.window(strip.left, strip.right)
            ring = _ring(value, offset, Box(rows[0], columns[0], rows[1], columns[1]), changed, outside=0.0)
            constant = F.conv2d(ring, weight, None, layer.stride, groups=layer.groups)
            edges.append((strip.shifted(-out.top, -out.left), constant))
        return edges

    def _constant_part(
        self, layer: Layer, inputs: list[Tensor], offsets: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        out = self.boxes[layer.output]
        if layer.kind in ("add", "concat"):
            parts = {}
            for which, name in enumerate(layer.inputs):
                changed = self.boxes[name]
                if changed != out:
                    ring = _ring(inputs[which], offsets[which], out, changed, outside=0.0)
                    parts[f"{layer.output}/{which}"] = ring
            return parts
        changed = self.boxes[layer.inputs[0]]
        rows, columns = layer.window(out.top, out.bottom), layer.window(out.left, out.right)
        window = Box(rows[0], columns[0], rows[1], columns[1])
        if window == changed:
            return {}
        # Max pooling ignores its padding: what lies outside the canvas must never win.
        outside = -math.inf if layer.kind == "max" else 0.0
        return {layer.output: _ring(inputs[0], offsets[0], window, changed, outside)}


class _AddAlongEdges(torch.autograd.Function):
    """In-place addition of constants to strips of a tensor, whose gradient passes as it is.

    Autograd's own in-place addition to a slice copies the whole gradient for every strip.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, edges: list[tuple[Box, Tensor]]) -> Tensor:
        for strip, constant in edges:
            value[:, :, strip.top : strip.bottom, strip.left : strip.right] += constant
        ctx.mark_dirty(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _add_along_edges(value: Tensor, edges: list[tuple[Box, Tensor]]) -> Tensor:
    added: Tensor = _AddAlongEdges.apply(value, edges)  # type: ignore[no-untyped-call]
    return added


def _outside(outer: Box, inner: Box) -> list[Box]:
    """`outer` without `inner`, as at most four boxes."""
    top, bottom = max(outer.top, inner.top), min(outer.bottom, inner.bottom)
    left, right = max(outer.left, inner.left), min(outer.right, inner.right)
    if top >= bottom or left >= right:
        return [outer]
    boxes = (
        Box(outer.top, outer.left, top, outer.right),
        Box(top, outer.left, bottom, left),
        Box(top, right, bottom, outer.right),
        Box(bottom, outer.left, outer.bottom, outer.right),
    )
    return [box for box in boxes if box.height > 0 and box.width > 0]


def _pool(layer: Layer, value: Tensor) -> Tensor:
    if layer.kind == "max":
        return F.max_pool2d(value, layer.kernel, layer.stride, layer.padding, ceil_mode=layer.ceil)
    return F.avg_pool2d(value, layer.kernel, layer.stride)


def changed_boxes(network: Network, sizes: Mapping[str, tuple[int, int]], box: Box) -> dict[str, Box]:
    """The positions of every activation that can change, aligned to the pooling that follows.

    Alignment takes in a row or a column of constant positions where that spares the pooling its padding.
    """
    align = {
        name: layer.stride for layer in network.layers if layer.kind in ("max", "avg") for name in layer.inputs
    }
    boxes = {"image": box}
    for layer in network.layers:
        size = sizes[layer.output]
        changed = reduce(union, (boxes[name] for name in layer.inputs))
        if layer.kind not in ("add", "concat"):
            rows = layer.reached(changed.top, changed.bottom, size[0])
            columns = layer.reached(changed.left, changed.right, size[1])
            changed = Box(rows[0], columns[0], rows[1], columns[1])
        step = align.get(layer.output, 1)
        boxes[layer.output] = Box(
            changed.top // step * step,
            changed.left // step * step,
            min(size[0], -(-changed.bottom // step) * step),
            min(size[1], -(-changed.right // step) * step),
        )
    return boxes


def _pads(layer: Layer, source: Box, out: Box) -> list[int]:
    """`F.pad`'s amounts that turn the values on `source` into the window that `out` reads (negative: cut)."""
    rows, columns = layer.window(out.top, out.bottom), layer.window(out.left, out.right)
    return _margins(source, Box(rows[0], columns[0], rows[1], columns[1]))


def _margins(inner: Box, outer: Box) -> list[int]:
    return [
        inner.left - outer.left,
        outer.right - inner.right,
        inner.top - outer.top,
        outer.bottom - inner.bottom,
    ]


def _ring(value: Tensor, offset: tuple[int, int], window: Box, hole: Box, outside: float) -> Tensor:
    """`value` (its first element at `offset`) cut to `window`, 0 in `hole` and `outside` where there is none."""
    local = window.shifted(-offset[0], -offset[1])
    rows, columns = value.shape[2], value.shape[3]
    held = Box(max(0, local.top), max(0, local.left), min(rows, local.bottom), min(columns, local.right))
    ring = F.pad(value[:, :, held.top : held.bottom, held.left : held.right], _margins(held, local), value=outside)
    ring = ring.contiguous(memory_format=torch.channels_last)
    inner = Box(
        max(hole.top, window.top),
        max(hole.left, window.left),
        min(hole.bottom, window.bottom),
        min(hole.right, window.right),
    ).shifted(-window.top, -window.left)
    if inner.height > 0 and inner.width > 0:
        ring[:, :, inner.top : inner.bottom, inner.left : inner.right] = 0.0
    return ring
