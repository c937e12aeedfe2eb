"""The gradient loss: Laplacians of the blend against the guidance field (Zhang et al., 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.term import Context, Parts

if TYPE_CHECKING:
    from torch import Tensor


def laplacian(image: Tensor, border: Literal["zero", "replicate"] = "zero") -> Tensor:
    """The 4-neighbour Laplacian, centre 4, of every channel of (1, C, H, W).

    border: what lies outside. `zero` as in the published program; with `replicate` a missing neighbour counts
    as equal, so that the border of the canvas adds no edge (the natural boundary condition).

    >>> import torch
    >>> point = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    >>> laplacian(point[None, None])[0, 0].tolist()
    [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
    """
    from torch.nn import functional as F

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


def gradient_loss(blend_laplacian: Tensor, guidance: Tensor) -> Tensor:
    """Mean squared difference of the blend's Laplacian and the guidance field `∇²S·M + ∇²T·(1-M)` (Zhang et al.,
    2020).

    >>> import torch
    >>> float(gradient_loss(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)))
    1.0
    """
    return (blend_laplacian - guidance).square().mean()


class GradientTerm:
    """The gradient loss inside the mask, relative to the guidance field's energy.

    Outside the mask the target's Laplacian holds what lies under the object, and would draw it into the rim.
    """

    def __init__(self, context: Context) -> None:
        self.weight = context.weight("gradient")
        wanted = (context.reference, context.mask, context.target)
        source, mask, target = (context.framed(image) for image in wanted)
        # The frame's own edge rows are constant, except where they are the canvas's.
        guidance = laplacian(source, "replicate") * mask + laplacian(target, "replicate") * (1 - mask)
        self.inside = (mask > 0).to(mask.dtype)
        self.energy = (guidance.square() * mask).sum().clamp_min(1.0)
        self.guidance = guidance * self.inside

    def of_region(self, index: int, features: Parts) -> Parts:
        return {}

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        from deep_image_blending.losses.by_hand import squared_laplacian

        return self.weight * squared_laplacian(framed, self.inside, self.guidance) / self.energy


LOSS = Loss(
    name="gradient",
    weight="grad_weight",
    order=1,
    help="Weight of the gradient loss: how closely the object's edges and shading are kept.",
    colour="#1f77b4",
    scope="first",
    term=GradientTerm,
)
