"""Runs that are killed, starved, damaged and interrupted, by processes that truly are."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.runs.directory import RunDirectory
from tests.conftest import Case, smooth_picture, written_case

if sys.platform == "win32":
    pytest.skip("signals, limits and forks are POSIX", allow_module_level=True)

from tests.processes import (
    STEPS,
    VARIANTS,
    Commands,
    Ended,
    FolderAt,
    FullAtWriteOf,
    KillAtWrite,
    SignalAt,
    SignalAtWriteOf,
    StarvedAt,
    allow,
    assert_files_whole,
    assert_same_run,
    begin,
    begin_or_resume,
    passes_of,
    resume,
    table,
)


@pytest.fixture(scope="module")
def blend() -> Iterator[Commands]:
    """`blend ARGUMENTS` in a process of its own, which may be killed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "1")
        yield Commands()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """In memory where that can be: what fsync is for, the loss of power, no test can show."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as made:
        yield Path(made)


@pytest.fixture
def path(folder: Path) -> Iterator[Path]:
    """Where a run is to be."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        yield Path(made) / "run"


@pytest.fixture(scope="module")
def pictures(folder: Path) -> Case:
    """A 12x12 source with an elliptic mask, and a 24x24 target."""
    return written_case(folder, 12, 12)


@pytest.fixture(scope="module")
def whole(blend: Commands, pictures: Case, folder: Path) -> Callable[[str], Path]:
    """The uninterrupted run of a variant, made once."""

    def made(variant: str) -> Path:
        path = folder / f"whole {variant}"
        if not path.exists():
            assert blend(*begin(pictures, path, variant)).code == 0
        return path

    return made


@pytest.fixture
def natural(whole: Callable[[str], Path]) -> Path:
    """The uninterrupted run of the default preset."""
    return whole("natural")


def complaint(ended: Ended, code: int) -> str:
    """The one line of a command that was quiet but for it."""
    assert ended.code == code, ended
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("blend: ")
    return lines[0]


# Killed


def killed_until_done(
    blend: Commands, pictures: Case, path: Path, variant: str, dice: random.Random, most: int
) -> None:
    """Begin a run, kill it up to `most` times at random points, continuing it each time."""
    for turn in range(most + 1):
        command = begin_or_resume(pictures, path, variant)
        if turn == most:
            assert blend(*command).code == 0
            return
        if dice.random() < 0.3:
            how: dict[str, Any] = {"kill_after": dice.uniform(0.02, 0.5)}
        else:
            stage = dice.choice(("half", "before", "after"))
            how = {"suffering": KillAtWrite(dice.randint(1, 11), stage)}
        code = blend(*command, **how).code
        assert code in (0, -signal.SIGKILL)
        assert_files_whole(path)
        if code == 0:
            return


def kill_at_random(
    blend: Commands, pictures: Case, path: Path, variant: str, whole: Path, kills: int, seed: object
) -> None:
    """Runs, one after another, until there have been so many kills; each must equal the whole one in the end."""
    dice, before = random.Random(f"{variant} {seed}"), blend.kills
    for number in itertools.count():
        killed_until_done(blend, pictures, path / str(number), variant, dice, min(kills, 8))
        assert_same_run(path / str(number), whole)
        shutil.rmtree(path / str(number))
        if blend.kills - before >= kills:
            break
    print(f"{variant}: {blend.kills - before} kills in {number + 1} runs")


