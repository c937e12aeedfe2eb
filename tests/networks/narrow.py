"""Backbones with a fraction of their channels and random weights, so that whole canvases stay cheap."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from deep_image_blending.networks.backbone import Pretrained
from deep_image_blending.networks.backbones import BACKBONES, DECLARED
from deep_image_blending.networks.embedded import architecture
from deep_image_blending.networks.network import IMAGENET, Layer, Network
from deep_image_blending.networks.tracing import classifier, skeleton, trace

_LARGE = (
    *("resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *(f"regnet_x_{size}" for size in ("1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
)
"""Deep or wide relatives of backbones that the default tests cover."""


def every_backbone() -> list[Any]:
    """The names of all backbones as parameters of a test, the largest marked slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in _LARGE else name for name in BACKBONES]


def narrow(name: str, taps: set[str] | None = None, share: int = 8) -> Network:
    """The layers of a backbone, up to `taps` or all, with one in `share` of its channels, in float64."""
    torch.manual_seed(0)
    declared = DECLARED[name]
    if isinstance(declared, Pretrained):
        everything, _ = skeleton(name, declared.taps, frozenset(taps or deepest(name)))
        layers, widths = everything.layers, everything.channels()
    else:
        layers = architecture.layers()
        widths = dict.fromkeys((layer.output for layer in layers), 4 * share)
    narrowed: list[Layer] = []
    parameters, channels = {}, {"image": 3}
    for layer in layers:
        every = [channels[one] for one in layer.inputs]
        incoming = sum(every) if layer.kind == "concat" else every[0]
        channels[layer.output] = incoming
        if layer.kind == "conv":
            width = channels[layer.output] = max(1, widths[layer.output] // share)
            groups = math.gcd(layer.groups, incoming, width)
            layer = replace(layer, groups=groups)
            shape = (width, incoming // groups, layer.kernel, layer.kernel)
            weight = torch.randn(shape) * (2 / math.prod(shape[1:])) ** 0.5
            parameters[layer.output] = (weight, 0.1 * torch.randn(width))
        narrowed.append(layer)
    return Network(name, tuple(narrowed), parameters, IMAGENET).to(torch.device("cpu"), torch.float64)


def deepest(name: str) -> set[str]:
    """The last named activation of a backbone of torchvision."""
    steps = trace(classifier(name))
    declared = DECLARED[name]
    assert isinstance(declared, Pretrained)
    return {[tap for tap in declared.taps(steps) if tap is not None][-1]}
