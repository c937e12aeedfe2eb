"""`blend make-video`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.options.groups import OUTPUT, VIDEO


@command("make-video", panel="Look")
@dataclass
class MakeVideo(Command):
    """A video of what the passes saved, long after the run, at equal perceived change.

    Example:  blend make-video results/cat --fps 15 --layout side-by-side --format gif
    """

    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
    fps: Annotated[float, typer.Option(min=0.1, max=240, help="Frames per second.", rich_help_panel=VIDEO)] = 12.0
    seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=600,
            help="How long the passes take, between the stills at either end.",
            rich_help_panel=VIDEO,
        ),
    ] = 6.0
    layout: Annotated[
        str,
        typer.Option(
            help="blend, side-by-side (paste | blend), curve (losses below) or side-by-side-curve.",
            rich_help_panel=VIDEO,
        ),
    ] = "blend"
    format: Annotated[
        str | None,
        typer.Option(help="mp4, gif or webp. Default: as --output-file says, else mp4.", rich_help_panel=VIDEO),
    ] = None
    output_file: Annotated[
        Path | None, typer.Option(help="Default: blend.FORMAT in the run.", rich_help_panel=OUTPUT)
    ] = None
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines in place of a bar.", rich_help_panel=OUTPUT)
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors alone.", rich_help_panel=OUTPUT)] = False

    def run(self) -> None:
        from deep_image_blending.cli.outputs import remember
        from deep_image_blending.cli.progress import steps_bar
        from deep_image_blending.runs.directory import RunDirectory, require_own
        from deep_image_blending.views.video import VideoOptions, make_video

        console = console_for(self.quiet)
        opened = RunDirectory.open(self.folder, write=False)
        if self.output_file is None:
            require_own(self.folder / f"blend.{self.format or 'mp4'}")
        with steps_bar(console, style_of(console, self.quiet, self.plain), "frame") as progress:
            options = VideoOptions(self.fps, self.seconds, self.layout, self.format, self.output_file)
            path, frames = make_video(opened, options, progress)
        remember(path)
        console.print(f"{path}: {frames} frames at {self.fps:g} a second", soft_wrap=True)
