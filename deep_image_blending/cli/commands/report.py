"""`blend report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.errors import InputError
from deep_image_blending.options.groups import OUTPUT


@command("report", panel="Look")
@dataclass
class Report(Command):
    """One self-contained HTML page: pictures with a wipe, palettes, measures, loss curves, every option.

    Example:  blend report results/cat results/cat-2 --output-file cats.html
    """

    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories, shown side by side.")]
    output_file: Annotated[
        Path | None,
        typer.Option(help="Page to write (default: report.html in the first run).", rich_help_panel=OUTPUT),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors alone.", rich_help_panel=OUTPUT)] = False

    def run(self) -> None:
        from deep_image_blending.cli.outputs import remember
        from deep_image_blending.cli.progress import steps_bar
        from deep_image_blending.files import require_writable
        from deep_image_blending.runs.directory import RunDirectory, require_own
        from deep_image_blending.views.report import write_report

        opened, console = [RunDirectory.open(run, write=False) for run in self.runs], console_for(self.quiet)
        path = self.output_file
        if path is None:
            path = self.runs[0] / "report.html"
            require_own(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"'{path}' is no page's name; end it in .html")
        require_writable(path)
        with steps_bar(console, style_of(console, self.quiet), "run") as progress:
            write_report(opened, path, progress)
        remember(path)
        console.print(str(path), soft_wrap=True)
