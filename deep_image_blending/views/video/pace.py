"""How fast a video moves.

A run changes most in its first evaluations, and hardly at all in its last. The video therefore moves at equal
perceived change: the distance between two saved moments is the mean CIELAB difference (ΔE 1976) of the object's
box, and time runs evenly along the sum of these distances; between two saved moments, frames are linear mixtures
of both. The leap from the paste to the first evaluation, which no optimisation made, takes a fixed time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deep_image_blending.views.contact_sheet import Pixels
from deep_image_blending.views.video.film import Film

BEGIN, LEAP, HOLD = 1.0, 0.5, 2.0
"""Seconds for which the paste stays, turns into the first evaluation, and the finished picture stays."""

Stays = list[tuple[float, int]]
"""Places among the moments in order, and for how many frames each stays."""


def changes(film: Film) -> list[float]:
    """Mean CIELAB difference of the object's box from each moment to the next."""
    before = _lab(film.region(0))
    steps = []
    for i in range(1, len(film.moments)):
        after = _lab(film.region(i))
        steps.append(float(np.linalg.norm(after - before, axis=-1).mean()))
        before = after
    return steps


def timeline(steps: Sequence[float], *, fps: float, seconds: float) -> list[float]:
    """For every frame of the video, its place among the moments: 0 is the paste, 1.5 lies between two frames.

    steps: the perceived change from each moment to the next, the first of them the leap from the paste.
    """
    leap, path = max(1, round(LEAP * fps)), np.concatenate(([0.0], np.cumsum(steps[1:])))
    if path[-1] <= 0:
        path = np.arange(len(path), dtype=np.float64)
    # Where nothing changes the place is not unique; a slope far below sight makes it so.
    path = path + np.linspace(0, 1e-9 * max(path[-1], 1.0), len(path))
    moving = np.interp(np.linspace(0, path[-1], max(2, round(seconds * fps))), path, np.arange(1, len(steps) + 1))
    return [
        *([0.0] * max(1, round(BEGIN * fps))),
        *np.linspace(0, 1, leap + 1)[1:-1].tolist(),
        *moving.tolist(),
        *([float(len(steps))] * max(1, round(HOLD * fps))),
    ]


def stays(positions: Sequence[float]) -> Stays:
    """Places that follow each other unchanged as one that stays."""
    found: Stays = []
    for position in positions:
        if found and found[-1][0] == position:
            found[-1] = (position, found[-1][1] + 1)
        else:
            found.append((position, 1))
    return found


def durations(plan: Stays, fps: float, unit: int) -> list[int]:
    """Milliseconds of each, in whole units; their sum strays by less than a unit from all frames at `fps`."""
    counts = [count for _, count in plan]
    ends = np.rint(np.concatenate(([0], np.cumsum(counts))) * 1000 / fps / unit).astype(int) * unit
    return [int(value) for value in np.diff(ends)]


def _lab(pixels: Pixels) -> npt.NDArray[np.float32]:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(pixels.astype(np.float32) / 255), np.float32)
