"""The neighbours loss: features against those of the matched positions (Kolkin et al., 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss

if TYPE_CHECKING:
    from torch import Tensor


def neighbours_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean of `1 - cos` of rows: ours and theirs (N, C), a row a position and its match."""
    from torch.nn import functional as F

    return (1 - F.cosine_similarity(ours, theirs, dim=1)).mean()


LOSS = Loss(
    name="neighbours",
    order=6,
    help="Weight of neighbours: how closely the object follows the strokes that it is matched with.",
    colour="#e8590c",
    scope="second",
    taps="style",
    objectives=("painted",),
    copies=4,
)
