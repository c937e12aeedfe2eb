"""The covariance loss: Gram matrices of centred features against the painting's (Gatys et al., 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.moments import relative_distance

if TYPE_CHECKING:
    from torch import Tensor


def covariance_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """`|K - K_T|² / |K_T|²` of covariances (C, C)."""
    return relative_distance(ours, theirs)


LOSS = Loss(
    name="covariance",
    order=8,
    help="Weight of covariance: how closely features vary together as in the painting.",
    colour="#d6336c",
    scope="second",
    taps="style",
    objectives=("painted",),
)
