"""Colour held at the scale of patches: the low-pass that it is measured by."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian of (1, C, H, W), sigma in pixels, cut at 3 sigma, zeros outside."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    rows = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    blurred = F.conv2d(image, rows, padding=(radius, 0), groups=channels)
    return F.conv2d(blurred, columns, padding=(0, radius), groups=channels)
