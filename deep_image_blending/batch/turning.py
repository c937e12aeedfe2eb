"""Where a picture's corners come to lie when it turns, in whole numbers: the same on every machine."""

from __future__ import annotations

import math

ONE = 1 << 16
"""What sine and cosine are multiplied with."""


def sine_cosine(degrees: float) -> tuple[int, int]:
    """Sine and cosine of an angle, times `ONE`, to the nearest whole number."""
    angle = math.radians(degrees)
    return round(ONE * math.sin(angle)), round(ONE * math.cos(angle))


def turned_size(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """(rows, columns) that hold a picture of (rows, columns) which is turned about its centre.

    >>> turned_size((30, 40), 90)
    (40, 30)
    """
    rows, columns = size
    sine, cosine = (abs(one) for one in sine_cosine(degrees))
    return -(-(columns * sine + rows * cosine) // ONE), -(-(columns * cosine + rows * sine) // ONE)


def turned_point(down: int, right: int, degrees: float) -> tuple[int, int]:
    """A point's place, (down, right) of the centre, once its picture is turned against the clock."""
    sine, cosine = sine_cosine(degrees)
    return (down * cosine - right * sine) // ONE, (right * cosine + down * sine) // ONE
