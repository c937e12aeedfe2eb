"""What a report shows of a run, from its files and, where they are still there, its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import InputError
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.options.pass_options import PASSES
from deep_image_blending.passes.start import poisson_start
from deep_image_blending.pictures import as_bytes, as_float
from deep_image_blending.pictures.scene import Scene
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.inputs import inputs_of, scene_of
from deep_image_blending.runs.job import stored_options
from deep_image_blending.views.contact_sheet import Box, Pixels, run_pictures, with_margin
from deep_image_blending.views.curves import Table
from deep_image_blending.views.report.boundary import boundary_box
from deep_image_blending.views.report.palette import Palette, palette

Measures = Mapping[str, Mapping[str, float]]
"""By picture, then by name."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of a run. pictures: (name, (H, W, 3) uint8), the paste first; boxes: (name, box).

    palettes: (whose, [(share, colour)]). losses: those of each pass that has more than one evaluation.
    """

    name: str
    manifest: Mapping[str, Any]
    pictures: list[tuple[str, Pixels]]
    boxes: list[tuple[str, Box]]
    notes: list[str]
    palettes: list[tuple[str, Palette]]
    measures: Measures
    losses: list[Table]

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.pictures[0][1].shape[:2]
        return height, width


def gathered(run: RunDirectory, name: str) -> Shown:
    """Everything of a run; a note in place of what its inputs would be needed for and are gone.

    Raises InputError for a run without pictures, or with a damaged loss table.
    """
    pictures = [(name, as_bytes(pixels)) for name, pixels in run_pictures(run)]
    notes: list[str] = []
    measures: dict[str, Mapping[str, float]] = {}
    scene = None
    try:
        scene = _scene(run)
    except InputError as error:
        notes.append(f"Poisson is left out: {error}")
    if scene is not None:
        pictures[1:1] = [("Poisson", _poisson(scene))]
        measures = {title: evaluate_scene(scene, as_float(pixels)) for title, pixels in pictures[:2]}
    measures |= _stored_measures(run.manifest.get("metrics"))
    changed = _changed(scene, pictures)
    return Shown(
        name,
        run.manifest,
        pictures,
        _boxes(run, pictures[0][1], changed),
        notes,
        _palettes(pictures, changed),
        measures,
        [(name, rows) for name in PASSES if len(rows := run.read_losses(name)) > 1],
    )


def _scene(run: RunDirectory) -> Scene:
    """The run's scene, from its inputs. Raises InputError where they are gone, changed, or placed otherwise."""
    options = stored_options(run)
    scene = scene_of(inputs_of(run, options.placement), options, lambda _: None).scene
    if list(scene.region()) != list(run.manifest.get("placement", {}).get("region", ())):
        raise InputError(f"run '{run.path}' was placed in another way")
    return scene


def _poisson(scene: Scene) -> Pixels:
    window = scene.window(1)
    start = poisson_start(window)
    picture, _ = scene.on_canvas(window, window.target + window.mask[..., None] * (start - window.target))
    return np.asarray(np.rint(picture.clip(0, 255)), np.uint8)


def _changed(scene: Scene | None, pictures: list[tuple[str, Pixels]]) -> npt.NDArray[np.bool_]:
    """Where the object is, (H, W): inside the mask or, where that is gone, where pictures differ."""
    if scene is not None:
        return np.asarray(scene.window(None).mask >= 0.5)
    paste, last = pictures[0][1], pictures[min(1, len(pictures) - 1)][1]
    return np.asarray((paste != last).any(-1))


def _boxes(run: RunDirectory, paste: Pixels, changed: npt.NDArray[np.bool_]) -> list[tuple[str, Box]]:
    boxes: list[tuple[str, Box]] = []
    region = run.manifest.get("placement", {}).get("region")
    if region is not None:
        boxes.append(("object", with_margin(region, changed.shape, 0.12)))
    if changed.any() and not changed.all():
        boxes.append(("boundary, where the paste shows most", boundary_box(paste, changed)))
    return boxes


def _palettes(pictures: list[tuple[str, Pixels]], changed: npt.NDArray[np.bool_]) -> list[tuple[str, Palette]]:
    if not changed.any():
        return []
    around = [] if changed.all() else [("surroundings", palette(pictures[0][1], ~changed))]
    return around + [(title, palette(pixels, changed)) for title, pixels in (pictures[0], pictures[-1])]


def _stored_measures(stored: Any) -> dict[str, Mapping[str, float]]:
    """`metrics` of the manifest: numbers by pass, or, of one picture, by name."""
    if not isinstance(stored, Mapping) or not stored:
        return {}
    by_pass = {key.replace("_", " "): value for key, value in stored.items() if isinstance(value, Mapping)}
    return {
        title: {name: value for name, value in found.items() if isinstance(value, int | float)}
        for title, found in (by_pass or {"result": stored}).items()
    }
