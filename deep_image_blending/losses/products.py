"""Sums of products over positions, whose gradients take less than autograd would.

Weights and metrics are constants: they have no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _WeightedGram(torch.autograd.Function):
    """`Fᵀ diag(w) F` and `Fᵀ w`: the first is symmetric, so that its gradient takes one product, not two."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows, weights)
        weighted = rows * weights
        return rows.T @ weighted, weighted.sum(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows, weights = ctx.saved_tensors
        gram, mean = gradients
        return torch.addmm(mean, rows, gram + gram.T).mul_(weights), None


class _WeightedForm(torch.autograd.Function):
    """`Σ wᵢ fᵢᵀ A fᵢ` of a symmetric A, whose gradient is at hand when the value is."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, metric: Tensor, weights: Tensor) -> Tensor:
        product = rows @ metric
        value = (product * rows).sum(1) @ weights
        ctx.save_for_backward(product.mul_(weights[:, None]))
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (product,) = ctx.saved_tensors
        return product * (2 * gradients[0]), None, None


def weighted_gram(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """`Fᵀ diag(w) F`, (C, C), and `Fᵀ w`, (C,), of rows F (N, C) and constant weights w (N, 1)."""
    found: tuple[Tensor, Tensor] = _WeightedGram.apply(rows, weights)  # type: ignore[no-untyped-call]
    return found


def weighted_form(rows: Tensor, metric: Tensor, weights: Tensor) -> Tensor:
    """`Σ wᵢ fᵢᵀ A fᵢ` (0-dim) of rows f (N, C), a constant symmetric metric A (C, C), constant weights w (N,)."""
    found: Tensor = _WeightedForm.apply(rows, metric, weights)  # type: ignore[no-untyped-call]
    return found
