"""Rectangles of rows and columns."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle of rows `top <= i < bottom` and columns `left <= j < right`.

    >>> Box(0, 0, 2, 3).area, Box(0, 0, 2, 3).intersects(Box(2, 0, 4, 3))
    (6, False)
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def area(self) -> int:
        return self.height * self.width

    def intersects(self, other: Box) -> bool:
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def shifted(self, rows: int, columns: int) -> Box:
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def whole(size: tuple[int, int]) -> Box:
    """The box of a whole canvas of `size` (rows, columns)."""
    return Box(0, 0, size[0], size[1])


def union(a: Box, b: Box) -> Box:
    """The smallest box that holds both.

    >>> union(Box(0, 0, 2, 2), Box(1, 4, 3, 5))
    Box(top=0, left=0, bottom=3, right=5)
    """
    return Box(min(a.top, b.top), min(a.left, b.left), max(a.bottom, b.bottom), max(a.right, b.right))
