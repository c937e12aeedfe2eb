"""Features (1, C, H, W) as rows, one a position."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def positions(features: Tensor) -> Tensor:
    """(1, C, H, W) -> (H·W, C), without a copy when the memory is channels-last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def wide(values: Tensor) -> Tensor:
    """In float32 or better."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))


def rows_of(features: Tensor) -> Tensor:
    """(1, C, H, W) -> (H·W, C) in float32 or better."""
    return wide(positions(features))
