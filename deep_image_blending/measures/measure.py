"""How a measure declares itself, and the ratios that measures are made of.

Declaring is light: what a measure computes with is imported when it is taken, so that naming them costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from deep_image_blending.measures.blend import Blend

    Array = npt.NDArray[np.floating[Any]]

Better = Literal["lower", "higher", "near 1"]
About = Literal["boundary", "object", "surroundings"]
"""What a measure asks: is the boundary seen, is the object itself, does it belong to its surroundings."""


@dataclass(frozen=True)
class Measure:
    """A number that says how good a blend is.

    name: in run.json and tables. meaning, range: for people; which way is better. of_features: it is taken of a
    network's features, and left out where there is no network. take: the number, or nan where there is nothing to
    compare, such as the seam of a mask without a boundary.
    """

    name: str
    meaning: str
    range: str
    better: Better
    about: About
    of_features: bool
    take: Callable[[Blend], float]

    @property
    def said(self) -> str:
        """Meaning and range, on one line."""
        return f"{self.meaning}; {self.range}"


_declared: dict[str, Measure] = {}


def measure(
    meaning: str, *, range: str, better: Better, about: About, of_features: bool = False
) -> Callable[[Callable[[Blend], float]], Callable[[Blend], float]]:
    """Declare the function below as a measure of its own name."""

    def declare(take: Callable[[Blend], float]) -> Callable[[Blend], float]:
        name = take.__name__
        _declared[name] = Measure(name, meaning, range, better, about, of_features, take)
        return take

    return declare


def declared() -> Mapping[str, Measure]:
    """Every measure by name: the boundary's first, then the object's, then the surroundings'."""
    order = get_args(About)
    found = sorted(_declared.values(), key=lambda one: (order.index(one.about), one.name))
    return {one.name: one for one in found}


def mean(values: Array) -> float:
    """The mean, nan of none."""
    return float(values.mean()) if values.size else math.nan


def ratio(value: float, base: float) -> float:
    """value / base, and 1 where both are 0: flat stays flat.

    >>> ratio(0.0, 0.0)
    1.0
    """
    return (value + 1e-9) / (base + 1e-9)
