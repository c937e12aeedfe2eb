"""Feature networks as lists of layers.

A layer reads and writes named activations, so that one description serves three uses: its receptive field, its
plain evaluation, and its exact evaluation on a region.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from deep_image_blending.errors import InputError
from deep_image_blending.networks.box import Box, whole


@dataclass(frozen=True)
class Layer:
    """One step of a network: `output` from `inputs`, all of them names of activations.

    `conv` is convolution with zero padding and bias, in `groups` of channels; `max` and `avg` are pooling; `add`
    is the sum of two inputs, `concat` puts the channels of its inputs one after another. `relu`: a convolution or
    a sum is rectified. `ceil`: a maximum whose window begins in the picture counts though it ends beyond.
    `avg` pooling has no padding.
    """

    kind: Literal["conv", "max", "avg", "add", "concat"]
    output: str
    inputs: tuple[str, ...]
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    relu: bool = False
    groups: int = 1
    ceil: bool = False

    def output_size(self, size: int) -> int:
        """Positions along one side of the output for `size` along the input's; 0 or less where it is too small."""
        if not self.ceil:
            return (size + 2 * self.padding - self.kernel) // self.stride + 1
        positions = -((size + 2 * self.padding - self.kernel) // -self.stride) + 1
        return min(positions, (size + self.padding - 1) // self.stride + 1)

    def reached(self, low: int, high: int, size: int) -> tuple[int, int]:
        """The outputs (of `size` in all) whose window meets the inputs `low <= i < high`."""
        if low >= high:
            return (min(size, low // self.stride),) * 2
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
    parameters: (weight, bias) of each convolution by its output's name: (C, C_in / groups, k, k) and (C,).
    heads: by tap; a tap without one is measured in its own channels.
    Activations whose name begins with a dot are the network's own business, and no taps.
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

    def with_parameters(self, parameters: Mapping[str, tuple[Tensor, Tensor]]) -> Network:
        """The same layers with other weights."""
        return replace(self, parameters=parameters)

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

    def named(self) -> tuple[str, ...]:
        """The activations that can be asked for, from the shallowest."""
        return tuple(layer.output for layer in self.layers if not layer.output.startswith("."))

    def channels(self) -> dict[str, int]:
        """Channels of every activation."""
        channels = {"image": 3}
        for layer in self.layers:
            if layer.kind == "conv":
                channels[layer.output] = self.parameters[layer.output][0].shape[0]
            elif layer.kind == "concat":
                channels[layer.output] = sum(channels[name] for name in layer.inputs)
            else:
                channels[layer.output] = channels[layer.inputs[0]]
        return channels

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
        from deep_image_blending.networks.region import RegionFeatures

        return RegionFeatures(self, pixels, whole((pixels.shape[2], pixels.shape[3])), taps)(pixels)


def require_taps(network: Network, taps: frozenset[str] | set[str]) -> None:
    """Raise InputError if `network` has no activation of one of these names."""
    named = network.named()
    for tap in sorted(taps):
        if tap not in named:
            raise InputError(f"backbone {network.name} has no layer {tap!r}; it has {', '.join(named)}")
