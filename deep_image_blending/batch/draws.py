"""Chance that is the same on every machine: whole numbers from a counter-based generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """A stream of whole numbers that depends on a seed and a counter alone.

    Philox (Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011): its raw 64 bits are the same
    in every version of NumPy, which what is made of them need not be. No floating point is used.
    """

    def __init__(self, seed: int, counter: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, counter], np.uint64))

    def below(self, bound: int) -> int:
        """0 to bound - 1, each as likely."""
        return int(self._bits.random_raw()) * bound >> 64

    def between(self, low: int, high: int) -> int:
        """low to high, both included."""
        return low + self.below(high - low + 1)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]
