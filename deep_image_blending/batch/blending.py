"""One row made: its objects blended one after the other, each into the picture that the one before left."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.batch.altering import altered
from deep_image_blending.batch.row import Insertion, Row
from deep_image_blending.batch.store import local_copy
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.objectives.objective import Prepared
from deep_image_blending.options.resolve import placed
from deep_image_blending.options.stored import options_to_dict
from deep_image_blending.passes import poisson_start
from deep_image_blending.pictures import Picture, Pixels, in_srgb, load_picture
from deep_image_blending.pictures.scene import Scene
from deep_image_blending.runs.devices import arithmetic
from deep_image_blending.runs.execution import carry_out, prepare
from deep_image_blending.runs.inputs import Inputs, read_inputs, scene_of
from deep_image_blending.runs.job import Hooks, Job, new_job

FEATHER = 3.0
"""Pixels over which the method `feather` fades, where its row does not say."""


class NeedsMemory(Exception):
    """A row's plan asks for more memory than its task was given: so many bytes."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


@dataclass(frozen=True)
class Limits:
    """What a task may take. memory: bytes of the host; None leaves it to the run. threads: of the processor."""

    threads: int = 1
    memory: int | None = None
    device: str | None = None


@dataclass
class Seen:
    """An object in the finished picture. mask: (H, W), what later objects left of it; hidden: that they took some.

    options: every option, resolved. measures: of the picture as it was once this object was in it.
    """

    category: str
    annotate: bool
    mask: npt.NDArray[np.bool_]
    options: Mapping[str, Any]
    measures: Mapping[str, float]
    hidden: bool = False

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of what is seen; None where it is nothing."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if not rows.size:
            return None
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@dataclass(frozen=True)
class Made:
    """A finished picture, (H, W, 3) in the target's depth. like: whose profile its file carries. peak: bytes of
    the host's memory that its plan asked for."""

    pixels: Pixels
    like: Picture
    objects: tuple[Seen, ...]
    peak: int

    @property
    def seen(self) -> Pixels:
        """The pixels in sRGB."""
        return in_srgb(self.pixels, self.like)


def blend_row(row: Row, limits: Limits | None = None, hooks: Hooks | None = None, measured: bool = True) -> Made:
    """Make a row's picture. measured: take the measures, too.

    Raises InputError, RunError and Interrupted as `execute`, and NeedsMemory before anything is computed.
    """
    limits, hooks = limits or Limits(), hooks or Hooks()
    objects: list[Seen] = []
    target: Picture | None = None
    peak = 0
    for one in row.objects:
        job = _job(one, target, limits)
        with arithmetic(limits.threads, job.options.precision):
            # Each object makes a scene of its own, which has nothing prepared in common with the one before.
            own = dataclasses.replace(hooks, prepared=Prepared())
            scene, pixels, asked = _blended(row, job, limits, own)
            measures = evaluate_scene(scene, in_srgb(pixels, scene.target)) if measured else {}
        peak = max(peak, asked)
        mask = _solid(row, job, scene)
        for earlier in objects:
            covered = earlier.mask & mask
            earlier.hidden |= bool(covered.any())
            earlier.mask &= ~mask
        objects.append(Seen(one.label.category, one.label.annotate, mask, _options(job), measures))
        target = _with_pixels(scene.target, pixels)
    assert target is not None
    return Made(target.native, target, tuple(objects), peak)


def job_of(one: Insertion, limits: Limits | None = None) -> Job:
    """The job of a row's first object, as `blend run` would have it. Raises InputError."""
    return _job(one, None, limits or Limits())


def _job(one: Insertion, target: Picture | None, limits: Limits) -> Job:
    given = {**one.given, "threads": limits.threads}
    if limits.device is not None:
        given["device"] = limits.device
    files: dict[str, Path] = {
        name: local_copy(str(given[name])) for name in ("source_file", "mask_file", "target_file") if name in given
    }
    if "weights" in given:
        given["weights"] = local_copy(str(given["weights"]))
    if target is None:
        inputs = read_inputs(files["source_file"], files.get("mask_file"), files["target_file"], placed(given))
    else:
        # The canvas has its final size already.
        given.pop("ts", None)
        limit = int(given["max_pixels"]) if "max_pixels" in given else None
        inputs = _onto(target, files, limit)
    inputs = altered(inputs, one.alteration)
    return new_job({name: value for name, value in given.items() if name not in files}, inputs=inputs)


def _onto(target: Picture, files: Mapping[str, Path], limit: int | None) -> Inputs:
    from deep_image_blending.pictures import load_mask

    more: dict[str, Any] = {} if limit is None else {"max_pixels": limit}
    mask = files.get("mask_file")
    return Inputs(
        load_picture(files["source_file"], **more), None if mask is None else load_mask(mask, **more), target, mask
    )


def _blended(row: Row, job: Job, limits: Limits, hooks: Hooks) -> tuple[Scene, Pixels, int]:
    """The scene, the canvas with the object, and the bytes that were planned for it."""
    if row.method == "natural":
        ready = prepare(job, hooks)
        needed = ready.decision.plan.peak.host
        if limits.memory is not None and needed > limits.memory:
            raise NeedsMemory(needed)
        outcome = carry_out(ready, hooks)
        return outcome.scene, outcome.results["second_pass"].written(), needed
    if row.method == "feather" and not job.options.placement.feather:
        job = _feathered(job, FEATHER)
    scene = scene_of(job.inputs, job.options, hooks.say).scene
    if row.method == "poisson":
        window = scene.window(1)
        weight = window.mask[..., None]
        return scene, scene.composed(window, window.target + weight * (poisson_start(window) - window.target)), 0
    return scene, scene.composed(*scene.pasted()), 0


def _feathered(job: Job, feather: float) -> Job:
    placement = dataclasses.replace(job.options.placement, feather=feather)
    return dataclasses.replace(job, options=dataclasses.replace(job.options, placement=placement))


def _solid(row: Row, job: Job, scene: Scene) -> npt.NDArray[np.bool_]:
    """The object as a binary mask (H, W): at least half there, before its edge was made to fade."""
    if row.method == "feather" or job.options.placement.feather:
        scene = scene_of(job.inputs, _feathered(job, 0.0).options, lambda _: None).scene
    return np.asarray(scene.canvas_mask() >= 0.5)


def _options(job: Job) -> Mapping[str, Any]:
    return options_to_dict(job.options)


def _with_pixels(like: Picture, pixels: Pixels) -> Picture:
    seen = in_srgb(pixels, like)
    return dataclasses.replace(like, native=pixels, pixels=seen, alpha=None)
