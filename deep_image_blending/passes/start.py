"""What a pass starts from: membrane, Poisson solution, noise, grain."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from deep_image_blending.errors import InputError
from deep_image_blending.objectives.objective import Prepared
from deep_image_blending.objectives.schedule import scale_within
from deep_image_blending.objectives.statistics import digest
from deep_image_blending.objectives.target_style import (
    STROKE,
    fine_texture,
)
from deep_image_blending.options.pass_options import PassOptions
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures import Float
from deep_image_blending.pictures.scene import Window, averaged
from deep_image_blending.pictures.tensors import image_tensor
from deep_image_blending.solve.membrane import edge_stopping_membrane
from deep_image_blending.solve.multigrid import Bool
from deep_image_blending.solve.poisson import guidance_laplacian, solve_poisson

STEEP = 400_000
"""Pixels of an object's box up to which its contour is steep enough from pixel to pixel to stop a membrane."""
SAME_SCENE = 0.7
"""`Scene.agreement` from which on the surroundings count as the same scene's."""


def first_start(window: Window, options: Options, init_picture: Float | None, prepared: Prepared) -> Float:
    """The pixels (h, w, 3) that the first pass starts from."""
    if options.init == "noise":
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(3, *window.mask.shape, generator=generator)
        return noise.permute(1, 2, 0).numpy()
    if options.init == "paste":
        return window.source
    if options.init == "poisson":
        key = ("poisson", window.mask.shape, digest(window.source))
        started: Float = prepared.picture(key, lambda: poisson_start(window))
        return started
    if init_picture is None:
        raise InputError(f"--init {options.init!r} is neither noise, paste nor poisson, and no image was given")
    return init_picture[window_rows(window), window_columns(window)]


def membrane_for(agreement: float) -> Literal["full", "edges"]:
    """`full` where source and target show the same scene around the object, so that its offset is the light's.

    >>> membrane_for(0.9), membrane_for(0.2)
    ('full', 'edges')
    """
    return "full" if agreement >= SAME_SCENE else "edges"


def harmonised(window: Window, membrane: Literal["full", "edges", "none"]) -> Float:
    """The source (h, w, 3) made to meet the target: what the first pass takes its guidance and its content from.

    `full`: the source itself, whose gradients alone count, as in Poisson cloning. `edges`: with a membrane that
    stops at the object's contour, so that the object keeps its own colour. `none`: the source laid on the target,
    whose contour stays as sharp as it is.
    """
    if membrane == "full":
        return window.source
    # Outside the mask it is the target, and the smoothing of the source that finds its edges reaches four pixels.
    result, part = window.target.copy(), window.around_mask(8)
    known = np.zeros(window.mask.shape, np.bool_)
    known[window.shown] = True
    inside, added = window.mask[part] > 0, np.zeros((), np.float64)
    if membrane == "edges":
        added = _membrane(window.source[part], window.target[part], inside, known[part])
    result[part] = np.where(inside[..., None], (window.source[part] + added).clip(0, 255), window.target[part])
    return result


def _membrane(source: Float, target: Float, inside: Bool, known: Bool) -> npt.NDArray[np.float64]:
    """What the edge-stopping membrane adds to the source, (h, w, 3).

    A large object is looked at in a smaller size: the larger it is, the softer its contour is from pixel to pixel,
    and the target's colour would run through it. What is found is smooth, and is enlarged.
    """
    factor = scale_within(inside.size, STEEP)
    if factor == 1:
        return edge_stopping_membrane(source, target, inside, known=known)
    height, width = inside.shape

    def smaller(plane: npt.NDArray[Any]) -> Float:
        whole = ((0, -height % factor), (0, -width % factor), (0, 0))
        return averaged(np.pad(plane.astype(np.float32), whole, mode="edge"), factor)

    touched, shown = smaller(inside[..., None])[..., 0] > 0, smaller(known[..., None])[..., 0] == 1
    added = edge_stopping_membrane(smaller(source), smaller(target), touched, known=shown)
    planes = torch.from_numpy(added).permute(2, 0, 1)[None]
    large = F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)
    return np.asarray(large[0, :, :height, :width].permute(1, 2, 0))


def poisson_start(window: Window) -> Float:
    """Pérez et al., 2003: the source's Laplacian inside the mask, the target around it; (h, w, 3), 0..255."""
    result, part = window.target.copy(), window.around_mask(2)
    laplacian = guidance_laplacian(window.source[part])
    result[part] = solve_poisson(window.target[part], laplacian, window.mask[part] > 0).clip(0, 255)
    return result


def grained(begun: Float, window: Window, options: PassOptions) -> Float:
    """What a level starts from, with the target's fine texture on the object's pixels."""
    if not options.grain or options.canvas:
        return begun
    # The texture looks three standard deviations far.
    result, part = begun.copy(), window.around_mask(math.ceil(3 * STROKE))
    texture = fine_texture(image_tensor(window.target[part], torch.device("cpu")))
    inside = (window.mask[part] > 0)[..., None]
    result[part] = (begun[part] + options.grain * inside * texture[0].permute(1, 2, 0).numpy()).clip(0, 255)
    return result


def window_rows(window: Window) -> slice:
    return slice(window.top, window.top + window.mask.shape[0])


def window_columns(window: Window) -> slice:
    return slice(window.left, window.left + window.mask.shape[1])
