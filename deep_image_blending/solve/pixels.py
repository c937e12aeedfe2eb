"""The unknowns: the pixels that are optimised."""

from __future__ import annotations

import torch
from torch import Tensor


class Pixels:
    """The pixels that are optimised: those of the mask, or all. `x` is (3, n)."""

    def __init__(self, base: Tensor, chosen: Tensor | None) -> None:
        """base (1, 3, h, w): the values of the others. chosen (1, 1, h, w): optimised where above 0."""
        self.base = base
        self.index = None if chosen is None else torch.nonzero(chosen.flatten() > 0).flatten()

    def gather(self, image: Tensor) -> Tensor:
        flat = image.reshape(3, -1)
        return flat.clone() if self.index is None else flat.index_select(1, self.index)

    def scatter(self, x: Tensor) -> Tensor:
        if self.index is None:
            return x.reshape(self.base.shape)
        return self.base.reshape(3, -1).index_copy(1, self.index, x).reshape(self.base.shape)
