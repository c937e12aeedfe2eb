"""What the loop minimises."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Objective(Protocol):
    """What the engine minimises."""

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """The weighted loss terms (0-dim) at the pixels x (3, n)."""
        ...

    def picture(self, x: Tensor) -> Tensor:
        """The blend (1, 3, h, w), 0..255, not clamped."""
        ...
