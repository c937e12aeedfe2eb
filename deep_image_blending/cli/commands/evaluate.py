"""`blend evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.cli.measures_table import print_measures
from deep_image_blending.errors import InputError
from deep_image_blending.options.catalogue import names_of
from deep_image_blending.options.groups import METHOD, OUTPUT
from deep_image_blending.options.pass_options import PASSES
from deep_image_blending.options.picture_files import PictureFiles
from deep_image_blending.options.resolve import checked_names, placed, refuse_unused
from deep_image_blending.pictures.placement import Placement

_SCENE = (*(name for name in names_of(PictureFiles, Placement) if name not in ("first_pass_file", "demo")),)


@command("evaluate", takes=(*_SCENE, "weights", "quiet"), panel="Look")
@dataclass
class Evaluate(Command):
    """Quality without ground truth: seam, colour bleed, contrast, style and more, of runs or pictures.

    Example:  blend evaluate results/cat results/cat-2 --json
    """

    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Run directories, or blended pictures with the options below."),
    ]
    json: Annotated[bool, typer.Option("--json", help="JSON in place of a table.", rich_help_panel=OUTPUT)] = False
    features: Annotated[
        str, typer.Option(help="Backbone that measures style and content, or none.", rich_help_panel=METHOD)
    ] = "embedded"

    def run(self) -> None:
        from deep_image_blending.cli.progress import stage
        from deep_image_blending.cli.scenes import placed_scene
        from deep_image_blending.measures import evaluate_scene
        from deep_image_blending.pictures import load_picture
        from deep_image_blending.runs.directory import RunDirectory
        from deep_image_blending.runs.inputs import inputs_of, scene_of
        from deep_image_blending.runs.job import stored_options
        from deep_image_blending.views.names import distinct_names

        given = self.given()
        for path in self.paths:
            if not path.exists():
                raise InputError(f"'{path}' does not exist; give a run directory, or a blended picture")
        checked_names(given)
        placed(given)
        found: dict[str, dict[str, float]] = {}
        quiet = bool(given.get("quiet"))
        console = console_for(quiet)
        weights = given.get("weights")
        if self.features == "none":
            refuse_unused(given, ["weights"], "--features none")
        if all(path.is_dir() for path in self.paths):
            refuse_unused(given, _SCENE, "run directories, which know their pictures")
        for path, label in zip(self.paths, distinct_names(self.paths), strict=True):
            if path.is_dir():
                run = RunDirectory.open(path, write=False)
                options = stored_options(run)
                scene = scene_of(inputs_of(run, options.placement), options, lambda _: None).scene
                finished = [file for name in reversed(PASSES) if (file := run.picture_path(name)).is_file()]
                if not finished:
                    raise InputError(f"run '{path}' has no finished pass to evaluate; continue it with --resume")
                picture = finished[0]
            else:
                scene, picture = placed_scene(given, demo=False), path
            pixels = load_picture(picture).pixels
            if pixels.shape[:2] != scene.canvas:
                height, width = scene.canvas
                raise InputError(f"'{picture}' has not the size of its canvas, {width}x{height}")
            backbone = None if self.features == "none" else self.features
            with stage(console, style_of(console, quiet), f"measuring {path}"):
                found[str(path) if self.json else label] = evaluate_scene(
                    scene, pixels, backbone=backbone, weights=None if weights is None else Path(weights)
                )
        print_measures(found, self.json)
