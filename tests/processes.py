"""Commands in processes that are killed, starved and interrupted, and what their runs must equal."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

from deep_image_blending.cli.app import main, parser
from tests.conftest import Case

STEPS = 8
TINY = ("--backbone", "random", "--num-steps", str(STEPS), "--checkpoint-every", "0", "--plain")
VARIANTS: dict[str, tuple[str, ...]] = {
    "natural": (),
    "two levels that settle early": ("--levels", "2", "--num-steps", "24", "--tolerance", "2"),
    "noise start": ("--init", "noise", "--seed", "3", "--history", "4"),
    "published": ("--preset", "wacv2020", "--ss", "12", "--ts", "24"),
    "painterly": ("--preset", "painterly"),
}

LOADED_LATE = (
    *(
        "deep_image_blending.api",
        "deep_image_blending.passes",
        "deep_image_blending.cli.watching",
        "deep_image_blending.cli.progress",
        "imagecodecs",
    ),
    *(
        "PIL.BmpImagePlugin",
        "PIL.GifImagePlugin",
        "PIL.JpegImagePlugin",
        "PIL.PngImagePlugin",
        "PIL.PpmImagePlugin",
    ),
    *("typer._adapters", "rich._emoji_codes", "pydantic.plugin._loader", "torch._dynamo"),
)
"""What a command imports on its way, loaded before the processes fork."""
parser()

Suffering = Callable[[], None]
"""What happens in the process that is to suffer: a picklable object, called there before the command."""


@dataclass(frozen=True)
class KillAtWrite:
    """SIGKILL at the n-th whole-file write: with half of its bytes written, before, or after the renaming."""

    number: int
    stage: str

    def __call__(self) -> None:
        fsync, replace, seen = os.fsync, Path.replace, 0

        def dying_fsync(descriptor: int) -> None:
            nonlocal seen
            if os.path.isfile(f"/proc/self/fd/{descriptor}"):  # noqa: PTH113
                seen += 1
                if seen == self.number and self.stage == "half":
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)
            fsync(descriptor)

        def dying_replace(path: Path, target: Path) -> Path:
            if seen == self.number and self.stage == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = replace(path, target)
            if seen == self.number and self.stage == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        os.fsync, Path.replace = dying_fsync, dying_replace  # type: ignore[assignment, method-assign]


def _at_write_of(name: str, number: int, happens: Callable[[], object]) -> None:
    """`happens` when the temporary file of the n-th write of a file of this name has been opened."""
    make, seen = os.open, 0

    def making(path: Any, *given: Any, **named: Any) -> int:
        nonlocal seen
        made = make(path, *given, **named)
        if fnmatch(os.path.basename(path), f".{name}.*.tmp"):  # noqa: PTH119
            seen += 1
            if seen == number:
                happens()
        return made

    os.open = making  # type: ignore[assignment]


@dataclass(frozen=True)
class SignalAtWriteOf:
    """A signal while the n-th file of this name is being written."""

    name: str
    number: int = 1
    sent: int = signal.SIGKILL

    def __call__(self) -> None:
        _at_write_of(self.name, self.number, lambda: os.kill(os.getpid(), self.sent))


@dataclass(frozen=True)
class FullAtWriteOf:
    """From the n-th file of this name on, no file takes more than some bytes."""

    name: str
    number: int = 1
    size: int = 64

    def __call__(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        _at_write_of(self.name, self.number, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, most)))


def _at_call(
    module: str, function: str, number: int, happens: Callable[[], object], *, ever_after: bool = False
) -> None:
    """`happens` when a function of the package is entered for the n-th time, and perhaps from then on."""
    owner: Any = sys.modules[f"deep_image_blending.{module}"]
    *holders, name = function.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    plain, seen = getattr(owner, name), 0

    def watched(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number or (ever_after and seen > number):
            happens()
        return plain(*arguments, **named)

    setattr(owner, name, watched)


@dataclass(frozen=True)
class SignalAt:
    """Signals when a function of the package is entered for the n-th time."""

    module: str
    function: str
    number: int = 1
    sent: tuple[int, ...] = (signal.SIGINT,)

    def __call__(self) -> None:
        def send() -> None:
            for one in self.sent:
                os.kill(os.getpid(), one)

        _at_call(self.module, self.function, self.number, send)


@dataclass(frozen=True)
class StarvedAt:
    """When a function is entered for the n-th time, an allocator of torch or of NumPy has no memory.

    for_good: and whenever it is entered from then on.
    """

    allocator: str
    module: str
    function: str
    number: int = 1
    for_good: bool = True

    def __call__(self) -> None:
        import numpy as np
        import torch

        # A pebibyte, more than an address can name on any machine.
        allocate = {"torch": torch.empty, "numpy": np.empty}[self.allocator]
        _at_call(self.module, self.function, self.number, lambda: allocate(2**48), ever_after=self.for_good)


@dataclass(frozen=True)
class FolderAt:
    """At the n-th evaluation of both passes a folder is removed, or forbidden, as to a user who is not root."""

    number: int
    done: str
    folder: Path

    def __call__(self) -> None:
        _at_call("runs.recorder", "Recorder.__call__", self.number, self._change)

    def _change(self) -> None:
        if self.done == "removed":
            shutil.rmtree(self.folder)
            return
        for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
            folder.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)


def allow(folder: Path) -> None:
    """Undo what `FolderAt` forbade."""
    for path in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        path.chmod(0o755)


def _child(arguments: list[str], out: Connection, err: Connection, suffering: Suffering | None) -> None:
    """One command in this process, as the console script calls it."""
    import torch

    import deep_image_blending.api
    import deep_image_blending.cli.progress  # noqa: F401

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    # A pipe in place of a file: a full disk does not take the words away.
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    if suffering is not None:
        suffering()
    try:
        main(arguments)
    except SystemExit as ended:
        sys.stdout.flush()
        os._exit(int(ended.code or 0))


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it, and what it printed."""

    code: int
    out: str
    err: str


