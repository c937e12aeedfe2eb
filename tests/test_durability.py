"""Runs that are killed, starved, damaged and interrupted, by processes that truly are."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deep_image_blending.cli import run_command
from tests.conftest import Case, disc_mask, smooth_picture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and fork are POSIX")

STEPS = 20
TINY = ("--backbone", "random", "--num-steps", str(STEPS), "--checkpoint-every", "0", "--plain")
VARIANTS: dict[str, tuple[str, ...]] = {
    "natural": (),
    "two levels that settle early": ("--levels", "2", "--tolerance", "0.03"),
    "noise start": ("--init", "noise", "--seed", "3", "--history", "4"),
    "published": ("--preset", "wacv2020", "--ss", "24", "--ts", "48"),
}


# What happens in the process that is to suffer. Each is a picklable object, called there before the command.


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


@dataclass(frozen=True)
class SignalAtWriteOf:
    """A signal before the n-th write of a file of this name."""

    name: str
    number: int = 1
    sent: int = signal.SIGKILL

    def __call__(self) -> None:
        replace, seen = Path.replace, 0

        def dying(path: Path, target: Path) -> Path:
            nonlocal seen
            seen += Path(target).name == self.name
            if seen == self.number and Path(target).name == self.name:
                os.kill(os.getpid(), self.sent)
            return replace(path, target)

        Path.replace = dying  # type: ignore[assignment, method-assign]


@dataclass(frozen=True)
class SignalAt:
    """A signal when a function of the package is entered for the n-th time."""

    module: str
    function: str
    number: int = 1
    sent: int = signal.SIGINT

    def __call__(self) -> None:
        owner: Any = sys.modules[f"deep_image_blending.{self.module}"]
        *holders, name = self.function.split(".")
        for holder in holders:
            owner = getattr(owner, holder)
        plain, seen = getattr(owner, name), 0

        def signalled(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == self.number:
                os.kill(os.getpid(), self.sent)
            return plain(*arguments, **named)

        setattr(owner, name, signalled)


@dataclass(frozen=True)
class FileSizeLimit:
    """No file may grow beyond so many bytes."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@dataclass(frozen=True)
class AtEvaluation:
    """Something is done to a folder at the n-th evaluation: `remove`, or `forbid`, as a user who is not root."""

    number: int
    done: str
    folder: Path

    def __call__(self) -> None:
        from deep_image_blending.pipeline import Recorder

        plain = Recorder.__call__

        def changing(recorder: Recorder, record: Any) -> None:
            if record.index == self.number and recorder.name == "second_pass":
                if self.done == "remove":
                    shutil.rmtree(self.folder)
                else:
                    for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
                        folder.chmod(0o555)
                    if os.geteuid() == 0:
                        os.seteuid(65534)
            plain(recorder, record)

        Recorder.__call__ = changing  # type: ignore[method-assign]


