"""`blend ablation`."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from deep_image_blending.cli.console import console_for, sayer, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.cli.measures_table import print_measures
from deep_image_blending.errors import Stopped
from deep_image_blending.options.catalogue import for_passes
from deep_image_blending.options.groups import OUTPUT, SHEET
from deep_image_blending.options.pass_options import PASSES

_LEFT_OUT = ("first_pass_file", "dry_run", "save_video", "resume", "checkpoint_every")


@command("ablation", takes=(name for name in for_passes(PASSES) if name not in _LEFT_OUT), panel="Look")
@dataclass
class Ablation(Command):
    """One loss left out at a time, with paste, Poisson cloning and another start, on one labelled sheet.

    With --output-dir each blend is kept there as a run in its own subdirectory.

    Example:  blend ablation --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --crop
    """

    unnamed = Path("ablation.png")
    output_file: Annotated[
        Path | None, typer.Option(help="Sheet to write. Default: ablation.png.", rich_help_panel=OUTPUT)
    ] = None
    crop: Annotated[bool, typer.Option("--crop", help="Show the object alone.", rich_help_panel=SHEET)] = False
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.", rich_help_panel=SHEET)] = None
    json: Annotated[
        bool, typer.Option("--json", help="The measures as JSON in place of a table.", rich_help_panel=OUTPUT)
    ] = False

    def run(self) -> None:
        from deep_image_blending.cli.progress import study_bar
        from deep_image_blending.cli.watching import hooks_for, interruptible
        from deep_image_blending.pictures import write_picture
        from deep_image_blending.runs.directory import require_free
        from deep_image_blending.runs.execution import prepare
        from deep_image_blending.runs.job import new_job
        from deep_image_blending.runs.recorder import Interrupted
        from deep_image_blending.views import ablation

        path = self.output_path()
        given = dict(self.given())
        kept = given.pop("output_dir", None)
        job = new_job(given)
        output = job.output
        console = console_for(output.quiet)
        style = style_of(console, output.quiet, output.plain)
        if kept is not None:
            for variant in ablation.variants(job.options):
                require_free(Path(kept) / variant.folder, force=output.force)
        hooks = hooks_for(console, style)
        ready = prepare(job, dataclasses.replace(hooks, say=sayer(console)))
        with contextlib.ExitStack() as stack:
            folder = Path(kept) if kept is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tell = stack.enter_context(study_bar(console, style))
            stop = stack.enter_context(interruptible())
            try:
                rows = list(ablation.study(ready, folder, tell, stop))
            except (Interrupted, KeyboardInterrupt):
                rest = f"; what is finished is in '{kept}'" if kept is not None else ""
                raise Stopped(f"stopped{rest}") from None
        write_picture(path, ablation.sheet(ready.scene, rows, crop=self.crop, columns=self.columns))
        print_measures({row.label: row.measures for row in rows}, self.json)
        console.print(str(path), soft_wrap=True)
