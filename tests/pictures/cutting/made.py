"""Objects composed with a known alpha, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Composed:
    """picture (H, W, 3) uint8 and what it is made of: truth (H, W) float32, fore and back (H, W, 3) in 0..1."""

    picture: npt.NDArray[np.uint8]
    truth: Float
    fore: Float
    back: Float


def composed(truth: Float, fore: tuple[float, ...] = (0.8, 0.25, 0.2), grain: float = 0.02) -> Composed:
    """An object of one colour and a grain before a sky that grows lighter downwards."""
    random = np.random.default_rng(3)
    height, width = truth.shape
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    back = np.broadcast_to(np.array([0.3, 0.45, 0.75]) + 0.06 * down, (height, width, 3)).astype(np.float32)
    before = np.broadcast_to(np.array(fore), (height, width, 3)).astype(np.float32)
    before = before + random.normal(0, grain, (height, width, 1)).astype(np.float32)
    back = back + random.normal(0, 0.006, (height, width, 1)).astype(np.float32)
    mixed = truth[..., None] * before + (1 - truth[..., None]) * back
    return Composed(np.rint(mixed.clip(0, 1) * 255).astype(np.uint8), truth, before, back)


def disc(height: int, width: int, radius: float, row: float | None = None, column: float | None = None) -> Float:
    """Alpha of a disc, its edge two pixels wide."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - (height / 2 if row is None else row), x - (width / 2 if column is None else column))
    return np.clip((radius - away) / 2 + 0.5, 0, 1).astype(np.float32)


def loosened(truth: Float, radius: float) -> Float:
    return (ndimage.distance_transform_edt(truth < 0.1) <= radius).astype(np.float32)


def iou(alpha: Float, truth: Float) -> float:
    a, b = alpha > 0.5, truth > 0.5
    return float((a & b).sum() / (a | b).sum())
