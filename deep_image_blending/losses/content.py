"""The content loss: features of the object against a reference (Gatys et al., 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.networks.network import Head


def content_loss(features: Tensor, reference: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared difference of features (Gatys et al., 2016), or weighted and over the reference's energy."""
    difference = (features - reference).square()
    if weights is None:
        return difference.mean()
    return (difference * weights).sum() / (reference.square() * weights).sum().clamp_min(1e-12)


def apply_head(features: Tensor, head: Head | None) -> Tensor:
    """Features (1, C, H, W) in the channels of the network that taught them."""
    if head is None:
        return features
    wide = features.to(head.weight.dtype)
    return F.conv2d(wide, head.weight[:, :, None, None], head.bias)
