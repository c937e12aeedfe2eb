"""`blend run`, `first-pass` and `second-pass`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deep_image_blending.cli import BEGAN
from deep_image_blending.cli.console import console_for, sayer, style_of
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.cli.loading import loading
from deep_image_blending.declaration import chosen
from deep_image_blending.errors import InputError
from deep_image_blending.options.catalogue import for_passes
from deep_image_blending.options.output import Output
from deep_image_blending.options.pass_options import PASSES, PassName

if TYPE_CHECKING:
    from rich.console import Console

    from deep_image_blending.cli.console import Style
    from deep_image_blending.runs.execution import Outcome
    from deep_image_blending.runs.job import Job

_PANEL = "Blend"


def _without(names: tuple[str, ...], *left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name not in left_out)


@command("run", takes=_without(for_passes(PASSES), "first_pass_file"), panel=_PANEL, also="blend")
@dataclass
class Run(Command):
    """Both passes, from pictures to a finished blend. Without options: the bundled demo.

    Example:  blend run --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg --x 300 --y 420
    """

    def run(self) -> None:
        _begin_or_resume(self, PASSES)


@command("first-pass", takes=for_passes(("first_pass",)), panel=_PANEL)
@dataclass
class FirstPass(Command):
    """The first pass alone: a seamless boundary.

    Example:  blend first-pass --source-file cat.png --mask-file cat_mask.png --target-file sofa.jpg
    """

    def run(self) -> None:
        _begin_or_resume(self, ("first_pass",))


@command("second-pass", takes=_without(for_passes(("second_pass",)), "demo"), panel=_PANEL)
@dataclass
class SecondPass(Command):
    """The second pass alone: texture and palette, on a saved run or on any saved picture.

    Examples:  blend second-pass results/cat --style-weight 2
    blend second-pass --first-pass-file pasted.png --target-file sofa.jpg --mask-file mask.png
    """

    folder: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run directory with a finished first pass.")
    ] = None

    def run(self) -> None:
        with loading():
            from deep_image_blending.runs.job import again_job, job_of_first_pass, resumed_job

        given, output = self.given(), chosen(Output, self.given())
        folder = self.folder
        if folder is not None and "first_pass_file" in given:
            raise InputError("give either a run directory or --first-pass-file, not both")
        if output.resume:
            if folder is not None and output.output_dir is not None:
                raise InputError("--output-dir is not used with a run directory; leave it out")
            folder = folder or output.output_dir
            if folder is None:
                raise InputError("--resume needs a run directory")
            do(resumed_job(folder, given, ("second_pass",)))
        elif folder is not None:
            do(again_job(folder, given))
        elif "first_pass_file" in given:
            do(job_of_first_pass(given))
        else:
            raise InputError("give a run directory, or --first-pass-file with --target-file")


def _begin_or_resume(command: Command, passes: tuple[PassName, ...]) -> None:
    with loading():
        from deep_image_blending.runs.job import new_job, resumed_job

    given = command.given()
    output = chosen(Output, given)
    if not output.resume:
        do(new_job(given, passes))
    elif output.output_dir is None:
        raise InputError("--resume needs --output-dir, the run to continue")
    else:
        do(resumed_job(output.output_dir, given, passes))


def do(job: Job) -> None:
    """Plan or execute a job, and say what came of it."""
    from deep_image_blending.cli.watching import carried_out
    from deep_image_blending.runs.directory import MANIFEST, require_own

    job.timings.add("imports", job.timings.began - BEGAN)
    console = console_for(job.output.quiet)
    style = style_of(console, job.output.quiet, job.output.plain)
    if job.mode == "resume" and not job.passes:
        console.print(f"'{job.folder}' is finished; nothing to continue", soft_wrap=True)
        return
    if job.output.save_video and job.folder is not None and (job.folder / MANIFEST).is_file():
        require_own(job.folder / "blend.mp4")
    if job.output.dry_run:
        _print_plan(job, console)
        return
    if job.folder is None:
        job = dataclasses.replace(job, folder=_free_folder(job.name))
    outcome = carried_out(job, console, style)
    _summary(outcome, console)
    if job.output.timings:
        _print_timings(job.timings.seconds())
    if job.output.save_video:
        _save_video(outcome, console, style)


def _print_plan(job: Job, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from deep_image_blending.runs.execution import prepare
    from deep_image_blending.runs.job import Hooks
    from deep_image_blending.runs.plan import rows

    ready = prepare(job, Hooks(say=sayer(console)), planning=True)
    plan = ready.decision.plan
    table = Table("", *(one.name.replace("_", " ") for one in plan.passes), title_justify="left")
    table.title = "What would be done; nothing was written"
    for label, *values in rows(ready.decision, ready.options, ready.loaded):
        table.add_row(Text(label), *map(Text, values))
    console_for(False, stderr=False).print(table)


def _print_timings(seconds: Mapping[str, float]) -> None:
    from rich.table import Table

    whole = sum(seconds.values())
    table = Table("", "seconds", "share", title="Where the seconds went", title_justify="left")
    for name, spent in [*seconds.items(), ("in all", whole)]:
        table.add_row(name, f"{spent:.2f}", f"{100 * spent / whole:.0f} %")
    console_for(False, stderr=False).print(table)


def _summary(outcome: Outcome, console: Console) -> None:
    """The finished picture first and alone, then what changed in words."""
    from deep_image_blending.cli.summary import lines

    for line in lines(outcome):
        console.print(line, soft_wrap=True)


def _save_video(outcome: Outcome, console: Console, style: Style) -> None:
    from deep_image_blending.cli.progress import steps_bar
    from deep_image_blending.runs.directory import RunDirectory
    from deep_image_blending.views.video import make_video

    assert outcome.folder is not None
    with RunDirectory.open(outcome.folder) as run, steps_bar(console, style, "frame") as progress:
        path, frames = make_video(run, progress=progress)
        run.remember(path)
    console.print(f"{path}: {frames} frames", soft_wrap=True)


def _free_folder(name: str) -> Path:
    path, number = Path("results") / name, 2
    while path.exists():
        path, number = Path("results") / f"{name}-{number}", number + 1
    return path
