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
    its evaluations on learning that. The operator is diagonal in the Fourier basis of the optimised pixels'
    bounding box, widened by zeros so that opposite edges don't see each other; symmetric and positive definite.
    """
    height, width = pixels.base.shape[2:]
    if pixels.index is None:
        place, box = None, (height, width)
    else:
        rows, columns = pixels.index // width, pixels.index % width
        top, left = int(rows.min()), int(columns.min())
        box = (int(rows.max()) - top + 1, int(columns.max()) - left + 1)
    size = widened(box, cutoff)
    if pixels.index is not None:
        place = (rows - top) * size[1] + (columns - left)
    device, dtype = pixels.base.device, pixels.base.dtype

    def eigenvalues(count: int, kept: int) -> Tensor:
        order = torch.arange(kept, device=device, dtype=dtype)
        return 2 - 2 * torch.cos(2 * math.pi * order / count)

    spectrum = eigenvalues(size[0], size[0])[:, None] + eigenvalues(size[1], size[1] // 2 + 1)[None]
    scale = 1 / (1 + (spectrum / cutoff).square())

    def smoothed(channel: Tensor) -> Tensor:
        """One colour of the pixels, (n,)."""
        grid = channel.new_zeros(size)
        if place is None:
            grid[: box[0], : box[1]] = channel.view(box)
        else:
            grid.view(-1).index_copy_(0, place, channel)
        back: Tensor = torch.fft.irfft2(torch.fft.rfft2(grid).mul_(scale), s=size)
        return back[: box[0], : box[1]].reshape(-1) if place is None else back.view(-1).index_select(0, place)

    def apply(vector: Tensor) -> Tensor:
        # A colour at a time: transforms hold several of what they are given.
        return torch.cat([smoothed(channel) for channel in vector.view(3, -1)])

    return apply


def widened(box: tuple[int, int], cutoff: float) -> tuple[int, int]:
    """The box's sides with zeros beyond: as far as the operator reaches, to a length that is fast to transform."""
    reach = math.ceil(8 / math.sqrt(cutoff))
    rows, columns = (_smooth(side + min(side, reach)) for side in box)
    return rows, columns


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
