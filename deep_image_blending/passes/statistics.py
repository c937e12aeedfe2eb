"""What style and histogram compare with, computed from the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.networks.network import Network
from deep_image_blending.objectives.regions import resample
from deep_image_blending.objectives.target_style import (
    log_totals,
    recoloured,
    recolouring,
    similarity,
    sorted_values,
    target_moments,
)
from deep_image_blending.options.options import PassOptions
from deep_image_blending.passes.start import digest
from deep_image_blending.pictures import Float, Scene, Window, as_float, averaged
from deep_image_blending.pictures.tensors import image_tensor, plane_tensor


@dataclass(frozen=True)
class TargetStatistics:
    """What style and histogram compare with: by layer, moments, log totals (ResNet's smoothing), sorted values."""

    moments: dict[str, Tensor]
    log_totals: dict[str, Tensor]
    sorted_values: dict[str, Tensor] | None


def statistics_key(
    window: Window, options: PassOptions, taps: Sequence[str], begun: Float, own: Float
) -> tuple[object, ...]:
    """All that a scene's target statistics depend on."""
    start = digest(begun) if options.style_from == "similar" else ""
    colours = digest(own) if options.palette < 1 else ""
    asked = (options.backbone, tuple(taps), options.style_from, options.palette, options.smoothing)
    return (
        *asked,
        options.weights.style > 0,
        options.weights.histogram > 0,
        window.scale,
        window.mask.shape,
        start,
        colours,
    )


def target_statistics(
    scene: Scene,
    window: Window,
    options: PassOptions,
    network: Network,
    style_taps: tuple[str, ...],
    begun: Float,
    own: Float,
    device: torch.device,
) -> TargetStatistics:
    """begun: where the pass starts, which the target's parts are compared with. own: the object's colours."""
    target, mask = image_tensor(window.target, device), plane_tensor(window.mask, device)
    wide = options.style_from == "whole" and options.weights.style > 0
    area = whole_target(scene, window, device) if wide else target
    weights: dict[str, Tensor] | None = None
    full: Tensor | None = None
    if options.weights.style and options.style_from == "similar":
        shown = target + mask * (image_tensor(begun, device) - target)
        full = similarity(network, target, shown, mask, style_taps[-1])
        sizes, strides = network.sizes((target.shape[2], target.shape[3])), network.strides()
        weights = {tap: resample(full, strides[tap], sizes[tap]) for tap in style_taps}
    if options.palette < 1:
        colours = recolouring(area, full, image_tensor(own, device), mask, options.palette)
        area, target = recoloured(area, colours), recoloured(target, colours)
    totals: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    if options.weights.style:
        if options.smoothing and network.name == "resnet50":
            totals = log_totals(network, area, style_taps)
        moments = target_moments(
            network,
            area,
            style_taps,
            weights,
            (lambda tap, found: losses.smooth_activations(found, totals[tap])) if totals else None,
        )
    histogram = sorted_values(network, target, style_taps) if options.weights.histogram else None
    return TargetStatistics(moments, totals, histogram)


def whole_target(scene: Scene, window: Window, device: torch.device) -> Tensor:
    """The whole target at the window's scale."""
    pixels = averaged(as_float(scene.target.pixels), window.scale)
    # As it lies in memory: it is seen tile by tile.
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)
