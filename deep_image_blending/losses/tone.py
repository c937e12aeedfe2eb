"""The tone loss: low-pass colour strays from the wanted as far as the painting's own strokes do, no further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.form import opponent

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Tone:
    """What low-pass colour is held to.

    wanted (1, 3, h, w), mask (1, 1, h, w). counted (1, 1, h, w): the mask times how much each pixel
    counts. pool: pixels that are averaged. freedom (1, 3, 1, 1): how far luminance and chroma may stray. variance
    (3,): the painting's.
    """

    wanted: Tensor
    mask: Tensor
    counted: Tensor
    pool: int
    freedom: Tensor
    variance: Tensor


def stroke_contrast(around: Tensor, pool: int) -> Tensor:
    """Typical contrast of the painting's strokes, (1, 3, 1, 1): 1.5 medians of what 5x5 cells leave of a cell.

    around (1, 3, h, w), 0..255; pool: pixels of a cell.
    """
    from torch.nn import functional as F

    cells = F.avg_pool2d(opponent(around), pool, ceil_mode=True)
    cells = cells - F.avg_pool2d(F.pad(cells, [2] * 4, mode="replicate"), 5, 1)
    return 1.5 * cells.abs().flatten(2).median(2).values[..., None, None]


def tone_loss(pixels: Tensor, tone: Tone) -> Tensor:
    """How far cells stray beyond what is free, squared, over the painting's variance, mean over colours."""
    from torch.nn import functional as F

    inside = F.avg_pool2d(tone.mask, tone.pool, ceil_mode=True)
    gap = opponent(pixels - tone.wanted) * tone.mask
    gap = F.avg_pool2d(gap, tone.pool, ceil_mode=True) / (inside + 0.05)
    counted = F.avg_pool2d(tone.counted, tone.pool, ceil_mode=True)
    # Strokes that stray as far at a contour as inside melt a light wing into a light sky.
    freedom = tone.freedom * inside / counted.clamp_min(1e-6)
    stray = F.relu(gap.abs() - freedom).pow(2) * counted
    return (stray.sum((0, 2, 3)) / tone.variance).mean() / inside.sum()


def beyond_range(pixels: Tensor) -> Tensor:
    """Mean square, in units of the range, by which pixels lie outside 0..255."""
    from torch.nn import functional as F

    beyond: Tensor = (F.relu(pixels - 255) + F.relu(-pixels)).div(255).pow(2).mean()
    return beyond


LOSS = Loss(
    name="tone",
    order=10,
    help="Weight of tone: how closely patches keep the colour that they should have.",
    colour="#0b7285",
    scope="second",
    objectives=("painted",),
)
