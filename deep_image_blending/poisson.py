"""Poisson image editing (Pérez, Gangnet and Blake, 2003): guidance fields and the solver.

The Laplacian here is `sum over neighbours q on the canvas of (u_p - u_q)`: at the canvas's border only the
neighbours that exist count, the natural boundary condition, so that masks may touch or cover the border.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[Any]
Plane = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

_OMEGA, _SWEEPS, _COARSEST = 0.8, 2, 64
_APART = 32


def guidance_laplacian(source: Field) -> npt.NDArray[np.float64]:
    """The 4-neighbour Laplacian (centre positive) of (H, W, C), missing neighbours left out."""
    image = source.astype(np.float64)
    result = np.zeros_like(image)
    for axis in (0, 1):
        step = np.diff(image, axis=axis)
        _shifted(result, axis, 1)[...] += step
        _shifted(result, axis, -1)[...] -= step
    return result


def mixed_laplacian(source: Field, target: Field, region: Bool) -> npt.NDArray[np.float64]:
    """Mixed gradients (Pérez et al., 2003, eq. 12): on every edge the stronger of source and target.

    An edge is mixed where it touches the region. All arrays (H, W, C), region (H, W).
    """
    ours, theirs = source.astype(np.float64), target.astype(np.float64)
    result = np.zeros_like(ours)
    for axis in (0, 1):
        a, b = np.diff(ours, axis=axis), np.diff(theirs, axis=axis)
        inside = _shifted(region[..., None], axis, 1) | _shifted(region[..., None], axis, -1)
        step = np.where(inside & (np.abs(a) >= np.abs(b)), a, b)
        _shifted(result, axis, 1)[...] += step
        _shifted(result, axis, -1)[...] -= step
    return result


def poisson_residual(u: Field, laplacian: Field, region: Bool) -> float:
    """`‖A u - b‖² / ‖b‖²` in the region: the energy of what is left over that of the guidance."""
    left = guidance_laplacian(u)[region] - laplacian[region]
    return float((left**2).sum() / max(float((np.asarray(laplacian)[region] ** 2).sum()), 1e-300))


def solve_poisson(
    target: Field,
    laplacian: Field,
    region: Bool,
    *,
    initial: Field | None = None,
    tolerance: float = 1e-5,
) -> npt.NDArray[np.float64]:
    """The image (H, W, C) whose Laplacian is the given one in the region, and which is the target outside it.

    laplacian (H, W, C), region (H, W). Where the region covers the whole canvas the solution is unique up to a
    constant: it gets the mean of `initial`, by default the target's. Conjugate gradients to a relative residual
    of `tolerance` (2-norm), preconditioned by a multigrid cycle; blobs are solved on their own.
    """
    result = target.astype(np.float64)
    if not region.any():
        return result
    if region.all():
        solved = _solve(np.zeros_like(result), laplacian.astype(np.float64), region, tolerance, singular=True)
        goal = (result if initial is None else initial).mean((0, 1))
        return np.asarray(solved + (goal - solved.mean((0, 1))))
    labels, count = ndimage.label(region)
    boxes = ndimage.find_objects(labels) if count <= _APART else [(slice(None), slice(None))]
    for number, (rows, columns) in enumerate(boxes, 1):
        # One pixel around a blob holds its boundary values.
        top, bottom, _ = rows.indices(region.shape[0])
        left, right, _ = columns.indices(region.shape[1])
        frame = (
            slice(max(0, top - 1), min(region.shape[0], bottom + 1)),
            slice(max(0, left - 1), min(region.shape[1], right + 1)),
        )
        inside = region[frame] if count > _APART else labels[frame] == number
        boundary = np.where(inside[..., None], 0.0, target[frame].astype(np.float64))
        # Beyond the frame nothing touches the blob, so the frame's edge is the canvas's or constant.
        right_side = laplacian[frame].astype(np.float64) - guidance_laplacian(boundary)
        if initial is not None:
            start = np.where(inside[..., None], initial[frame], 0.0)
            right_side = right_side - guidance_laplacian(start)
        solved = _solve(boundary, right_side, inside, tolerance, singular=False)
        if initial is not None:
            solved = solved + start
        result[frame][inside] = solved[inside]
    return result


@dataclass(frozen=True)
class _Grid:
    """One level: `A u = diagonal·u - Σ weight·neighbour`, zero where `diagonal` is 0."""

    diagonal: Plane
    down: Plane
    across: Plane
    inverse: Plane

    def apply(self, u: npt.NDArray[np.floating], scratch: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """A u for u (C, H, W)."""
        out = self.diagonal * u
        part = scratch[:, :-1, :]
        np.multiply(self.down, u[:, :-1], out=part)
        out[:, 1:] -= part
        np.multiply(self.down, u[:, 1:], out=part)
        out[:, :-1] -= part
        part = scratch[:, :, :-1]
        np.multiply(self.across, u[:, :, :-1], out=part)
        out[:, :, 1:] -= part
        np.multiply(self.across, u[:, :, 1:], out=part)
        out[:, :, :-1] -= part
        return out


def edge_stopping_membrane(
    source: Field, target: Field, region: Bool, *, edge: float = 8.0, tolerance: float = 1e-4
) -> npt.NDArray[np.float64]:
    """What to add to the source so that it meets the target, without tinting the object: (H, W, C).

    Poisson cloning adds a membrane that is T - S at the boundary and harmonic inside (Farbman et al., 2009), and
    so carries the target's colour through the object. This one is inhomogeneous: it minimises
    `sum of w (h_p - h_q)² + sum of h² / l²` with `w = 1 / (1 + (|∇S| / edge)⁴)`, edges of the source stopping it
    (Perona and Malik, 1990), and l half the root of the region's area. Around a mask drawn wide it matches the
    source's background to the target; at the object's contour it ends. Outside the region it is T - S.

    edge: source gradient in grey levels a pixel at which the membrane begins to be stopped.
    """
    offset = target.astype(np.float64) - source
    if not region.any() or region.all():
        return np.where(region[..., None], 0.0, offset)
    smooth = ndimage.gaussian_filter(source.astype(np.float64), (0.7, 0.7, 0))

    def conductance(axis: int) -> Plane:
        slope = np.linalg.norm(np.diff(smooth, axis=axis), axis=2)
        return np.asarray(1 / (1 + (slope / edge) ** 4) + 1e-4, np.float32)

    down, across = conductance(0), conductance(1)
    right_side = np.zeros_like(offset)
    links = np.full(region.shape, 4.0 / float(region.sum()), np.float32)
    for axis, weight in ((0, down), (1, across)):
        for by in (1, -1):
            here, there = _shifted(region, axis, by), _shifted(region, axis, -by)
            leaving = np.where(here & ~there, weight, 0)
            _shifted(right_side, axis, by)[...] += leaving[..., None] * _shifted(offset, axis, -by)
            _shifted(links, axis, by)[...] += leaving
    inside = region.astype(np.float32)
    grids = _hierarchy(links * inside, down * inside[1:] * inside[:-1], across * inside[:, 1:] * inside[:, :-1])
    solved = _solved(grids, right_side, region, tolerance)
    return np.where(region[..., None], solved, offset)


def _solve(
    boundary: npt.NDArray[np.float64],
    right_side: npt.NDArray[np.float64],
    region: Bool,
    tolerance: float,
    *,
    singular: bool,
) -> npt.NDArray[np.float64]:
    """The solution of `A u = b` in the region, added to the boundary values."""
    if singular:
        right_side = right_side - right_side.mean((0, 1))
    solved = _solved(_hierarchy(*_conductances(region)), right_side, region, tolerance)
    return boundary + np.where(region[..., None], solved, 0.0)


def _solved(
    grids: list[_Grid], right_side: npt.NDArray[np.float64], region: Bool, tolerance: float
) -> npt.NDArray[np.float64]:
    """The region's unknowns, each channel by preconditioned conjugate gradients."""
    fine = grids[0]
    size = fine.diagonal.shape
    b = np.zeros((right_side.shape[2], *size))
    b[:, : region.shape[0], : region.shape[1]] = np.moveaxis(np.where(region[..., None], right_side, 0.0), 2, 0)
    coarsest = _coarsest(grids[-1])
    # NumPy releases the interpreter's lock in its loops, so channels run side by side.
    with ThreadPoolExecutor() as pool:
        planes = list(pool.map(lambda plane: _conjugate_gradients(grids, coarsest, plane[None], tolerance), b))
    return np.moveaxis(np.concatenate(planes)[:, : region.shape[0], : region.shape[1]], 0, 2)


