"""The histogram loss: features against their histogram-matched selves (Wilmot et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor


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
