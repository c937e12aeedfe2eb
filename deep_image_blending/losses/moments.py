"""The moments loss: means and spreads of features against the painting's (Huang and Belongie, 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.network import Head


def mean_and_covariance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and covariance (C, C) of rows (N, C), one a position."""
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.T @ centred / rows.shape[0]


def relative_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """`|a - b|² / |b|²`."""
    squares: Tensor = (ours - theirs).square().sum() / theirs.square().sum().clamp_min(1e-12)
    return squares


def moments_loss(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor], head: Head | None) -> Tensor:
    """Relative distances of means and of standard deviations, summed.

    ours, theirs: mean (C,) and covariance (C, C). With a head they are those of the channels that it maps to.
    """
    (mean, deviation), (goal, goal_deviation) = _seen(*ours, head), _seen(*theirs, head)
    return relative_distance(mean, goal) + relative_distance(deviation, goal_deviation)


def _seen(mean: Tensor, covariance: Tensor, head: Head | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviations (C',) seen through a head."""
    variance = covariance.diagonal()
    if head is not None:
        mean, variance = head.weight @ mean + head.bias, ((head.weight @ covariance) * head.weight).sum(1)
    return mean, (variance.clamp(min=0) + 1e-4).sqrt()


LOSS = Loss(
    name="moments",
    order=7,
    help="Weight of moments: how closely features' means and spreads follow the painting's.",
    colour="#f08c00",
    scope="second",
    taps="style",
    objectives=("painted",),
    copies=1,
)
