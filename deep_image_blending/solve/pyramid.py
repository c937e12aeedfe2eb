"""The unknowns as coefficients of a Laplacian pyramid: a step of the solver moves coarse colour as easily as fine.

Burt and Adelson, *The Laplacian Pyramid as a Compact Image Code*, 1983.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 3
FINE_CHROMA = (0.07, 0.25, 0.7, 1.0)
"""How far a step of the solver moves chroma against luminance, by level of the pyramid, finest first.

Networks care little for fine chroma, and would fill it with noise."""
_OPPONENT = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))


class Pyramid:
    """Pictures (1, 3, h, w) of one size as vectors (n,), and back: luminance and chroma, detail by detail."""

    def __init__(self, like: Tensor) -> None:
        """like (1, 3, h, w): a picture of the size, the type and the device."""
        self.to_opponent = like.new_tensor(_OPPONENT)
        self.from_opponent = torch.linalg.inv(torch.tensor(_OPPONENT, dtype=torch.float64)).to(like)
        self.scales = [like.new_tensor([1.0, s, s]).view(1, 3, 1, 1) for s in FINE_CHROMA]
        self.shapes, size = [], (like.shape[2], like.shape[3])
        for _ in range(LEVELS):
            self.shapes.append((1, 3, *size))
            size = (-(-size[0] // 2), -(-size[1] // 2))
        self.shapes.append((1, 3, *size))
        self.lengths = [3 * rows * columns for _, _, rows, columns in self.shapes]

    @property
    def count(self) -> int:
        """Elements of a vector."""
        return sum(self.lengths)

    def coefficients(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) -> (n,)."""
        values, parts = torch.einsum("kc,nchw->nkhw", self.to_opponent, picture), []
        for _ in range(LEVELS):
            low = F.avg_pool2d(values, 2, ceil_mode=True)
            parts.append(values - _doubled(low, values.shape[2:]))
            values = low
        parts.append(values)
        return torch.cat([(part / scale).flatten() for part, scale in zip(parts, self.scales, strict=True)])

    def picture(self, x: Tensor) -> Tensor:
        """(n,) -> (1, 3, h, w); the inverse."""
        parts = [
            piece.view(shape) * scale
            for piece, shape, scale in zip(torch.split(x, self.lengths), self.shapes, self.scales, strict=True)
        ]
        values = parts[-1]
        for part in parts[-2::-1]:
            values = part + _doubled(values, part.shape[2:])
        return torch.einsum("kc,nchw->nkhw", self.from_opponent, values)


def _doubled(values: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(values, size, mode="bilinear", align_corners=False)
