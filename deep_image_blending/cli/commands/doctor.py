"""`blend doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.options.groups import OUTPUT


@command("doctor", panel="Set up")
@dataclass
class Doctor(Command):
    """Devices, versions, cached weights, ffmpeg, and what is missing.

    Example:  blend doctor --json
    """

    json: Annotated[bool, typer.Option("--json", help="JSON in place of lines.", rich_help_panel=OUTPUT)] = False

    def run(self) -> None:
        import json as encoder

        from deep_image_blending.cli import findings

        found = findings.findings()
        if self.json:
            entries = [
                {"name": one.name, "found": one.found, "fine": one.fine, "remedy": one.remedy} for one in found
            ]
            typer.echo(encoder.dumps({"fine": all(one.fine for one in found), "findings": entries}, indent=2))
        else:
            console = console_for(False, stderr=False)
            for one in found:
                remedy = f"; {one.remedy}" if one.remedy else ""
                line = f"{'ok     ' if one.fine else 'MISSING'}  {one.name:<22}  {one.found}{remedy}"
                console.print(line, soft_wrap=True)
        if not all(one.fine for one in found):
            raise typer.Exit(1)
