"""What losses are made of, with gradients by hand: they take less time and memory than autograd's.

Only the rows and the image have a gradient; weights, metrics, masks and guidance are constants.
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


class _SquaredLaplacian(torch.autograd.Function):
    """`Σ (m ∇²B - V)²`; the Laplacian is symmetric, so that the gradient is one of the residual."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, inside: Tensor, guidance: Tensor) -> Tensor:
        residual = _laplacian(image).mul_(inside).sub_(guidance)
        ctx.save_for_backward(residual)
        return residual.square().sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (residual,) = ctx.saved_tensors
        return _laplacian(residual).mul_(2 * gradients[0]), None, None


class _Variation(torch.autograd.Function):
    """The sum of absolute differences of neighbours."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        ctx.save_for_backward(image)
        return torch.stack([image.diff(dim=axis).abs_().sum() for axis in (2, 3)]).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (image,) = ctx.saved_tensors
        found = torch.zeros_like(image)
        for axis in (2, 3):
            _spread(found, image.diff(dim=axis).sign_(), axis)
        return found.mul_(gradients[0])


class _Chroma(torch.autograd.Function):
    """`Σ m |d - mean d|²`. Taking the mean away twice is the same as once, so that the gradient has it at hand."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(image, weights)
        return (image - image.mean(1, keepdim=True)).square_().mul_(weights).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        image, weights = ctx.saved_tensors
        return (image - image.mean(1, keepdim=True)).mul_(weights).mul_(2 * gradients[0]), None


def _laplacian(image: Tensor) -> Tensor:
    """Centre positive; a missing neighbour counts as equal."""
    found = torch.zeros_like(image)
    for axis in (2, 3):
        _spread(found, image.diff(dim=axis), axis)
    return found


def _spread(found: Tensor, differences: Tensor, axis: int) -> None:
    """Add differences of neighbours to the second of each, and take them from the first."""
    count = differences.shape[axis]
    found.narrow(axis, 1, count).add_(differences)
    found.narrow(axis, 0, count).sub_(differences)


def squared_laplacian(image: Tensor, inside: Tensor, guidance: Tensor) -> Tensor:
    """`Σ (m ∇²B - V)²` (0-dim) of an image B (1, C, H, W), a missing neighbour counting as equal.

    inside: m (1, 1, H, W), of zeros and ones. guidance: V (1, C, H, W), 0 where m is.
    """
    found: Tensor = _SquaredLaplacian.apply(image, inside, guidance)  # type: ignore[no-untyped-call]
    return found


def chroma(image: Tensor, weights: Tensor) -> Tensor:
    """`Σ m |d - mean d|²` (0-dim) of d (1, C, H, W), its mean over channels taken away, m (1, 1, H, W)."""
    found: Tensor = _Chroma.apply(image, weights)  # type: ignore[no-untyped-call]
    return found


def variation(image: Tensor) -> Tensor:
    """The sum of absolute differences of horizontal and vertical neighbours (0-dim) of (1, C, H, W)."""
    found: Tensor = _Variation.apply(image)  # type: ignore[no-untyped-call]
    return found