# Together 25 kills, besides those below that strike at set points.
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_at_random_points_and_continued_equals_the_uninterrupted_one(
    blend: Commands, pictures: Case, whole: Callable[[str], Path], path: Path, variant: str
) -> None:
    kill_at_random(blend, pictures, path, variant, whole(variant), 5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_thousand_kills(
    blend: Commands, pictures: Case, whole: Callable[[str], Path], path: Path, variant: str
) -> None:
    kill_at_random(blend, pictures, path, variant, whole(variant), 250, time.time())


def test_what_the_kills_strike_is_what_it_says(whole: Callable[[str], Path]) -> None:
    settled = passes_of(whole("two levels that settle early"))["first_pass"]
    assert settled["ended"] == "settled"
    assert settled["evaluations"] < 24
    assert passes_of(whole("natural"))["second_pass"]["evaluations"] == STEPS
    assert passes_of(whole("published"))["first_pass"]["evaluations"] == 20


@pytest.mark.parametrize(
    ("name", "number", "begun"),
    [
        ("composite.png", 1, True),
        ("run.json", 1, False),
        ("run.json", 2, True),
        ("first_pass.000001.ckpt", 1, True),
        ("first_pass.losses.csv", 5, True),
        ("first_pass.png", 1, True),
        ("second_pass.000002.ckpt", 1, True),
        ("second_pass.png", 1, True),
        ("run.json", 5, True),
    ],
)
def test_killed_while_a_file_is_being_written(
    blend: Commands, pictures: Case, natural: Path, path: Path, name: str, number: int, begun: bool
) -> None:
    assert blend(*begin(pictures, path), suffering=SignalAtWriteOf(name, number)).code == -signal.SIGKILL
    assert list(path.rglob(f".{name}.*.tmp"))
    assert (path / "run.json").exists() == begun
    assert_files_whole(path)
    refused = blend(*begin(pictures, path)) if begun else blend(*resume(path))
    assert ("--resume" if begun else "not a run directory") in complaint(refused, 2)
    assert blend(*begin_or_resume(pictures, path)).code == 0
    assert_same_run(path, natural)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("runs.directory", "RunDirectory.keep_previous"),
        ("runs.directory", "RunDirectory.drop_checkpoints"),
        ("runs.execution", "second_pass"),
        ("runs.execution", "_write_result"),
    ],
)
def test_killed_while_the_second_pass_is_made_again_both_results_are_there_in_the_end(
    blend: Commands, natural: Path, path: Path, module: str, function: str
) -> None:
    shutil.copytree(natural, path)
    earlier = (natural / "second_pass.png").read_bytes()
    again = ["second-pass", str(path), "--style-weight", "3", "--checkpoint-every", "0", "--quiet"]
    assert blend(*again, suffering=SignalAt(module, function, 1, (signal.SIGKILL,))).code == -signal.SIGKILL
    assert earlier in [picture.read_bytes() for picture in path.glob("second_pass*.png")]
    if passes_of(path)["second_pass"]["status"] == "running":
        assert blend("second-pass", str(path), "--resume", "--quiet").code == 0
    else:
        assert blend(*again).code == 0
    assert (path / "second_pass.1.png").read_bytes() == earlier
    assert (path / "second_pass.png").read_bytes() != earlier
    assert passes_of(path)["second_pass"]["status"] == "done"


# Interrupted


INTERRUPT, TERMINATE, HANG_UP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize(
    ("sent", "module", "function", "number", "words"),
    [
        (INTERRUPT, "runs.job", "read_inputs", 1, "interrupted"),
        (TERMINATE, "runs.execution", "load_backbones", 1, "nothing was written"),
        (TERMINATE, "runs.directory", "RunDirectory._clear", 1, "nothing was written"),
        (INTERRUPT, "runs.execution", "run_pass", 1, "stopped at once"),
        (TERMINATE, "passes.two_passes", "_Pass._objective", 1, "stopped at once"),
        (INTERRUPT, "runs.recorder", "Recorder.__call__", 1, "stopped at once"),
        (INTERRUPT, "runs.recorder", "Recorder.__call__", 7, "checkpoint written"),
        (HANG_UP, "runs.execution", "load_backbones", 1, "nothing was written"),
        (HANG_UP, "runs.recorder", "Recorder.__call__", 7, "checkpoint written"),
        (TERMINATE, "runs.recorder", "Recorder.__call__", STEPS, "checkpoint written"),
        (TERMINATE, "runs.directory", "RunDirectory.drop_checkpoints", 1, "stopped after the first pass"),
        (TERMINATE, "passes.two_passes", "_Pass._objective", 2, "stopped at once"),
        (TERMINATE, "runs.recorder", "Recorder.__call__", STEPS + 5, "checkpoint written"),
        (INTERRUPT, "runs.recorder", "Recorder.__call__", 2 * STEPS, "checkpoint written"),
    ],
)
def test_interrupted_it_exits_130_says_how_to_go_on_and_then_equals_the_uninterrupted_one(
    blend: Commands,
    pictures: Case,
    natural: Path,
    path: Path,
    sent: int,
    module: str,
    function: str,
    number: int,
    words: str,
) -> None:
    stopped = blend(*begin(pictures, path), "--quiet", suffering=SignalAt(module, function, number, (sent,)))
    line = complaint(stopped, 130)
    assert words in line
    begun = words not in ("interrupted", "nothing was written")
    assert (path / "run.json").exists() == begun
    if begun:
        assert f"continue with: blend run --output-dir '{path}' --resume" in line
    assert ("checkpoint written" in words) == bool(list(path.glob("checkpoints/*.ckpt")))
    assert_files_whole(path)
    assert blend(*begin_or_resume(pictures, path)).code == 0
    assert_same_run(path, natural)


