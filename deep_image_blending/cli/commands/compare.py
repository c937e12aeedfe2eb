"""`blend compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.options.groups import OUTPUT, SHEET


@command("compare", panel="Look")
@dataclass
class Compare(Command):
    """A labelled contact sheet of the pictures of one run or several.

    Example:  blend compare results/cat results/cat-2 --crop
    """

    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories.")]
    unnamed = Path("comparison.png")
    output_file: Annotated[
        Path | None, typer.Option(help="Picture to write. Default: comparison.png.", rich_help_panel=OUTPUT)
    ] = None
    crop: Annotated[bool, typer.Option("--crop", help="Show the object alone.", rich_help_panel=SHEET)] = False
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=SHEET)] = None

    def run(self) -> None:
        from deep_image_blending.pictures import write_picture
        from deep_image_blending.runs.directory import RunDirectory
        from deep_image_blending.views.contact_sheet import comparison

        path = self.output_path()
        opened = [RunDirectory.open(run, write=False) for run in self.runs]
        write_picture(path, comparison(opened, crop=self.crop, columns=self.columns))
        console_for(False).print(str(path), soft_wrap=True)
