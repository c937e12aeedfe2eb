"""`blend preview`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for, sayer
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.options.catalogue import names_of
from deep_image_blending.options.groups import OUTPUT
from deep_image_blending.options.picture_files import PictureFiles
from deep_image_blending.pictures.placement import Placement


@command(
    "preview",
    takes=(*(name for name in names_of(PictureFiles, Placement) if name != "first_pass_file"), "matte", "quiet"),
    panel="Look",
)
@dataclass
class Preview(Command):
    """The placement at once: the paste, the region that will be optimised, and the Poisson solution, side by side.

    Terminals that show pictures (kitty, Ghostty, Konsole, iTerm2, WezTerm, mintty) show it as well.

    Example:  blend preview --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """

    unnamed = Path("preview.png")
    output_file: Annotated[
        Path | None, typer.Option(help="Picture to write. Default: preview.png.", rich_help_panel=OUTPUT)
    ] = None
    show: Annotated[
        bool | None,
        typer.Option(
            "--show/--no-show",
            help="Show it in the terminal, too. Default: where that is possible.",
            rich_help_panel=OUTPUT,
        ),
    ] = None

    def run(self) -> None:
        from deep_image_blending.cli.scenes import placed_scene
        from deep_image_blending.cli.terminal import show as show_picture
        from deep_image_blending.pictures import write_picture
        from deep_image_blending.views.preview import describe, preview

        given = self.given()
        quiet = bool(given.get("quiet"))
        path = self.output_path()
        console = console_for(quiet)
        # As `blend run` does it, unless told otherwise.
        scene = placed_scene({"matte": "auto", **given}, say=sayer(console))
        sheet = preview(scene)
        if not quiet:
            show_picture(sheet, sys.stderr, os.environ, console.width, asked=self.show)
        write_picture(path, sheet)
        for line in (*describe(scene), str(path)):
            console.print(line, soft_wrap=True)
