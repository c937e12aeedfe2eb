"""The losses, as pure functions of tensors.

Pixels are (1, 3, H, W) in 0..255, features (1, C, H, W), weights of positions (1, 1, H, W) and not negative.
Every function is differentiable in its first argument.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.features import Head


def laplacian(image: Tensor, border: Literal["zero", "replicate"] = "zero") -> Tensor:
    """The 4-neighbour Laplacian, centre 4, of every channel of (1, C, H, W).

    border: what lies outside. `zero` as in the published program; with `replicate` a missing neighbour counts
    as equal, so that the border of the canvas adds no edge (the natural boundary condition).
    """
    vertical = image[:, :, 1:, :] - image[:, :, :-1, :]
    horizontal = image[:, :, :, 1:] - image[:, :, :, :-1]
    result = (
        F.pad(vertical, (0, 0, 1, 0))
        - F.pad(vertical, (0, 0, 0, 1))
        + F.pad(horizontal, (1, 0, 0, 0))
        - F.pad(horizontal, (0, 1, 0, 0))
    )
    if border == "replicate":
        return result
    height, width = image.shape[2:]
    outside = image.new_zeros(height, width)
    outside[0, :] += 1
    outside[-1, :] += 1
    outside[:, 0] += 1
    outside[:, -1] += 1
    return result + image * outside


def gradient_loss(blend_laplacian: Tensor, guidance: Tensor, energy: Tensor | float | None = None) -> Tensor:
    """Squared difference between the blend's Laplacian and the guidance field `∇²S·M + ∇²T·(1-M)`.

    The mean over all elements (Zhang et al., 2020), or the sum over `energy`, the guidance's own energy.
    """
    difference = (blend_laplacian - guidance).square()
    return difference.mean() if energy is None else difference.sum() / energy


def gram_matrix(features: Tensor) -> Tensor:
    """`F Fᵀ / (C·H·W)`, (C, C) (Gatys et al., 2016)."""
    flat = _flat(features)
    return flat.T @ flat / flat.numel()


def second_moment(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted sum over positions of `[f; 1][f; 1]ᵀ`, (C+1, C+1), in float32 or better.

    Its blocks are the sum of `f fᵀ`, the sum of `f` and the sum of the weights, so moments over several regions
    are added before they are divided by their total weight, the last element.
    """
    flat = _flat(features).to(torch.promote_types(features.dtype, torch.float32))
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


def match_histogram(features: Tensor, sorted_target: Tensor) -> Tensor:
    """Every channel of `features` (N, C) remapped so that its values have the target's distribution.

    sorted_target: (K, C), each channel in ascending order. Ranks map to quantiles, linearly interpolated; order
    is kept. All channels at once (Wilmot et al., 2017, do it with cumulative histograms).
    """
    count, known = features.shape[0], sorted_target.shape[0]
    order = torch.argsort(features, dim=0)
    position = (torch.arange(count, device=features.device, dtype=features.dtype) + 0.5) * known / count - 0.5
    position = position.clamp(0, known - 1)
    low = position.floor().long()
    fraction = (position - low).unsqueeze(1)
    quantiles = torch.lerp(sorted_target[low], sorted_target[(low + 1).clamp_max(known - 1)], fraction)
    return torch.empty_like(features).scatter_(0, order, quantiles)


def histogram_loss(features: Tensor, sorted_target: Tensor, energy: Tensor | float | None = None) -> Tensor:
    """`mean (F - R(F))²` with R(F) the histogram-matched features, held constant (Wilmot et al., 2017, eq. 8).

    features (N, C), sorted_target (K, C). With `energy`, the mean squared value of the target's features, the
    mean is divided by it.
    """
    matched = match_histogram(features.detach(), sorted_target)
    loss = (features - matched).square().mean()
    return loss if energy is None else loss / energy


def total_variation(image: Tensor) -> Tensor:
    """Sum of the absolute differences of horizontal and of vertical neighbours (Zhang et al., 2020)."""
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).abs().sum()
    return horizontal + (image[:, :, 1:, :] - image[:, :, :-1, :]).abs().sum()


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


def _flat(features: Tensor) -> Tensor:
    """(1, C, H, W) -> (H·W, C), without a copy when the memory is channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