def _conjugate_gradients(
    grids: list[_Grid], coarsest: Plane, b: npt.NDArray[np.float64], tolerance: float
) -> npt.NDArray[np.float64]:
    """A u = b for b (1, H, W), to a residual of `tolerance` times b's norm."""
    u, residual, scratch = np.zeros_like(b), b, np.empty_like(b)
    goal = tolerance * float(np.linalg.norm(b))
    direction, old = np.zeros_like(b), 1.0
    for _ in range(200):
        if float(np.linalg.norm(residual)) <= goal:
            break
        z = _cycle(grids, coarsest, residual.astype(np.float32), 0).astype(np.float64)
        new = float(np.vdot(residual, z))
        direction *= new / old
        direction += z
        step = grids[0].apply(direction, scratch)
        length = new / float(np.vdot(direction, step))
        u += length * direction
        residual = residual - length * step
        old = new
    return u


def _conductances(region: Bool) -> tuple[Plane, Plane, Plane]:
    """Poisson's equation: links to the boundary (H, W), edges between region pixels (H-1, W) and (H, W-1)."""
    neighbours = np.full(region.shape, 4, np.float32)
    neighbours[0] -= 1
    neighbours[-1] -= 1
    neighbours[:, 0] -= 1
    neighbours[:, -1] -= 1
    inside = region.astype(np.float32)
    down, across = inside[1:] * inside[:-1], inside[:, 1:] * inside[:, :-1]
    links = neighbours * inside
    links[1:] -= down
    links[:-1] -= down
    links[:, 1:] -= across
    links[:, :-1] -= across
    return links, down, across


