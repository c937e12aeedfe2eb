"""Total variation: neighbouring pixels against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.term import Context, Parts

if TYPE_CHECKING:
    from torch import Tensor


def total_variation(image: Tensor) -> Tensor:
    """Sum of the absolute differences of horizontal and of vertical neighbours (Zhang et al., 2020).

    >>> import torch
    >>> float(total_variation(torch.tensor([[0.0, 1.0], [0.0, 3.0]]).view(1, 1, 2, 2)))
    6.0
    """
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).abs().sum()
    return horizontal + (image[:, :, 1:, :] - image[:, :, :-1, :]).abs().sum()


class TotalVariationTerm:
    """Total variation around the mask, per pixel of it and in units of the full range."""

    def __init__(self, context: Context) -> None:
        self.weight, self.area = context.weight("tv"), context.area

    def of_region(self, index: int, features: Parts) -> Parts:
        return {}

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        from deep_image_blending.losses.by_hand import variation

        return self.weight * variation(framed) / (255 * 3 * self.area)


LOSS = Loss(
    name="tv",
    order=5,
    help="Weight of total variation: how smooth the result is.",
    colour="#868e96",
    term=TotalVariationTerm,
)
