"""Poisson image editing (Pérez, Gangnet and Blake, 2003): guidance fields, and the picture that follows one.

The Laplacian here is `sum over neighbours q on the canvas of (u_p - u_q)`: at the canvas's border only the
neighbours that exist count, the natural boundary condition, so that masks may touch or cover the border.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from deep_image_blending.solve.multigrid import (
    Bool,
    Double,
    Field,
    Plane,
    Solver,
    each_channel,
    hierarchy,
    shifted,
)

# What starting a solve costs, in pixels of a larger one.
_STARTING = 20_000


def guidance_laplacian(source: Field) -> Double:
    """The 4-neighbour Laplacian (centre positive) of (H, W, C), missing neighbours left out.

    >>> guidance_laplacian(np.float32([[[0], [1], [3]]]))[..., 0].tolist()
    [[-1.0, -1.0, 2.0]]
    """
    image = source.astype(np.float64)
    result = np.zeros_like(image)
    for axis in (0, 1):
        step = np.diff(image, axis=axis)
        shifted(result, axis, 1)[...] += step
        shifted(result, axis, -1)[...] -= step
    return result


def mixed_laplacian(source: Field, target: Field, region: Bool) -> Double:
    """Mixed gradients (Pérez et al., 2003, eq. 12): on every edge the stronger of source and target.

    An edge is mixed where it touches the region. All arrays (H, W, C), region (H, W).
    """
    ours, theirs = source.astype(np.float64), target.astype(np.float64)
    result = np.zeros_like(ours)
    for axis in (0, 1):
        a, b = np.diff(ours, axis=axis), np.diff(theirs, axis=axis)
        inside = shifted(region[..., None], axis, 1) | shifted(region[..., None], axis, -1)
        step = np.where(inside & (np.abs(a) >= np.abs(b)), a, b)
        shifted(result, axis, 1)[...] += step
        shifted(result, axis, -1)[...] -= step
    return result


def poisson_residual(u: Field, laplacian: Field, region: Bool) -> float:
    """`‖A u - b‖² / ‖b‖²` in the region, b the given Laplacian: what is left of the guidance's energy.

    u and laplacian (H, W, C), region (H, W). Without guidance it is 0 for an exact solution, else infinite.
    """
    left = float(((guidance_laplacian(u)[region] - laplacian[region]) ** 2).sum())
    energy = float((np.asarray(laplacian[region], np.float64) ** 2).sum())
    return left / energy if energy > 0 else float("inf") if left > 0 else 0.0


def solve_poisson(
    target: Field,
    laplacian: Field,
    region: Bool,
    *,
    initial: Field | None = None,
    tolerance: float = 1e-6,
) -> Double:
    """The image (H, W, C) whose Laplacian is the given one in the region, and which is the target outside it.

    laplacian (H, W, C), region (H, W). Conjugate gradients preconditioned by a multigrid cycle, until the
    residual's 2-norm is `tolerance` times that of a constant, the mean of what surrounds the region: at 1e-6
    a megapixel of 8-bit levels is right to about a hundredth of a level. `initial` (H, W, C) is where to start.

    Where the region covers the whole canvas the solution is unique up to a constant: it gets the mean of
    `initial`, by default the target's. Part of the Laplacian that no image has, its mean, is left out.

    >>> ramp = np.arange(5.0).reshape(1, 5, 1)
    >>> inside = np.array([[False, True, True, True, False]])
    >>> solve_poisson(ramp * ~inside[..., None], 0 * ramp, inside)[0, :, 0].round(3).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    result = np.array(target, np.float64)
    if not region.any():
        return result
    for frame, inside in _parts(region):
        start = None if initial is None else initial[frame]
        solved = _solved_blob(target[frame], laplacian[frame], inside, start, tolerance)
        result[frame][inside] = solved[inside]
    return result


def _parts(region: Bool) -> Iterator[tuple[tuple[slice, slice], Bool]]:
    """Frames with their part of the region: one for each blob, or one for all where that is cheaper.

    One pixel around a blob holds its boundary values. Beyond that nothing touches the blob, so that the frame's
    edge is either the canvas's or does not matter.
    """

    def framed(box: tuple[slice, ...]) -> tuple[slice, slice]:
        rows, columns = (
            slice(max(0, side.start - 1), min(size, side.stop + 1))
            for side, size in zip(box, region.shape, strict=True)
        )
        return rows, columns

    def cost(frame: tuple[slice, slice]) -> int:
        rows, columns = frame
        return int((rows.stop - rows.start) * (columns.stop - columns.start)) + _STARTING

    labels, _ = ndimage.label(region)
    blobs = [framed(box) for box in ndimage.find_objects(labels)]
    whole = framed(ndimage.find_objects(region.astype(np.int8))[0])
    if sum(map(cost, blobs)) < cost(whole):
        for number, frame in enumerate(blobs, 1):
            yield frame, labels[frame] == number
    else:
        yield whole, region[whole]


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


def _solved_blob(target: Field, laplacian: Field, inside: Bool, initial: Field | None, tolerance: float) -> Double:
    """All channels (h, w, C) of one frame."""
    levels = hierarchy(*_conductances(inside), unit=True)
    singular = bool(inside.all())

    def channel(c: int) -> Double:
        around = target[..., c].astype(np.float64)
        guidance = laplacian[..., c].astype(np.float64)

        def left(start: Double) -> Double:
            found = np.where(inside, guidance - guidance_laplacian(start[..., None])[..., 0], 0.0)
            return found - found.mean() if singular else found

        mean = 0.0 if singular else float(around[~inside].mean())
        residual = left(np.where(inside, mean, around))
        goal = tolerance * float(np.linalg.norm(residual))
        if initial is None and not singular:
            start = np.where(inside, mean, around)
        else:
            start = np.where(inside, around if initial is None else initial[..., c], around)
            residual = left(start)
        change = Solver(levels).solve(residual, goal)
        return start + (change - change.mean() if singular else change)

    return each_channel(channel, target.shape[2])
