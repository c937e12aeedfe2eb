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

    runs: Annotated[list[Path], typer.Argument(help="Run directories.")]
    output_file: Annotated[Path, typer.Option(help="Picture to write.", rich_help_panel=OUTPUT)] = Path(
        "comparison.png"
    )
    crop: Annotated[bool, typer.Option("--crop", help="Show the object alone.", rich_help_panel=SHEET)] = False
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=SHEET)] = None

    def run(self) -> None:
        from deep_image_blending.pictures import check_writable, write_picture
        from deep_image_blending.runs.directory import RunDirectory
        from deep_image_blending.views.contact_sheet import comparison

        check_writable(self.output_file)
        opened = [RunDirectory.open(path, write=False) for path in self.runs]
        write_picture(self.output_file, comparison(opened, crop=self.crop, columns=self.columns))
        console_for(False).print(str(self.output_file), soft_wrap=True)
