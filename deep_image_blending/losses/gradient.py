"""The gradient loss: Laplacians of the blend against the guidance field (Zhang et al., 2020)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def laplacian(image: Tensor, border: Literal["zero", "replicate"] = "zero") -> Tensor:
    """The 4-neighbour Laplacian, centre 4, of every channel of (1, C, H, W).

    border: what lies outside. `zero` as in the published program; with `replicate` a missing neighbour counts
    as equal, so that the border of the canvas adds no edge (the natural boundary condition).
    """
    vertical = image[:, :, 1:, :] - image[:, :, :-1, :]
    horizontal = image[:, :, :, 1:] - image[:, :, :, :-1]
    result = (
        F.pad(vertical, (0, 0, 1, 0))
        - F.pad(vertical, (0, 0, 0, 1))
        + F.pad(horizontal, (1, 0, 0, 0))
        - F.pad(horizontal, (0, 1, 0, 0))
    )
    if border == "replicate":
        return result
    height, width = image.shape[2:]
    outside = image.new_zeros(height, width)
    outside[0, :] += 1
    outside[-1, :] += 1
    outside[:, 0] += 1
    outside[:, -1] += 1
    return result + image * outside


def gradient_loss(blend_laplacian: Tensor, guidance: Tensor, energy: Tensor | float | None = None) -> Tensor:
    """Squared difference between the blend's Laplacian and the guidance field `∇²S·M + ∇²T·(1-M)`.

    The mean over all elements (Zhang et al., 2020), or the sum over `energy`, the guidance's own energy.
    """
    difference = (blend_laplacian - guidance).square()
    return difference.mean() if energy is None else difference.sum() / energy
