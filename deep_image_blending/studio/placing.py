"""The object placed: Poisson's clone of it, coarse where it is large, within the time of letting go."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures import Float, Picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import compose_scene
from deep_image_blending.solve.poisson import guidance_laplacian, solve_poisson

LONGEST = 256
"""The longer side, in pixels, at which the equation is solved."""
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Patch:
    """A part of the target with the object in it: (h, w, 3) uint8, whose corner is at top, left."""

    pixels: npt.NDArray[np.uint8]
    top: int
    left: int


def quick_poisson(source: Picture, mask: Float, target: Picture, placement: Placement) -> Patch:
    """Pérez et al., 2003, in the object's window: what it adds to the paste is found at a bounded size.

    mask (h, w) in 0..1 of the source's size. Raises InputError as `compose_scene`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = compose_scene(source, mask, target, placement)
    window = scene.window(2)
    small = window.coarser(max(1, -(-max(window.mask.shape) // LONGEST)))
    inside = small.mask > 0
    solved = solve_poisson(small.target, guidance_laplacian(small.source), inside, tolerance=_TOLERANCE)
    height, width = window.mask.shape
    added = cv2.resize((solved - small.source).astype(np.float32), (width, height))
    paste = window.target + window.mask[..., None] * (window.source + added - window.target)
    return Patch(np.rint(paste.clip(0, 255)).astype(np.uint8), window.top, window.left)
