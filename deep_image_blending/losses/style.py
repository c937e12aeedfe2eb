"""The style loss: second moments of features, Gram matrices among them (Gatys et al., 2016)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from deep_image_blending.networks.network import Head


def gram_matrix(features: Tensor) -> Tensor:
    """`F Fᵀ / (C·H·W)`, (C, C) (Gatys et al., 2016)."""
    flat = positions(features)
    return flat.T @ flat / flat.numel()


def second_moment(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted sum over positions of `[f; 1][f; 1]ᵀ`, (C+1, C+1), in float32 or better.

    Its blocks are the sum of `f fᵀ`, the sum of `f` and the sum of the weights, so moments over several regions
    are added before they are divided by their total weight, the last element.
    """
    flat = positions(features).to(torch.promote_types(features.dtype, torch.float32))
    if weights is None:
        weighted, total = flat, flat.new_tensor(float(flat.shape[0]))
    else:
        column = weights.reshape(-1, 1).to(flat.dtype)
        weighted, total = flat * column, column.sum()
    gram, mean = flat.T @ weighted, weighted.sum(0)
    top = torch.cat((gram, mean[:, None]), 1)
    return torch.cat((top, torch.cat((mean, total[None]))[None]), 0)


def project_moment(moment: Tensor, head: Head | None) -> Tensor:
    """A second moment seen through a linear head `P f + b`: `[P b; 0 1] M [P b; 0 1]ᵀ`, (C'+1, C'+1)."""
    if head is None:
        return moment
    lift = torch.cat((head.weight, head.bias[:, None]), 1)
    last = torch.zeros_like(lift[:1])
    last[0, -1] = 1
    lift = torch.cat((lift, last), 0)
    return lift @ moment @ lift.T


Statistics = Literal["gram", "covariance"]


def style_statistics(moment: Tensor, statistics: Statistics = "gram") -> Tensor:
    """What style compares, from a second moment (C+1, C+1): per unit weight and per channel.

    gram: `E[f fᵀ] / C` (C, C), Gatys et al., 2016, with the mask as spatial control.
    covariance: `Cov[f] / C` (C, C), blind to the mean feature and so to the mean colour.
    """
    normal = moment / moment[-1, -1]
    gram, mean = normal[:-1, :-1], normal[:-1, -1]
    if statistics == "covariance":
        gram = gram - torch.outer(mean, mean)
    return gram / gram.shape[0]


def style_distance(style: Tensor, target: Tensor) -> Tensor:
    """`‖G - G_T‖² / ‖G_T‖²`: 0 where alike, 1 for a blend without any texture."""
    return (style - target).square().sum() / target.square().sum()


def smooth_activations(features: Tensor, log_total: Tensor) -> Tensor:
    """Activation smoothing (SWAG; Wang et al., CVPR 2021): the softmax over a layer's channels and positions.

    Scaled by the number of elements, so that the mean over the target is 1. `log_total` is the logarithm of the
    mean of `exp(F)` over the target's layer: a constant, which keeps the smoothing of each position local.
    """
    return torch.exp(features.float() - log_total)


def log_mean_exp(features: Tensor) -> Tensor:
    """`log mean exp F` over all channels and positions, without overflow."""
    flat = features.float().flatten()
    return torch.logsumexp(flat, 0) - torch.log(flat.new_tensor(float(flat.numel())))


def positions(features: Tensor) -> Tensor:
    """(1, C, H, W) -> (H·W, C), without a copy when the memory is channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
