"""The style loss: second moments of features, Gram matrices among them (Gatys et al., 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.features import positions, rows_of
from deep_image_blending.losses.term import Context, Parts

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.network import Head


def gram_matrix(features: Tensor) -> Tensor:
    """`F Fᵀ / (C·H·W)`, (C, C) (Gatys et al., 2016).

    >>> import torch
    >>> gram_matrix(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)).tolist()
    [[0.5, 1.0], [1.0, 2.0]]
    """
    flat = positions(features)
    return flat.T @ flat / flat.numel()


def second_moment(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted sum over positions of `[f; 1][f; 1]ᵀ`, (C+1, C+1), in float32 or better.

    Its blocks are the sum of `f fᵀ`, the sum of `f` and the sum of the weights, so moments over several regions
    are added before they are divided by their total weight, the last element.
    """
    import torch

    from deep_image_blending.losses.by_hand import weighted_gram

    flat = rows_of(features)
    if weights is None:
        gram, mean, total = flat.T @ flat, flat.sum(0), flat.new_tensor(float(flat.shape[0]))
    else:
        column = weights.reshape(-1, 1).to(flat.dtype)
        (gram, mean), total = weighted_gram(flat, column), column.sum()
    top = torch.cat((gram, mean[:, None]), 1)
    return torch.cat((top, torch.cat((mean, total[None]))[None]), 0)


def project_moment(moment: Tensor, head: Head | None) -> Tensor:
    """A second moment seen through a linear head `P f + b`: `[P b; 0 1] M [P b; 0 1]ᵀ`, (C'+1, C'+1)."""
    import torch

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
    import torch

    normal = moment / moment[-1, -1]
    gram, mean = normal[:-1, :-1], normal[:-1, -1]
    if statistics == "covariance":
        gram = gram - torch.outer(mean, mean)
    return gram / gram.shape[0]


def style_distance(style: Tensor, target: Tensor) -> Tensor:
    """`‖G - G_T‖² / ‖G_T‖²`: 0 where alike, 1 for a blend without any texture.

    >>> import torch
    >>> target = torch.eye(2)
    >>> float(style_distance(target, target)), float(style_distance(0 * target, target))
    (0.0, 1.0)
    """
    return (style - target).square().sum() / target.square().sum()


def smooth_activations(features: Tensor, log_total: Tensor) -> Tensor:
    """Activation smoothing (SWAG; Wang et al., CVPR 2021): the softmax over a layer's channels and positions.

    Scaled by the number of elements, so that the mean over the target is 1. `log_total` is the logarithm of the
    mean of `exp(F)` over the target's layer: a constant, which keeps the smoothing of each position local.
    """
    import torch

    return torch.exp(features.float() - log_total)


def log_mean_exp(features: Tensor) -> Tensor:
    """`log mean exp F` over all channels and positions, without overflow."""
    import torch

    flat = features.float().flatten()
    return torch.logsumexp(flat, 0) - torch.log(flat.new_tensor(float(flat.numel())))


class StyleTerm:
    """The style loss inside the mask, mean over the style layers, each relative to the target's energy."""

    def __init__(self, context: Context) -> None:
        self.weight, self.taps, self.regions = context.weight("style"), context.style_taps, context.regions
        self.heads, self.comparing = context.network.heads, context.options.statistics
        self.log_totals = context.statistics.log_totals
        self.target = {
            tap: style_statistics(
                project_moment(context.statistics.moments[tap], self.heads.get(tap)), self.comparing
            )
            for tap in self.taps
        }

    def of_region(self, index: int, features: Parts) -> Parts:
        weights = self.regions[index].style_weights
        return {tap: second_moment(self._smoothed(tap, features[tap]), weights[tap]) for tap in self.taps}

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        import torch

        distances = []
        for tap in self.taps:
            moment = torch.stack([part[tap] for part in parts]).sum(0)
            moment = project_moment(moment, self.heads.get(tap))
            distances.append(style_distance(style_statistics(moment, self.comparing), self.target[tap]))
        return self.weight * torch.stack(distances).mean()

    def _smoothed(self, tap: str, features: Tensor) -> Tensor:
        if tap not in self.log_totals:
            return features
        return smooth_activations(features, self.log_totals[tap])


LOSS = Loss(
    name="style",
    order=2,
    help="Weight of style: how strongly the object takes on the target's texture.",
    colour="#d9480f",
    taps="style",
    term=StyleTerm,
    copies=1,
    common=True,
)
