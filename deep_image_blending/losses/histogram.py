"""The histogram loss: features against their histogram-matched selves (Wilmot et al., 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.features import rows_of
from deep_image_blending.losses.term import Context, Parts

if TYPE_CHECKING:
    from torch import Tensor


def match_histogram(features: Tensor, sorted_target: Tensor) -> Tensor:
    """Every channel of `features` (N, C) remapped so that its values have the target's distribution.

    sorted_target: (K, C), each channel in ascending order. Ranks map to quantiles, linearly interpolated; order
    is kept. All channels at once (Wilmot et al., 2017, do it with cumulative histograms).

    >>> import torch
    >>> features, target = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([[10.0], [20.0], [30.0]])
    >>> match_histogram(features, target).flatten().tolist()
    [30.0, 10.0, 20.0]
    """
    import torch

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


class HistogramTerm:
    """The histogram loss inside the mask, mean over the style layers, each relative to the target's energy."""

    def __init__(self, context: Context) -> None:
        self.weight, self.taps, self.regions = context.weight("histogram"), context.style_taps, context.regions
        self.nothing = context.area * 0
        self.sorted_targets = context.statistics.sorted_values
        self.energy = {tap: values.square().mean().clamp_min(1e-12) for tap, values in self.sorted_targets.items()}

    def of_region(self, index: int, features: Parts) -> Parts:
        weights = self.regions[index].style_weights
        return {tap: rows_of(features[tap])[weights[tap].flatten() > 0.5] for tap in self.taps}

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        import torch

        distances = []
        for tap in self.taps:
            values = torch.cat([part[tap] for part in parts])
            if values.shape[0]:
                distances.append(histogram_loss(values, self.sorted_targets[tap], self.energy[tap]))
        return self.weight * (torch.stack(distances).mean() if distances else self.nothing)


LOSS = Loss(
    name="histogram",
    weight="hist_weight",
    order=4,
    help="Weight of the histogram loss: how closely every feature's values spread as the target's do.",
    colour="#9c36b5",
    taps="style",
    term=HistogramTerm,
)