def _hierarchy(links: Plane, down: Plane, across: Plane) -> list[_Grid]:
    """Grids from fine to coarse; edges join region pixels, links to the boundary stay on the diagonal.

    A coarse cell gathers 2x2 fine ones. Its edges and links are sums of the fine ones, halved: piecewise constant
    aggregation makes the coarse operator twice too stiff in two dimensions (Braess, 1995).
    """
    grids = []
    while True:
        height, width = links.shape
        pad = (height % 2, width % 2)
        if height * width > _COARSEST and any(pad):
            links = np.pad(links, ((0, pad[0]), (0, pad[1])))
            down = np.pad(down, ((0, pad[0]), (0, pad[1])))
            across = np.pad(across, ((0, pad[0]), (0, pad[1])))
        diagonal = links.copy()
        diagonal[1:] += down
        diagonal[:-1] += down
        diagonal[:, 1:] += across
        diagonal[:, :-1] += across
        inverse = np.divide(_OMEGA, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
        grids.append(_Grid(diagonal, down, across, inverse))
        if height * width <= _COARSEST:
            return grids
        links = 0.5 * _gathered(links)
        down = 0.5 * (down[1::2, ::2] + down[1::2, 1::2])
        across = 0.5 * (across[::2, 1::2] + across[1::2, 1::2])


def _coarsest(grid: _Grid) -> npt.NDArray[np.float32]:
    """The pseudo-inverse of the coarsest operator, dense."""
    count = grid.diagonal.size
    identity = np.eye(count, dtype=np.float64).reshape(count, *grid.diagonal.shape)
    dense = grid.apply(identity, np.empty_like(identity)).reshape(count, count)
    return np.linalg.pinv(dense, rcond=1e-6, hermitian=True).astype(np.float32)


def _cycle(grids: list[_Grid], coarsest: Plane, b: Plane, level: int) -> Plane:
    """One symmetric V-cycle for A e = b, from zero: damped Jacobi before and after."""
    grid = grids[level]
    if level == len(grids) - 1:
        return (b.reshape(b.shape[0], -1) @ coarsest).reshape(b.shape)
    scratch = np.empty_like(b)
    u = grid.inverse * b
    for _ in range(_SWEEPS - 1):
        u += grid.inverse * (b - grid.apply(u, scratch))
    residual = b - grid.apply(u, scratch)
    gathered = _gathered(_smeared(residual))
    rows, columns = gathered.shape[1:]
    size = grids[level + 1].diagonal.shape
    padded = np.pad(gathered, ((0, 0), (0, size[0] - rows), (0, size[1] - columns)))
    coarse = _cycle(grids, coarsest, padded, level + 1)[:, :rows, :columns]
    finer = np.empty_like(b)
    finer[:, ::2, ::2] = finer[:, 1::2, ::2] = finer[:, ::2, 1::2] = finer[:, 1::2, 1::2] = coarse
    u += _smeared(finer) * (grid.diagonal > 0)
    for _ in range(_SWEEPS):
        u += grid.inverse * (b - grid.apply(u, scratch))
    return u


def _smeared(values: Plane) -> Plane:
    """(1, 2, 1)/4 along both axes, the edge repeated: symmetric, and bilinear after piecewise constants."""
    out = values.copy()
    for axis in (1, 2):
        half = 0.25 * np.diff(out, axis=axis)
        _shifted(out, axis, 1)[...] -= half
        _shifted(out, axis, -1)[...] += half
    return out


def _gathered(values: Plane) -> Plane:
    """Sums of 2x2 blocks over the last two axes."""
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return np.asarray(rows[..., ::2] + rows[..., 1::2], np.float32)


def _shifted(values: Field, axis: int, by: int) -> Field:
    """A view without the first (by 1) or the last (by -1) element along an axis."""
    index = [slice(None)] * values.ndim
    index[axis] = slice(1, None) if by > 0 else slice(None, -1)
    return values[tuple(index)]
