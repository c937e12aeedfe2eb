"""Feature networks, and their evaluation on the only region where features can change.

A network is a list of layers that read and write named activations, so that one description serves three uses:
its receptive field, its plain evaluation, and its exact evaluation on a region. Outside the mask a blend is
constant, so only the activations whose receptive field meets the mask's bounding box vary. `RegionFeatures`
computes those alone: the constant surroundings of every convolution are convolved once and added as a constant
(convolution is linear) along the region's edges, the only outputs that they reach, and the constant surroundings
of every other layer are kept and put in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.errors import InputError


class Box(NamedTuple):
    """A rectangle of rows `top <= i < bottom` and columns `left <= j < right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> int:
        return self.height * self.width

    def intersects(self, other: Box) -> bool:
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def shifted(self, rows: int, columns: int) -> Box:
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def whole(size: tuple[int, int]) -> Box:
    """The box of a whole canvas of `size` (rows, columns)."""
    return Box(0, 0, size[0], size[1])


def union(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    return Box(min(a.top, b.top), min(a.left, b.left), max(a.bottom, b.bottom), max(a.right, b.right))


@dataclass(frozen=True)
class Layer:
    """One step of a network: `output` from `inputs`, all of them names of activations.

    `conv` is convolution with zero padding, bias and, where `relu`, rectification; `max` and `avg` are pooling;
    `add` is the sum of two inputs, rectified where `relu`. `avg` pooling has no padding.
    """

    kind: Literal["conv", "max", "avg", "add"]
    output: str
    inputs: tuple[str, ...]
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    relu: bool = False

    def output_size(self, size: int) -> int:
        return (size + 2 * self.padding - self.kernel) // self.stride + 1

    def reached(self, low: int, high: int, size: int) -> tuple[int, int]:
        """The outputs (of `size` in all) whose window meets the inputs `low <= i < high`."""
        first = max(0, -((low + self.padding - self.kernel + 1) // -self.stride))
        last = min(size, (high - 1 + self.padding) // self.stride + 1)
        return first, max(first, last)

    def within(self, box: Box) -> Box:
        """The outputs whose window lies in `box` as a whole; it may be empty."""
        rows, columns = (
            (-((low + self.padding) // -self.stride), (high + self.padding - self.kernel) // self.stride + 1)
            for low, high in ((box.top, box.bottom), (box.left, box.right))
        )
        return Box(rows[0], columns[0], max(rows), max(columns))

    def window(self, low: int, high: int) -> tuple[int, int]:
        """The inputs, virtual ones in the padding included, that the outputs `low <= i < high` read."""
        return low * self.stride - self.padding, (high - 1) * self.stride - self.padding + self.kernel


@dataclass(frozen=True)
class Normalisation:
    """What a network's input is made of pixels in 0..255: `(pixels / scale - shift) / spread`, per channel."""

    scale: float
    shift: tuple[float, float, float]
    spread: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __call__(self, pixels: Tensor) -> Tensor:
        factor = pixels.new_tensor([1 / (self.scale * s) for s in self.spread]).view(1, 3, 1, 1)
        offset = pixels.new_tensor([-m / s for m, s in zip(self.shift, self.spread, strict=True)])
        return torch.addcmul(offset.view(1, 3, 1, 1), pixels, factor)


IMAGENET = Normalisation(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PUBLISHED = Normalisation(1.0, (0.4488, 0.4371, 0.4040))
"""The input of the published Deep Image Blending program: RGB in 0..255, nearly unshifted and unscaled."""


class Head(NamedTuple):
    """A linear map from a small network's channels to those of the network that taught it: `weight @ f + bias`.

    weight (C_teacher, C), bias (C_teacher,).
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Network:
    """A frozen convolutional network.

    layers: in the order of evaluation; the input is named `image`.
    parameters: (weight, bias) of each convolution by its output's name.
    heads: by tap; a tap without one is measured in its own channels.
    """

    name: str
    layers: tuple[Layer, ...]
    parameters: Mapping[str, tuple[Tensor, Tensor]]
    normalisation: Normalisation
    heads: Mapping[str, Head] = field(default_factory=dict)

    def truncated(self, taps: frozenset[str] | set[str]) -> Network:
        """The same network without the layers that none of `taps` needs."""
        needed = set(taps)
        for layer in reversed(self.layers):
            if layer.output in needed:
                needed.update(layer.inputs)
        layers = tuple(layer for layer in self.layers if layer.output in needed)
        parameters = {name: value for name, value in self.parameters.items() if name in needed}
        heads = {name: head for name, head in self.heads.items() if name in taps}
        return Network(self.name, layers, parameters, self.normalisation, heads)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Network:
        """The network on `device`; convolutions in `dtype`, heads in float32 or better, channels last."""
        parameters = {
            name: (
                weight.to(device, dtype, memory_format=torch.channels_last),
                bias.to(device, dtype),
            )
            for name, (weight, bias) in self.parameters.items()
        }
        exact = torch.promote_types(dtype, torch.float32)
        heads = {name: Head(*(t.to(device, exact) for t in head)) for name, head in self.heads.items()}
        return Network(self.name, self.layers, parameters, self.normalisation, heads)

    def strides(self) -> dict[str, int]:
        """Pixels from one position to the next, by activation."""
        strides = {"image": 1}
        for layer in self.layers:
            strides[layer.output] = strides[layer.inputs[0]] * layer.stride
        return strides

    def sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """(rows, columns) of every activation for an image of `size`."""
        sizes = {"image": size}
        for layer in self.layers:
            rows, columns = sizes[layer.inputs[0]]
            sizes[layer.output] = (layer.output_size(rows), layer.output_size(columns))
        return sizes

    def reach(self) -> int:
        """Pixels from a pixel to the furthest one that shares a feature with it, up to the total stride.

        A crop with this margin around a region holds the whole receptive field of all features that meet it.
        """
        strides, margins = self.strides(), {"image": 0}
        for layer in self.layers:
            margin = max(margins[name] for name in layer.inputs)
            stride = strides[layer.inputs[0]]
            margins[layer.output] = margin + (layer.kernel - 1) * stride
        total = max(strides.values())
        return math.ceil(max(margins.values()) / total) * total + total

    def features(self, pixels: Tensor, taps: frozenset[str] | set[str]) -> dict[str, Tensor]:
        """Plain evaluation. pixels (1, 3, H, W) in 0..255 -> features (1, C, H_l, W_l) by tap."""
        return RegionFeatures(self, pixels, whole((pixels.shape[2], pixels.shape[3])), taps)(pixels)


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
        self._dtype = next(iter(self.network.parameters.values()))[0].dtype
        self._constants: dict[str, Tensor] = {}
        self._edges: dict[str, list[tuple[Box, Tensor]]] = {}
        if box != whole(size):
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
        if layer.kind == "add":
            total = self._placed(layer, 0, inputs[0]) + self._placed(layer, 1, inputs[1])
            return torch.relu_(total) if layer.relu else total
        source = self.boxes[layer.inputs[0]]
        if layer.kind == "conv":
            weight, bias = self.network.parameters[layer.output]
            pads = _pads(layer, source, out)
            if len(set(pads)) == 1 and pads[0] >= 0:
                value = F.conv2d(inputs[0], weight, bias, layer.stride, pads[0])
            else:
                value = F.conv2d(F.pad(inputs[0], pads), weight, bias, layer.stride)
            edges = self._edges.get(layer.output)
            if edges:
                value = _add_along_edges(value, edges)
            return torch.relu_(value) if layer.relu else value
        constants = self._constants.get(layer.output)
        if constants is None:
            return _pool(layer, inputs[0], layer.padding)
        return _pool(layer, F.pad(inputs[0], _pads(layer, source, out)) + constants, 0)

    def _placed(self, layer: Layer, which: int, value: Tensor) -> Tensor:
        """An input of a sum on the sum's box, its constant surroundings around it."""
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
            if layer.kind == "conv":
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
            edges.append((strip.shifted(-out.top, -out.left), F.conv2d(ring, weight, None, layer.stride)))
        return edges

    def _constant_part(
        self, layer: Layer, inputs: list[Tensor], offsets: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        out = self.boxes[layer.output]
        if layer.kind == "add":
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


def _pool(layer: Layer, value: Tensor, padding: int) -> Tensor:
    if layer.kind == "max":
        return F.max_pool2d(value, layer.kernel, layer.stride, padding)
    return F.avg_pool2d(value, layer.kernel, layer.stride, padding)


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
        inputs = [boxes[name] for name in layer.inputs]
        changed = inputs[0] if len(inputs) == 1 else union(*inputs)
        if layer.kind != "add":
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


def require_taps(network: Network, taps: frozenset[str] | set[str]) -> None:
    """Raise InputError if `network` has no activation of one of these names."""
    known = [layer.output for layer in network.layers]
    unknown = sorted(set(taps) - set(known))
    if unknown:
        named = [name for name in known if not name.startswith(".")]
        raise InputError(f"backbone {network.name} has no layer {unknown[0]!r}; it has {', '.join(named)}")
