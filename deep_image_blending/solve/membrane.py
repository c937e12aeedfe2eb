"""The edge-stopping membrane: what makes a source's background meet the target and leaves its object alone."""

from __future__ import annotations

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
    norm,
    shifted,
)


def edge_stopping_membrane(
    source: Field,
    target: Field,
    region: Bool,
    *,
    known: Bool | None = None,
    edge: float = 4.0,
    tolerance: float = 1e-4,
) -> Double:
    """What to add to the source so that it meets the target, without tinting the object: (H, W, C).

    Poisson cloning adds a membrane that is T - S at the boundary and harmonic inside (Farbman et al., 2009), and
    so carries the target's colour through the object. This one is inhomogeneous: it minimises
    `sum of w (h_p - h_q)² + sum of h² / l²` with `w = 1 / (1 + (|∇S| / edge)⁴)`, edges of the source stopping it
    (Perona and Malik, 1990), and l half the root of the region's area. Around a mask drawn wide it matches the
    source's background to the target; at the object's contour it ends. Outside the region it is T - S.

    known: (H, W), where the source shows something. Beyond its frame it says nothing of the background, so that
    nothing is asked of an object that the frame cuts. edge: source gradient in grey levels a pixel at which the
    membrane begins to be stopped.
    tolerance: the residual's 2-norm, as a share of the right side's. At 1e-4 the mean error is below a tenth of
    a level; a few pixels that edges all but cut off may be some levels away.
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
            here, there = shifted(region, axis, by), shifted(region, axis, -by)
            shown = here & ~there if known is None else here & ~there & shifted(known, axis, -by)
            leaving = np.where(shown, weight, 0)
            shifted(right_side, axis, by)[...] += leaving[..., None] * shifted(offset, axis, -by)
            shifted(links, axis, by)[...] += leaving
    inside = region.astype(np.float32)
    levels = hierarchy(links * inside, down * inside[1:] * inside[:-1], across * inside[:, 1:] * inside[:, :-1])

    def channel(c: int) -> Double:
        plane = np.where(region, right_side[..., c], 0.0)
        return Solver(levels).solve(plane, tolerance * norm(plane))

    return np.where(region[..., None], each_channel(channel, target.shape[2]), offset)
