"""Linear systems of a pixel and its four neighbours: multigrid cycles inside conjugate gradients.

The matrices are symmetric with no positive entry off the diagonal, in planes of pixels. The Poisson equation and
the edge-stopping membrane are of that kind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[Any]
Plane = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_SWEEPS, _COARSEST = 2, 64
# Single precision carries this much of a solution; the rest is solved for again.
_SINGLE = 1e-4
# A cell's parity in its row and column. Neighbours of a red cell are black, those of a black one red.
_RED, _BLACK = ((0, 0), (1, 1)), ((0, 1), (1, 0))


def each_channel(solve: Callable[[int], Double], count: int) -> Double:
    """Planes (H, W) side by side, as (H, W, count): NumPy releases the interpreter's lock in its loops."""
    with ThreadPoolExecutor(min(count, os.cpu_count() or 1)) as pool:
        return np.stack(list(pool.map(solve, range(count))), axis=2)


@dataclass(frozen=True)
class Grid:
    """One grid: `A u = diagonal·u - Σ weight·neighbour`, zero where `diagonal` is 0.

    Fields are four planes (2, 2, h, w), one for each parity of row and column, so that cells of one colour
    and blocks of 2x2 are contiguous. A cell has one neighbour in its own block (near) and one in the next
    (far), in its row (across) and in its column (down). Without weights every edge inside weighs 1, and u
    must be zero outside.
    """

    shape: tuple[int, int]
    diagonal: Plane
    inverse: Plane
    inside: Plane
    weights: tuple[Plane, Plane, Plane, Plane] | None

    def neighbours(self, u: Field, row: int, column: int, out: Field, scratch: Field) -> None:
        """Σ weight·neighbour for one plane (h, w); without weights it is not zeroed outside."""
        beside, above = u[row, 1 - column], u[1 - row, column]
        to_column = (slice(None), slice(1, None) if column == 0 else slice(None, -1))
        from_column = (slice(None), slice(None, -1) if column == 0 else slice(1, None))
        to_row = slice(1, None) if row == 0 else slice(None, -1)
        from_row = slice(None, -1) if row == 0 else slice(1, None)
        if self.weights is None:
            np.add(beside, above, out=out)
            out[to_column] += beside[from_column]
            out[to_row] += above[from_row]
            return
        near_across, far_across, near_down, far_down = self.weights
        np.multiply(near_across[row], beside, out=out)
        np.multiply(near_down[column], above, out=scratch)
        out += scratch
        part = scratch[:, 1:]
        np.multiply(far_across[row], beside[from_column], out=part)
        out[to_column] += part
        part = scratch[1:]
        np.multiply(far_down[column], above[from_row], out=part)
        out[to_row] += part

    def apply(self, u: Field, out: Field, scratch: Field) -> None:
        """A u, for planes (2, 2, h, w) of either precision; scratch (2, h, w)."""
        total, part = scratch
        for row, column in _RED + _BLACK:
            self.neighbours(u, row, column, total, part)
            total *= self.inside[row, column]
            np.multiply(self.diagonal[row, column], u[row, column], out=out[row, column])
            out[row, column] -= total


def hierarchy(links: Plane, down: Plane, across: Plane, *, unit: bool = False) -> tuple[list[Grid], Plane]:
    """Grids from fine to coarse, and the coarsest one's pseudo-inverse.

    Edges join region pixels, links to the boundary (H, W) stay on the diagonal; unit: every edge weighs 1.
    A coarse cell gathers 2x2 fine ones. Its edges and links are sums of the fine ones, halved: piecewise
    constant aggregation makes the coarse operator twice too stiff in two dimensions (Braess, 1995).
    """
    levels: list[Grid] = []
    while True:
        height, width = links.shape
        full = links.copy()
        full[1:] += down
        full[:-1] += down
        full[:, 1:] += across
        full[:, :-1] += across
        if height * width <= _COARSEST:
            return levels, _pseudo_inverse(full, down, across)
        diagonal = _split(full)
        beside = _split(np.pad(across, ((0, 0), (0, 1))))
        below = _split(np.pad(down, ((0, 1), (0, 0))))
        far_across, far_down = beside[:, 1, :, :-1].copy(), below[1, :, :-1].copy()
        levels.append(
            Grid(
                (height, width),
                diagonal,
                np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0),
                np.asarray(diagonal > 0, np.float32),
                None if unit and not levels else (beside[:, 0].copy(), far_across, below[0], far_down),
            )
        )
        links = 0.5 * _split(links).sum((0, 1))
        down, across = 0.5 * far_down.sum(0), 0.5 * far_across.sum(0)


def _pseudo_inverse(diagonal: Plane, down: Plane, across: Plane) -> Plane:
    count = diagonal.size
    number = np.arange(count).reshape(diagonal.shape)
    matrix = np.diag(diagonal.ravel().astype(np.float64))
    for a, b, weight in ((number[1:], number[:-1], down), (number[:, 1:], number[:, :-1], across)):
        matrix[a, b] = matrix[b, a] = -weight
    return np.linalg.pinv(matrix, rcond=1e-6, hermitian=True).astype(np.float32)


