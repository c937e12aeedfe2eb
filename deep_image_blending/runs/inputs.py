"""The pictures of a run, and the scene that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.files import sha256_of
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.options.run_options import STARTS, Options
from deep_image_blending.pictures import (
    Float,
    Picture,
    as_float,
    load_mask,
    load_picture,
    looks_inverted,
)
from deep_image_blending.pictures.cutting.matte import matted
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.room import require_room_for_files
from deep_image_blending.timings import Timings

Say = Callable[[str], None]
SceneKind = Literal["placed", "first pass"]


@dataclass(frozen=True)
class Inputs:
    """The pictures of a run.

    mask (h, w) in 0..1, or None: the source's alpha channel. kind: `placed` is an object on a target; in `first
    pass` the source is a saved first-pass picture of the canvas's size, and without a mask the whole canvas is
    its object.
    """

    source: Picture
    mask: Float | None
    target: Picture
    mask_path: Path | None = None
    kind: SceneKind = "placed"

    def described(self) -> dict[str, Any]:
        """Paths and hashes, for the manifest."""
        entries: dict[str, Any] = {
            "source": {"path": str(self.source.path), "sha256": self.source.sha256},
            "target": {"path": str(self.target.path), "sha256": self.target.sha256},
        }
        if self.mask_path is not None:
            entries["mask"] = {"path": str(self.mask_path), "sha256": sha256_of(self.mask_path)}
        return entries


def read_inputs(
    source: Path,
    mask: Path | None,
    target: Path,
    placement: Placement | None = None,
    kind: SceneKind = "placed",
    max_memory: float | None = None,
) -> Inputs:
    """Read the three files, where their headings say that there is memory for them.

    max_memory: GiB that the process may hold on the host. Raises InputError that names the file that is wrong.
    """
    placement = placement or Placement()
    limit: dict[str, Any] = {} if placement.max_pixels is None else {"max_pixels": placement.max_pixels}
    own = placement if kind == "placed" else dataclasses.replace(placement, ss=None)
    require_room_for_files({"source": source, "target": target, "mask": mask}, own, max_memory)
    return Inputs(
        load_picture(source, **limit),
        None if mask is None else load_mask(mask, **limit),
        load_picture(target, **limit),
        None if mask is None else mask.absolute(),
        kind,
    )


def inputs_of(run: RunDirectory, placement: Placement, max_memory: float | None = None) -> Inputs:
    """The inputs that a run was made of. Raises InputError when one is gone or has changed."""
    entries = run.manifest.get("inputs", {})
    paths: dict[str, Path | None] = {"mask": None}
    for name in ("source", "target", "mask"):
        if name not in entries:
            continue
        path = Path(entries[name]["path"])
        if not path.is_file():
            raise InputError(f"run '{run.path}' was made of '{path}', which is gone; put it back")
        if sha256_of(path) != entries[name]["sha256"]:
            raise InputError(f"'{path}' has changed since run '{run.path}' was made of it; start a new run")
        paths[name] = path
    source, target = paths.get("source"), paths.get("target")
    if source is None or target is None:
        raise InputError(f"run '{run.path}' does not say what it was made of; start a new run")
    return read_inputs(source, paths["mask"], target, placement, run.manifest.get("scene", "placed"), max_memory)


@dataclass(frozen=True)
class Placed:
    """A scene, the options that it decides, and, where the mask was tightened or tried to be, the record of
    that."""

    scene: Scene
    options: Options
    matte: Mapping[str, Any] | None = None


def scene_of(inputs: Inputs, options: Options, say: Say, timings: Timings | None = None) -> Placed:
    """Place the object, and say what looks odd."""
    timings = timings or Timings()
    if inputs.kind == "first pass":
        with timings.part("placing"):
            return _first_pass_scene(inputs, options, say)
    source, mask, record = inputs.source, inputs.mask, None
    if options.matte != "off":
        with timings.part("tightening"):
            found = matted(source, mask, options.matte, options.placement.fit_mask)
        source, mask, record = found.source, found.mask, found.record
        say(found.said)
    with timings.part("placing"):
        scene = compose_scene(source, mask, inputs.target, options.placement)
    kind_of(options.first.objective).require(scene)
    if looks_inverted(scene.mask):
        say("the mask is white at its border and darker inside: if the object is painted black, invert the mask")
    return Placed(scene, options, record)


def start_picture(options: Options, canvas: tuple[int, int], given: Float | None = None) -> Float | None:
    """The image (H, W, 3) that the first pass starts from, where it does. Raises InputError for another size.

    given: an image in memory, in place of the file that the options name.
    """
    if given is None and options.init in STARTS:
        return None
    picture = as_float(load_picture(Path(options.init)).pixels) if given is None else given
    if picture.shape[:2] != canvas:
        name = "" if given is not None else f"'{options.init}' "
        raise InputError(
            f"--init {name}is {picture.shape[1]}x{picture.shape[0]} but the canvas is {canvas[1]}x{canvas[0]}: "
            "give an image of the canvas's size"
        )
    return picture


def _first_pass_scene(inputs: Inputs, options: Options, say: Say) -> Placed:
    """A canvas-sized first-pass picture as the object, inside the mask or, where there is none, everywhere.

    The mask is of the canvas's size, or placed on it as a source's would be.
    """
    first, mask, target, placement = inputs.source, inputs.mask, inputs.target, options.placement
    scene = compose_scene(first, np.ones(first.pixels.shape[:2], np.float32), target, Placement(ts=placement.ts))
    height, width = scene.canvas
    if first.pixels.shape[:2] != (height, width):
        raise InputError(
            f"'{first.path}' is {first.pixels.shape[1]}x{first.pixels.shape[0]} but '{target.path}' is "
            f"{width}x{height}: a first-pass picture has the size of its canvas (see --ts)"
        )
    if mask is None:
        say("no mask: the second pass works on the whole canvas")
        return Placed(scene, options.with_pass("second_pass", dataclasses.replace(options.second, canvas=True)))
    if mask.shape != (height, width):
        blank = dataclasses.replace(first, pixels=np.zeros((*mask.shape, 3), np.uint8), alpha=None)
        placed = compose_scene(blank, mask, target, placement)
        part, top, left = placed.canvas_mask_crop()
        mask = np.zeros((height, width), np.float32)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    if not (mask > 0).any():
        raise InputError("the mask is empty: no pixel is above black; paint the object white")
    return Placed(dataclasses.replace(scene, mask=mask), options)
