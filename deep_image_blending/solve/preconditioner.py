"""A Sobolev preconditioner: the solver sees the pixels at the scale at which the gradient loss weighs them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from deep_image_blending.solve.pixels import Pixels


def sobolev_preconditioner(pixels: Pixels, cutoff: float) -> Callable[[Tensor], Tensor]:
    """The operator `(I + (λ/cutoff)²)⁻¹` on the optimised pixels, flat (3·n,), with λ the Laplacian's eigenvalues.

    The gradient loss is quadratic with Hessian ∝ ∇⁴, whose eigenvalues λ² span many orders: plain L-BFGS spends
    its evaluations on learning that. The operator is diagonal in the sine basis of the optimised pixels' bounding
    box, symmetric and positive definite.
    """
    height, width = pixels.base.shape[2:]
    if pixels.index is None:
        rows = columns = None
        top, left, box = 0, 0, (height, width)
    else:
        rows, columns = pixels.index // width, pixels.index % width
        top, left = int(rows.min()), int(columns.min())
        box = (int(rows.max()) - top + 1, int(columns.max()) - left + 1)
    size = (_smooth(box[0] + 1) - 1, _smooth(box[1] + 1) - 1)
    device, dtype = pixels.base.device, pixels.base.dtype

    def eigenvalues(count: int) -> Tensor:
        order = torch.arange(1, count + 1, device=device, dtype=dtype)
        return 2 - 2 * torch.cos(math.pi * order / (count + 1))

    spectrum = eigenvalues(size[0])[:, None] + eigenvalues(size[1])[None]
    # Two sine transforms scale by 2(n+1) an axis.
    scale = 1 / ((1 + (spectrum / cutoff).square()) * (4 * (size[0] + 1) * (size[1] + 1)))
    place = None
    if rows is not None and columns is not None:
        place = (rows - top) * size[1] + (columns - left)

    def apply(vector: Tensor) -> Tensor:
        grid = vector.new_zeros(3, size[0], size[1])
        if place is None:
            grid[:, : box[0], : box[1]] = vector.view(3, *box)
        else:
            grid.view(3, -1).index_copy_(1, place, vector.view(3, -1))
        spectral = sine_transform(sine_transform(grid).transpose(1, 2)).transpose(1, 2)
        back = sine_transform(sine_transform(spectral * scale).transpose(1, 2)).transpose(1, 2)
        if place is None:
            return back[:, : box[0], : box[1]].reshape(-1)
        return back.reshape(3, -1).index_select(1, place).reshape(-1)

    return apply


def sine_transform(values: Tensor) -> Tensor:
    """DST-I along the last axis: `2 Σ_j x_j sin(π (j+1)(k+1) / (n+1))`."""
    count = values.shape[-1]
    odd = values.new_zeros(*values.shape[:-1], 2 * (count + 1))
    odd[..., 1 : count + 1] = values
    odd[..., count + 2 :] = -values.flip(-1)
    spectrum: Tensor = torch.fft.rfft(odd)
    return -spectrum.imag[..., 1 : count + 1]


def _smooth(number: int) -> int:
    """The least number not below `number` whose prime factors are 2, 3 and 5: fast to transform."""
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 1
