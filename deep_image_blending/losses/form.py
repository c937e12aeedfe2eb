"""The form loss: the object's contours, where they stand out of the painting's own texture, are held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss

if TYPE_CHECKING:
    from torch import Tensor


def opponent(pixels: Tensor) -> Tensor:
    """(1, 3, h, w) in 0..255 -> luminance in 0..1 and two differences of colour in -0.5..0.5 (JPEG's YCbCr)."""
    import torch

    matrix = pixels.new_tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
    return torch.einsum("kc,nchw->nkhw", matrix / 255, pixels)


def colour_gradients(pixels: Tensor, scale: int) -> Tensor:
    """Gradients of luminance and chroma of (1, 3, h, w), averaged over `scale` pixels: (1, 6, h', w').

    Positions are half of `scale` apart.
    """
    import torch
    from torch.nn import functional as F

    values = opponent(pixels)
    if scale > 1:
        values = F.avg_pool2d(F.pad(values, [1] * 4, mode="reflect"), scale, max(1, scale // 2))
    down = F.pad(values[:, :, 1:] - values[:, :, :-1], [0, 0, 0, 1])
    across = F.pad(values[:, :, :, 1:] - values[:, :, :, :-1], [0, 1, 0, 0])
    return torch.cat([down, across], 1)


@dataclass(frozen=True)
class Form:
    """The gradients (1, 6, h, w) to hold at one scale, how much each position counts, and what 1 is."""

    scale: int
    gradients: Tensor
    weight: Tensor
    size: Tensor

    @classmethod
    def of(cls, wanted: Tensor, mask: Tensor, around: Tensor, scale: int, stands_out: float) -> Form:
        """Contours of `wanted` (1, 3, h, w) count by the mask, and by how far they stand out of the texture.

        mask (1, 1, h, w): above 1 where contours count more. around (1, 3, h', w'): the painting near the object.
        A contour counts half where its squared gradient is `stands_out` times the texture's, which is twice the
        median there.
        """
        from torch.nn import functional as F

        held = colour_gradients(wanted, scale)
        texture = 2 * colour_gradients(around, scale).pow(2).sum(1).median() + 1e-7
        strength = held.pow(2).sum(1, keepdim=True)
        if scale <= 2:
            # Positions are a pixel apart: a contour is as wide as its stencil.
            strength = F.max_pool2d(strength, 3, 1, 1)
        inside = F.adaptive_avg_pool2d(mask, (held.shape[2], held.shape[3]))
        weight = strength**2 / (strength**2 + (stands_out * texture) ** 2) * inside
        return cls(scale, held, weight, (weight * strength).sum() + 0.1 * texture * inside.sum())


def form_loss(pixels: Tensor, form: Form) -> Tensor:
    """Weighted squared difference of gradients, relative to the contours' own. pixels (1, 3, h, w)."""
    loss: Tensor = (form.weight * (colour_gradients(pixels, form.scale) - form.gradients).pow(2)).sum()
    return loss / form.size


LOSS = Loss(
    name="form",
    order=9,
    help="Weight of form: how firmly contours that stand out of the painting's texture are held.",
    colour="#5f3dc4",
    scope="second",
    objectives=("painted",),
    common=True,
)