def _child(arguments: list[str], output: Path, suffering: Callable[[], None] | None) -> None:
    """One command in this process, its standard output and error in two files."""
    import torch

    import deep_image_blending.backbones
    import deep_image_blending.passes
    import deep_image_blending.pipeline  # noqa: F401

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(output.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    if suffering is not None:
        suffering()
    code = run_command(arguments)
    sys.stdout.flush()
    os._exit(code)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it, and what it printed."""

    code: int
    out: str
    err: str


class Commands:
    """Runs commands in processes that a warm one forks: Python and PyTorch are loaded once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.kills = folder, 0, 0
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["deep_image_blending.pipeline", "deep_image_blending.progress", "tests.test_durability"]
        )

    def __call__(
        self, *arguments: str, suffering: Callable[[], None] | None = None, kill_after: float | None = None
    ) -> Ended:
        self.count += 1
        output = self.folder / f"{self.count}"
        process = self.context.Process(target=_child, args=(list(arguments), output, suffering))
        process.start()
        if kill_after is not None:
            process.join(kill_after)
            process.kill()
        process.join(60)
        assert process.exitcode is not None, f"still running: {arguments}"
        self.kills += process.exitcode == -signal.SIGKILL
        printed = [
            path.read_text() if (path := output.with_suffix(suffix)).exists() else ""
            for suffix in (".out", ".err")
        ]
        ended = Ended(process.exitcode, *printed)
        assert "Traceback" not in ended.err, ended.err
        return ended


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """`blend ARGUMENTS` in a process of its own, which may be killed."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield Commands(tmp_path_factory.mktemp("printed"))
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A 24x24 source with an elliptic mask, and a 48x48 target."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = Case(folder / "source.png", folder / "mask.png", folder / "target.png")
    Image.fromarray(smooth_picture(1, 24, 24)).save(paths.source)
    Image.fromarray(disc_mask(24, 24)).save(paths.mask)
    Image.fromarray(smooth_picture(2, 48, 48)).save(paths.target)
    return paths


@pytest.fixture(scope="module")
def whole(blend: Commands, pictures: Case, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The uninterrupted run of a variant, made once."""
    folder = tmp_path_factory.mktemp("whole")

    def made(variant: str) -> Path:
        path = folder / variant.replace(" ", "-")
        if not path.exists():
            assert blend(*begin(pictures, path, variant)).code == 0
        return path

    return made


def begin(pictures: Case, path: Path, variant: str = "natural") -> list[str]:
    return ["run", *pictures.options(), *TINY, *VARIANTS[variant], "--output-dir", str(path)]


def resume(path: Path) -> list[str]:
    return ["run", "--output-dir", str(path), "--resume", "--checkpoint-every", "0", "--plain"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        del row["seconds"]
    return rows


def ended(path: Path) -> dict[str, Any]:
    """What the manifest says of both passes, but for the time that they took."""
    passes = json.loads((path / "run.json").read_text())["passes"]
    return {
        name: {k: v for k, v in entry.items() if k not in ("seconds", "pid")} for name, entry in passes.items()
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
    assert ended(path) == ended(other)
    assert not list(path.rglob("*.tmp"))
    assert not list((path / "checkpoints").iterdir())


def assert_pictures_whole(path: Path) -> None:
    """Every file that has its name is whole."""
    for picture in path.rglob("*.png"):
        Image.open(picture).load()
    for frame in path.rglob("*.jpg"):
        Image.open(frame).load()
    if (path / "run.json").exists():
        json.loads((path / "run.json").read_text())


def killed_until_done(
    blend: Commands, pictures: Case, path: Path, variant: str, dice: random.Random, most: int
) -> None:
    """Begin a run, kill it up to `most` times at random points, continuing it each time."""
    for turn in range(most + 1):
        command = resume(path) if (path / "run.json").exists() else begin(pictures, path, variant)
        if turn == most:
            assert blend(*command).code == 0
            return
        if dice.random() < 0.3:
            how: dict[str, Any] = {"kill_after": dice.uniform(0.02, 0.5)}
        else:
            stage = dice.choice(("half", "before", "after"))
            how = {"suffering": KillAtWrite(dice.randint(1, 40), stage)}
        code = blend(*command, **how).code
        assert code in (0, -signal.SIGKILL)
        assert_pictures_whole(path)
        if code == 0:
            return


@pytest.mark.parametrize("variant", VARIANTS)
def test_run_killed_at_random_points_and_continued_equals_the_uninterrupted_one(
    blend: Commands, pictures: Case, whole: Callable[[str], Path], tmp_path: Path, variant: str
) -> None:
    dice, before = random.Random(variant), blend.kills
    for number in range(3):
        killed_until_done(blend, pictures, tmp_path / str(number), variant, dice, 6)
        assert_same_run(tmp_path / str(number), whole(variant))
    print(f"{blend.kills - before} kills")
    assert blend.kills - before >= 9
