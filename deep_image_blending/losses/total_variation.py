"""Total variation: neighbouring pixels against each other."""

from __future__ import annotations

from torch import Tensor


def total_variation(image: Tensor) -> Tensor:
    """Sum of the absolute differences of horizontal and of vertical neighbours (Zhang et al., 2020)."""
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).abs().sum()
    return horizontal + (image[:, :, 1:, :] - image[:, :, :-1, :]).abs().sum()
