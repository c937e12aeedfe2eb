"""What a terminal sees of an execution, and how it stops one."""

from __future__ import annotations

import dataclasses
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from deep_image_blending.cli.console import Style, sayer
from deep_image_blending.errors import Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from deep_image_blending.options.pass_options import PassName
    from deep_image_blending.runs.execution import Outcome
    from deep_image_blending.runs.job import Hooks, Job

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def hooks_for(console: Console, style: Style) -> Hooks:
    """The hooks of a terminal: a line for each decision, a table for each pass, signals that stop it."""
    from deep_image_blending.cli.progress import download_bar, watcher
    from deep_image_blending.networks.download import fetch
    from deep_image_blending.runs.job import Hooks

    say = sayer(console)

    def download(url: str, path: Path) -> None:
        say(f"downloading {path.name}")
        with download_bar(console, style, path.name) as update:
            fetch(url, path, update)

    hooks = Hooks(say=say, download=download)

    @contextmanager
    def around(name: PassName) -> Iterator[Hooks]:
        title = name.replace("_", " ").capitalize()
        with interruptible() as asked, watcher(console, style, title) as watch:
            yield dataclasses.replace(hooks, observers=(watch,), phase=watch.phase, stop=asked)

    return dataclasses.replace(hooks, around=around)


def carried_out(job: Job, console: Console, style: Style) -> Outcome:
    """Execute a job in a terminal. Raises Stopped, with the command that continues it."""
    with job.timings.part("imports"):
        from deep_image_blending.runs.execution import execute
        from deep_image_blending.runs.recorder import Interrupted

    try:
        return execute(job, hooks_for(console, style))
    except Interrupted as stopped:
        after = f" after the {stopped.after.replace('_', ' ')}" if stopped.after else ", checkpoint written"
        raise Stopped(f"stopped{after}; {_remedy(job)}") from None
    except KeyboardInterrupt:
        raise Stopped(f"stopped at once; {_remedy(job)}") from None


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """SIGINT, SIGTERM or SIGHUP asks the pass to stop at the next evaluation.

    Before the pass has first asked whether to, when it has nothing to save, and at a second signal, it stops at
    once by KeyboardInterrupt. A second SIGHUP means no haste: system and shell both send it as a terminal closes.
    """
    polled = asked = False

    def poll() -> bool:
        nonlocal polled
        polled = True
        return asked

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == getattr(signal, "SIGHUP", None):
            return
        if asked or not polled:
            raise KeyboardInterrupt
        asked = True

    previous: dict[Any, Any] = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield poll
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _remedy(job: Job) -> str:
    """How to go on: the command that continues the run, where there is one."""
    if job.folder is None or not (job.folder / "run.json").is_file():
        return "nothing was written; begin again"
    return f"continue with: {continuing(job)}"


def continuing(job: Job) -> str:
    """The command that continues a run."""
    both = len(job.passes) > 1 or job.passes == ("first_pass",)
    verb = "run" if len(job.passes) > 1 else job.passes[0].replace("_", "-") if both else "second-pass"
    quoted = str(job.folder).replace("'", "'\"'\"'")
    words = [f"blend {verb} --output-dir '{quoted}' --resume"]
    asked = {
        "weights": job.machine.weights,
        "threads": job.machine.threads,
        "max-pixels": job.options.placement.max_pixels,
    }
    words += [f"--{name} {shlex.quote(str(value))}" for name, value in asked.items() if value is not None]
    return " ".join(words)