def test_a_second_signal_stops_at_once_and_keeps_the_last_checkpoint(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    twice = SignalAt("runs.recorder", "Recorder.__call__", 6, (signal.SIGINT, signal.SIGTERM))
    assert "stopped at once" in complaint(blend(*begin(pictures, path), "--quiet", suffering=twice), 130)
    assert [found.name for found in sorted((path / "checkpoints").iterdir())][-1] == "first_pass.000005.ckpt"
    assert blend(*resume(path)).code == 0
    assert_same_run(path, natural)


def test_a_second_hang_up_is_the_same_terminals_and_waits_for_the_checkpoint(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    twice = SignalAt("runs.recorder", "Recorder.__call__", 6, (signal.SIGHUP, signal.SIGHUP))
    assert "checkpoint written" in complaint(blend(*begin(pictures, path), "--quiet", suffering=twice), 130)
    assert [found.name for found in sorted((path / "checkpoints").iterdir())][-1] == "first_pass.000006.ckpt"
    assert blend(*resume(path)).code == 0
    assert_same_run(path, natural)


def test_interrupted_at_every_fourth_evaluation_it_still_equals_the_uninterrupted_one(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    fourth, codes = SignalAt("runs.recorder", "Recorder.__call__", 4), []
    while not codes or codes[-1] == 130:
        codes.append(blend(*begin_or_resume(pictures, path), suffering=fourth).code)
    assert codes[-1] == 0
    assert len(codes) == 2 * STEPS // 4 + 1
    assert_same_run(path, natural)


# Starved


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("composite.png", 1),
        ("first_pass.000002.jpg", 1),
        ("first_pass.losses.csv", 3),
        ("first_pass.000003.ckpt", 1),
        ("first_pass.png", 1),
        ("second_pass.000004.ckpt", 1),
        ("run.json", 5),
    ],
)
def test_on_a_full_disk_a_run_stops_with_one_line_and_goes_on_once_there_is_room(
    blend: Commands, pictures: Case, natural: Path, path: Path, name: str, number: int
) -> None:
    ended = blend(*begin(pictures, path), "--quiet", suffering=FullAtWriteOf(name, number))
    line = complaint(ended, 1)
    assert f"{name}' could not be written" in line
    assert "free space" in line
    assert_files_whole(path)
    assert not list(path.rglob("*.tmp"))
    assert blend(*begin_or_resume(pictures, path)).code == 0
    assert_same_run(path, natural)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of its own, made as large as asked for, in KiB; skipped where that is not permitted."""
    path = tmp_path / "disk"
    path.mkdir()

    def sized(size: int) -> Path:
        remount = ["-o", f"remount,size={size}k"] if path.is_mount() else ["-t", "tmpfs", "-o", f"size={size}k"]
        done = subprocess.run(["mount", *remount, "tmpfs", str(path)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting is not permitted here")
        return path

    try:
        yield sized
    finally:
        if path.is_mount():
            subprocess.run(["umount", str(path)], check=True)


def test_a_small_disk_that_grows_only_when_it_is_full(
    blend: Commands, pictures: Case, natural: Path, small_disk: Callable[[int], Path]
) -> None:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    stopped: list[str] = []
    for size in (4, 24, 44, 64, 84, 104, 100_000):
        path = small_disk(size) / "run"
        ended = blend(*begin_or_resume(pictures, path), "--quiet")
        assert_files_whole(path)
        if ended.code == 0:
            break
        stopped.append(complaint(ended, 1))
        assert "free space" in stopped[-1]
    print(len(stopped), "times full")
    assert len(stopped) > 3
    assert_same_run(path, natural)


@pytest.mark.parametrize("number", [4, STEPS + 4])
def test_a_folder_that_may_no_longer_be_written_stops_the_run(
    blend: Commands, pictures: Case, natural: Path, path: Path, number: int
) -> None:
    try:
        ended = blend(*begin(pictures, path), "--quiet", suffering=FolderAt(number, "forbidden", path))
        assert "make the folder writable" in complaint(ended, 1)
    finally:
        allow(path)
    assert_files_whole(path)
    assert blend(*resume(path)).code == 0
    assert_same_run(path, natural)


@pytest.mark.parametrize("number", [1, 2 * STEPS])
def test_a_folder_that_is_removed_stops_the_run(blend: Commands, pictures: Case, path: Path, number: int) -> None:
    ended = blend(*begin(pictures, path), "--quiet", suffering=FolderAt(number, "removed", path))
    assert "the run directory has gone" in complaint(ended, 1)
    assert not path.exists()


@pytest.mark.parametrize(
    ("allocator", "module", "function"),
    [("numpy", "runs.execution", "scene_of"), ("torch", "runs.execution", "load_backbones")],
)
def test_without_memory_to_begin_with_there_is_no_run(
    blend: Commands, pictures: Case, path: Path, allocator: str, module: str, function: str
) -> None:
    starved = StarvedAt(allocator, module, function)
    line = complaint(blend(*begin(pictures, path), "--quiet", suffering=starved), 1)
    assert line.endswith("not enough memory; free some, or give smaller --ss and --ts")
    assert not (path / "run.json").exists()


RETRY = "pass: out of memory; trying once more, tile by tile and in less memory"


@pytest.mark.parametrize(
    ("allocator", "module", "function", "number", "retried"),
    [
        ("torch", "passes.two_passes", "_Pass._objective", 1, True),
        ("torch", "solve.lbfgs", "LBFGS.tell", 5, True),
        ("numpy", "solve.lbfgs", "LBFGS.tell", STEPS + 3, True),
        ("numpy", "runs.execution", "_write_result", 1, False),
    ],
)
def test_without_memory_for_good_a_run_stops_with_the_remedy_and_then_equals_the_uninterrupted_one(
    blend: Commands,
    pictures: Case,
    natural: Path,
    path: Path,
    allocator: str,
    module: str,
    function: str,
    number: int,
    retried: bool,
) -> None:
    starved = StarvedAt(allocator, module, function, number)
    ended = blend(*begin(pictures, path), "--quiet", suffering=starved)
    assert ended.code == 1
    notes, line = ended.err.splitlines()[:-1], ended.err.splitlines()[-1]
    assert [note.endswith(RETRY) for note in notes] == [True] * retried
    assert "not enough memory; free some and --resume, or" in line
    assert ("start anew: " if retried else "give smaller --ss and --ts") in line
    assert_files_whole(path)
    # The second try made no evaluation: all at once, the first one goes on at its checkpoint, to the same bits.
    assert blend(*resume(path), "--memory", "full").code == 0
    assert_same_run(path, natural)


@pytest.mark.parametrize("for_good", [False, True])
def test_what_ran_out_of_memory_goes_on_tile_by_tile_to_nearly_the_same(
    blend: Commands, pictures: Case, natural: Path, path: Path, for_good: bool
) -> None:
    starved = StarvedAt("torch", "solve.lbfgs", "LBFGS.tell", 5, for_good=for_good)
    ended = blend(*begin(pictures, path), "--quiet", suffering=starved)
    assert ended.code == for_good
    assert ended.err.splitlines()[0].endswith(f"first {RETRY}")
    if for_good:
        assert blend(*resume(path)).code == 0
    assert [one["evaluations"] for one in passes_of(path).values()] == [STEPS, STEPS]
    # A run that could not go on goes on in less memory to its end.
    assert [one["memory"] for one in passes_of(path).values()] == ["thrifty", "thrifty" if for_good else "full"]
    assert len(table(path / "first_pass.losses.csv")) == STEPS
    # Tile by tile, sums may round otherwise: the same picture, but not surely to the bit.
    before, after = (np.asarray(Image.open(run / "second_pass.png"), np.int16) for run in (natural, path))
    assert np.abs(after - before).max() <= 1


# Locked


def test_a_run_in_use_is_refused_and_the_lock_of_a_killed_process_is_taken_over(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    halt = SignalAt("runs.recorder", "Recorder.__call__", STEPS + 5, (signal.SIGSTOP,))
    halted = blend.start(*begin(pictures, path), suffering=halt)
    try:
        while not (path / "checkpoints" / f"second_pass.{4:06d}.ckpt").exists():
            time.sleep(0.01)
        before = sorted(path.rglob("*"))
        for command in (resume(path), ["second-pass", str(path)], [*begin(pictures, path), "--force"]):
            refused = complaint(blend(*command, "--quiet"), 2)
            assert f"'{path}' is in use by another process; wait for it" in refused
        assert sorted(path.rglob("*")) == before
        # To look is free.
        assert blend("compare", str(path), "--output-file", str(path.with_name("sheet.png"))).code == 0
    finally:
        halted.process.kill()
    assert halted.ended().code == -signal.SIGKILL
    assert blend(*resume(path)).code == 0
    assert_same_run(path, natural)


@pytest.mark.parametrize(
    "error",
    [NotImplementedError("flock"), OSError(errno.ENOTSUP, "Not supported"), OSError(errno.ENOLCK, "No locks")],
)
def test_where_the_file_system_has_no_locks_a_file_says_that_a_run_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def without_locks(*_: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "_acquire", without_locks)
    with pytest.warns(UserWarning, match=r"has no locks: '\.lock\.held' in it says that the run is in use"):
        run = RunDirectory.create(tmp_path / "run")
    assert (tmp_path / "run" / ".lock.held").exists()
    with pytest.raises(InputError, match="is in use by another process; wait for it"):
        RunDirectory.create(tmp_path / "run")
    run.close()
    assert not (tmp_path / "run" / ".lock.held").exists()
    with pytest.warns(UserWarning, match="has no locks"):
        RunDirectory.create(tmp_path / "run").close()


def test_other_troubles_with_the_lock_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(FileLock, "_acquire", refused)
    with pytest.raises(InputError, match="can't be written: Input/output error"):
        RunDirectory.create(tmp_path / "run")


# Damaged


def killed_at(blend: Commands, pictures: Case, path: Path, evaluation: int) -> list[Path]:
    """A run killed at an evaluation of the first pass, and its two checkpoints."""
    killed = SignalAt("runs.recorder", "Recorder.__call__", evaluation, (signal.SIGKILL,))
    assert blend(*begin(pictures, path), suffering=killed).code == -signal.SIGKILL
    found = sorted((path / "checkpoints").iterdir())
    assert [one.name for one in found] == [f"first_pass.{evaluation - i:06d}.ckpt" for i in (2, 1)]
    return found


def damaged(checkpoint: Path, how: str) -> None:
    data = bytearray(checkpoint.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 4
    checkpoint.write_bytes({"empty": b"", "short": data[:20], "truncated": data[:-1]}.get(how, data))


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    blend: Commands, pictures: Case, natural: Path, path: Path, how: str
) -> None:
    damaged(killed_at(blend, pictures, path, 7)[1], how)
    ended = blend(*resume(path), "--quiet")
    assert "first_pass.000006.ckpt' is damaged; going back to the one before" in complaint(ended, 0)
    assert_same_run(path, natural)


def test_without_a_whole_checkpoint_the_pass_begins_again_and_says_so(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    for checkpoint in killed_at(blend, pictures, path, 7):
        damaged(checkpoint, "flipped")
    ended = blend(*resume(path), "--quiet")
    assert ended.code == 0
    assert "no checkpoint of the first pass is whole: it begins again" in ended.err.splitlines()[2]
    assert_same_run(path, natural)


@pytest.mark.parametrize("left", [0, 90])
def test_a_damaged_loss_table_costs_its_rows_alone(
    blend: Commands, pictures: Case, natural: Path, path: Path, left: int
) -> None:
    killed_at(blend, pictures, path, 7)
    losses = path / "first_pass.losses.csv"
    losses.write_bytes(losses.read_bytes()[:left])
    ended = blend(*resume(path), "--quiet")
    assert "first_pass.losses.csv' is damaged: it begins at evaluation 7" in complaint(ended, 0)
    for name in ("first_pass.png", "second_pass.png", "second_pass.losses.csv"):
        assert (path / name).exists()
    assert (path / "second_pass.png").read_bytes() == (natural / "second_pass.png").read_bytes()


def test_a_damaged_manifest_is_named(blend: Commands, pictures: Case, path: Path) -> None:
    killed_at(blend, pictures, path, 3)
    manifest = path / "run.json"
    text = manifest.read_text()
    stored = json.loads(text)
    for broken in ("", text[: len(text) // 2], "[]", "\0\1"):
        manifest.write_text(broken)
        assert "start a new run" in complaint(blend(*resume(path), "--quiet"), 2)
    for key in ("inputs", "options"):
        manifest.write_text(json.dumps({name: value for name, value in stored.items() if name != key}))
        assert "start a new run" in complaint(blend(*resume(path), "--quiet"), 2)


# Changed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--style-weight", "3"), "first.weights.style was 0.01, now 3.0; second.weights.style was 0.5, now 3.0"),
        (("--num-steps", "30"), f"first.num_steps was {STEPS}, now 30"),
        (("--x", "15"), "placement.x was None, now 15.0"),
        (("--init", "noise"), "init was 'poisson', now 'noise'"),
        (("--style-layers", "relu1_1"), "now ['relu1_1']"),
    ],
)
def test_other_options_are_refused_with_the_difference(
    blend: Commands, pictures: Case, path: Path, options: tuple[str, ...], words: str
) -> None:
    killed_at(blend, pictures, path, 3)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert words in complaint(blend(*resume(path), "--quiet", *options), 2)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_changed_and_missing_inputs_are_refused(
    blend: Commands, pictures: Case, natural: Path, path: Path
) -> None:
    moved = Case(*(path.with_name(file.name) for file in (pictures.source, pictures.mask, pictures.target)))
    for file in (pictures.source, pictures.mask, pictures.target):
        shutil.copy(file, path.with_name(file.name))
    killed_at(blend, moved, path, 3)
    Image.fromarray(smooth_picture(9, 24, 24)).save(moved.target)
    assert "target.png' has changed since" in complaint(blend(*resume(path), "--quiet"), 2)
    moved.target.unlink()
    assert "target.png', which is gone" in complaint(blend(*resume(path), "--quiet"), 2)
    shutil.copy(pictures.target, moved.target)
    assert "start a new run" in complaint(
        blend(*resume(path), "--target-file", str(pictures.target), "--quiet"), 2
    )
    assert blend(*resume(path), "--quiet").code == 0
    assert_same_run(path, natural)


def test_a_finished_run_has_nothing_to_continue(blend: Commands, natural: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in natural.rglob("*") if file.is_file()}
    ended = blend(*resume(natural))
    assert ended.code == 0
    assert "is finished; nothing to continue" in ended.err
    assert {file: file.stat().st_mtime_ns for file in natural.rglob("*") if file.is_file()} == before
