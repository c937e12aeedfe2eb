"""What style and histogram compare with, computed from the target."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.declaration import options_of
from deep_image_blending.losses.term import TargetStatistics
from deep_image_blending.networks.mask_regions import resample
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.objectives.schedule import scale_within
from deep_image_blending.objectives.taps import taps_of
from deep_image_blending.objectives.target_style import (
    log_totals,
    pooled,
    recoloured,
    recolouring,
    similarity,
    sorted_values,
    target_moments,
)
from deep_image_blending.options.pass_options import PassOptions
from deep_image_blending.pictures import Float, as_float
from deep_image_blending.pictures.scene import Scene, Window, averaged
from deep_image_blending.pictures.tensors import image_tensor, plane_tensor

MOST_COMPARED = 1_500_000
"""Pixels of a window beyond which its parts are compared with the object at half the size, or less."""


def statistics_of(setting: Setting, own: Float) -> TargetStatistics:
    """What a setting's losses compare with. own: (h, w, 3), 0..255, the picture that the object's colours are
    of."""
    options, window = setting.options, setting.window
    deciding = tuple(getattr(options, name) for name, one in options_of(PassOptions).items() if one.of_target)
    begun = digest(setting.begun) if options.style_from == "similar" else ""
    colours = digest(own) if options.palette < 1 else ""
    weighed = tuple(options.weights[name] > 0 for name in options.weights)
    key = ("statistics", deciding, weighed, window.scale, window.mask.shape, begun, colours)
    found: TargetStatistics = setting.prepared.once(key, lambda: target_statistics(setting, own))
    return found


def target_statistics(setting: Setting, own: Float) -> TargetStatistics:
    """The same, computed. The target's parts are compared with what the resolution begins with."""
    options, window, network, device = setting.options, setting.window, setting.network, setting.device
    scene, style_taps = setting.scene, taps_of(options)[0]
    target, mask = image_tensor(window.target, device), plane_tensor(window.mask, device)
    wide = options.style_from == "whole" and options.weights["style"] > 0
    area = whole_target(scene, window, device) if wide else target
    weights: dict[str, Tensor] | None = None
    full: Tensor | None = None
    if options.weights["style"] and options.style_from == "similar":
        full = _resembling(setting, style_taps[-1])
        sizes, strides = network.sizes((target.shape[2], target.shape[3])), network.strides()
        weights = {tap: resample(full, strides[tap], sizes[tap]) for tap in style_taps}
    if options.palette < 1:
        colours = recolouring(area, full, image_tensor(own, device), mask, options.palette)
        area, target = recoloured(area, colours), recoloured(target, colours)
    totals: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    if options.weights["style"]:
        if options.smoothing and network.name == "resnet50":
            totals = log_totals(network, area, style_taps)
        moments = target_moments(
            network,
            area,
            style_taps,
            weights,
            (lambda tap, found: losses.smooth_activations(found, totals[tap])) if totals else None,
        )
    histogram = sorted_values(network, target, style_taps) if options.weights["histogram"] else {}
    return TargetStatistics(moments, totals, histogram)


def _resembling(setting: Setting, tap: str) -> Tensor:
    """How much each pixel of the window's target resembles the object, (1, 1, h, w), mean 1."""
    network, mask = setting.network, setting.window.mask
    factor = scale_within(mask.size, MOST_COMPARED)
    scale = factor * setting.window.scale
    # As the coarser resolution has it, which has looked at it already, if there was one.
    coarser = scale // setting.fine.scale
    begun = setting.begun if factor == 1 else averaged(setting.full, coarser)

    def compared() -> Tensor:
        window = setting.window if factor == 1 else setting.fine.coarser(coarser)
        target, mask = image_tensor(window.target, setting.device), plane_tensor(window.mask, setting.device)
        # Both passes see the same of the target.
        place = (window.top, window.left, window.scale, window.mask.shape)
        key = ("pooled", network.name, network.normalisation, tap, place)
        seen = setting.prepared.once(key, lambda: pooled(network, target, tap))
        shown = target + mask * (image_tensor(begun, setting.device) - target)
        return similarity(network, seen, shown, mask, tap)

    key = (network.name, network.normalisation, tap, scale, digest(begun))
    found: Tensor = setting.prepared.latest("resembling", key, compared)
    return found if factor == 1 else F.interpolate(found, size=mask.shape, mode="bilinear", align_corners=False)


def whole_target(scene: Scene, window: Window, device: torch.device) -> Tensor:
    """The whole target at the window's scale."""
    pixels = averaged(as_float(scene.target.pixels), window.scale)
    # As it lies in memory: it is seen tile by tile.
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)


def digest(picture: Float) -> str:
    """SHA-256 of a picture's numbers."""
    return hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest()