class Solver:
    """Solves for one channel at a time, in buffers made once."""

    def __init__(self, hierarchy: tuple[list[Grid], Plane]) -> None:
        self.levels, self.coarsest = hierarchy
        self.solutions = [np.empty_like(level.diagonal) for level in self.levels]
        self.scratch = [np.empty_like(level.diagonal[:, 0]) for level in self.levels]
        self.sums = [np.empty_like(level.diagonal[:, 0]) for level in self.levels]

    def solve(self, b: Double, goal: float) -> Double:
        """A u = b for b (H, W), until the residual's 2-norm is `goal` or rounding stops it."""
        if not self.levels:
            return (self.coarsest.astype(np.float64) @ b.ravel()).reshape(b.shape)
        level, right = self.levels[0], _split(b)
        u, residual, product = np.zeros_like(right), right.copy(), np.empty_like(right)
        scratch = np.empty_like(right[0])
        size, before = norm(residual), np.inf
        while goal < size < 0.5 * before:
            scale = size / np.sqrt(residual.size)
            scaled = np.asarray(residual / scale, np.float32)
            u += scale * self._conjugate_gradients(scaled, max(0.9 * goal / size, _SINGLE)).astype(np.float64)
            level.apply(u, product, scratch)
            np.subtract(right, product, out=residual)
            size, before = norm(residual), size
        return _merged(u, *b.shape)

    def _conjugate_gradients(self, residual: Plane, share: float) -> Plane:
        """A u = residual, to `share` of its norm; overwrites it."""
        level = self.levels[0]
        u, direction, product = np.zeros_like(residual), np.zeros_like(residual), np.empty_like(residual)
        goal, old = share * norm(residual), 1.0
        for _ in range(100):
            if norm(residual) <= goal:
                break
            z = self._cycle(0, residual)
            new = float(np.vdot(residual, z))
            direction *= np.float32(new / old)
            direction += z
            level.apply(direction, product, self.scratch[0])
            length = np.float32(new / float(np.vdot(direction, product)))
            u += np.multiply(direction, length, out=z)
            residual -= np.multiply(product, length, out=product)
            old = new
        return u

    def _cycle(self, depth: int, b: Plane) -> Plane:
        """One symmetric V-cycle for A u = b, from zero: red-black Gauss-Seidel before, black-red after.

        After black cells are relaxed only red ones have a residual, and before black ones are relaxed only
        red ones need the correction.
        """
        level, u = self.levels[depth], self.solutions[depth]
        total, part = self.scratch[depth]
        for red in _RED:
            np.multiply(level.inverse[red], b[red], out=u[red])
        self._relax(depth, b, _BLACK)
        for _ in range(_SWEEPS - 1):
            self._relax(depth, b, _RED + _BLACK)
        gathered, sums = self.sums[depth]
        gathered[...] = 0
        for red in _RED:
            level.neighbours(u, *red, total, part)
            total += b[red]
            total -= np.multiply(level.diagonal[red], u[red], out=part)
            total *= level.inside[red]
            gathered += _leaned(total, red[0], sums, part, adjoint=True)
        coarse = self._coarse(depth + 1, gathered)
        for red in _RED:
            u[red] += np.multiply(_leaned(coarse, red[0], sums, part), level.inside[red], out=part)
        for _ in range(_SWEEPS):
            self._relax(depth, b, _BLACK + _RED)
        return u

    def _coarse(self, depth: int, b: Plane) -> Plane:
        if depth == len(self.levels):
            return (self.coarsest @ b.ravel()).reshape(b.shape)
        return _merged(self._cycle(depth, _split(b)), *b.shape)

    def _relax(self, depth: int, b: Plane, cells: tuple[tuple[int, int], ...]) -> None:
        level, u = self.levels[depth], self.solutions[depth]
        total, part = self.scratch[depth]
        for cell in cells:
            level.neighbours(u, *cell, total, part)
            total += b[cell]
            np.multiply(total, level.inverse[cell], out=u[cell])


def _leaned(values: Plane, side: int, out: Plane, scratch: Plane, *, adjoint: bool = False) -> Plane:
    """Bilinear interpolation from coarse cells (h, w) to their upper left (0) or lower right (1) fine ones.

    3/4 of the cell's own value and 1/4 of the next one's on that side, along both axes, the edge repeated.
    """
    out[...] = values
    up, down = (slice(None, -1), slice(1, None)) if side == 0 else (slice(1, None), slice(None, -1))
    edge = 0 if side == 0 else -1
    to, come = (up, down) if adjoint else (down, up)
    for axis in (0, 1):
        turned, quarter = (out, scratch) if axis == 0 else (out.T, scratch.T)
        np.multiply(turned, 0.25, out=quarter)
        turned *= 0.75
        turned[to] += quarter[come]
        turned[edge] += quarter[edge]
    return out


def _split(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) as planes (2, 2, h, w) by parity of row and column, with zeros to make the sides even."""
    height, width = values.shape
    if height % 2 or width % 2:
        values = np.pad(values, ((0, height % 2), (0, width % 2)))
    blocks = values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2)
    return np.ascontiguousarray(blocks.transpose(1, 3, 0, 2))


def _merged(planes: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """The inverse of `_split`."""
    _, _, rows, columns = planes.shape
    return planes.transpose(2, 0, 3, 1).reshape(2 * rows, 2 * columns)[:height, :width]


def norm(values: Field) -> float:
    return float(np.linalg.norm(values.ravel()))


def shifted(values: Field, axis: int, by: int) -> Field:
    """A view without the first (by 1) or the last (by -1) element along an axis."""
    index = [slice(None)] * values.ndim
    index[axis] = slice(1, None) if by > 0 else slice(None, -1)
    return values[tuple(index)]