class Started:
    """A command in a process of its own."""

    def __init__(self, context: Any, arguments: tuple[str, ...], suffering: Suffering | None) -> None:
        self.arguments = arguments
        (self.out, out), (self.err, err) = context.Pipe(duplex=False), context.Pipe(duplex=False)
        self.process = context.Process(target=_child, args=(list(arguments), out, err, suffering))
        self.process.start()
        out.close()
        err.close()

    def ended(self) -> Ended:
        """Wait for the end. No command may ever show a traceback."""
        printed = []
        for pipe in (self.out, self.err):
            with os.fdopen(os.dup(pipe.fileno())) as stream:
                printed.append(stream.read())
            pipe.close()
        self.process.join(60)
        assert self.process.exitcode is not None, f"still running: {self.arguments}"
        assert "Traceback" not in printed[1], printed[1]
        return Ended(self.process.exitcode, *printed)


class Commands:
    """Runs `blend ARGUMENTS` in processes that a warm one forks: Python and PyTorch are loaded once."""

    def __init__(self) -> None:
        self.kills = 0
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.processes", *LOADED_LATE])

    def start(self, *arguments: str, suffering: Suffering | None = None) -> Started:
        return Started(self.context, arguments, suffering)

    def __call__(
        self, *arguments: str, suffering: Suffering | None = None, kill_after: float | None = None
    ) -> Ended:
        started = self.start(*arguments, suffering=suffering)
        if kill_after is not None:
            started.process.join(kill_after)
            started.process.kill()
        ended = started.ended()
        self.kills += ended.code == -signal.SIGKILL
        return ended


def begin(pictures: Case, path: Path, variant: str = "natural") -> list[str]:
    return ["run", *pictures.options(), *TINY, *VARIANTS[variant], "--output-dir", str(path)]


def resume(path: Path) -> list[str]:
    return ["run", "--output-dir", str(path), "--resume", "--checkpoint-every", "0", "--plain"]


def begin_or_resume(pictures: Case, path: Path, variant: str = "natural") -> list[str]:
    """A run that has its manifest goes on; what died before that never started."""
    return resume(path) if (path / "run.json").exists() else begin(pictures, path, variant)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        del row["seconds"]
    return rows


def passes_of(path: Path) -> dict[str, Any]:
    """What the manifest says of both passes, but for the time that they took."""
    passes = json.loads((path / "run.json").read_text())["passes"]
    return {
        name: {k: v for k, v in entry.items() if k not in ("seconds", "pid", "finished")}
        for name, entry in passes.items()
    }


def assert_same_run(path: Path, other: Path) -> None:
    """Bit for bit: pictures, frames, losses; and nothing left over."""
    for name in ("composite.png", "first_pass.png", "second_pass.png"):
        assert (path / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("first_pass.losses.csv", "second_pass.losses.csv"):
        assert table(path / name) == table(other / name), name
    names = [sorted(p.name for p in (folder / "frames").iterdir()) for folder in (path, other)]
    assert names[0] == names[1]
    for name in names[0]:
        assert (path / "frames" / name).read_bytes() == (other / "frames" / name).read_bytes(), name
    assert passes_of(path) == passes_of(other)
    assert not list(path.rglob("*.tmp"))
    assert not list((path / "checkpoints").iterdir())


def assert_files_whole(path: Path) -> None:
    """Every file that has its name is whole."""
    for picture in (*path.rglob("*.png"), *path.rglob("*.jpg")):
        with Image.open(picture) as image:
            image.load()
    for losses in path.glob("*.csv"):
        table(losses)
    if (path / "run.json").exists():
        json.loads((path / "run.json").read_text())
