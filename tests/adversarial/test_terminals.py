"""Terminals of every width and of few characters, names that look like markup, and closed or full streams."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from deep_image_blending.cli.progress import LossTable
from deep_image_blending.losses.declaration import declared
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState
from tests.adversarial.trial import TINY, Trial
from tests.processes import assert_same_run, table

# No pass has more terms than these at once.
TERMS = list(declared())[:5]
STATE = LoopState(LBFGS(torch.zeros(1)))


def _shown(width: int) -> list[str]:
    terms = {name: 10.0**-number for number, name in enumerate(TERMS)}
    rows = [Evaluation(i, 100, 4 if i < 3 else 1, i / 2, 3.3, terms, torch.zeros(1), STATE) for i in range(1, 6)]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(LossTable("First pass", rows))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_the_live_table_is_never_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, _shown(width))) <= width


def test_columns_go_by_importance_and_at_40_it_is_one_line() -> None:
    largest, *_, smallest = TERMS
    assert [largest in " ".join(_shown(width)) for width in (120, 80)] == [True, True]
    assert [f" {smallest} " in " ".join(_shown(width)) for width in (120, 60)] == [True, False]
    for word in ("evaluation", "total", "left", "change"):
        assert word in " ".join(_shown(60)), word
    assert _shown(40) == ["First pass 5/100  total 3.3  48 s"]


@pytest.mark.parametrize("name", ["photo[edit]", "x:cat:y", "a[/b]", "[bold]b"])
def test_names_that_look_like_markup_are_printed_as_they_are(trial: Trial, name: str) -> None:
    folder = trial.folder / name
    tried = trial.run("--output-dir", folder)
    assert tried.code == 0
    assert str(folder / "second_pass.png") in tried.err
    assert f"measuring {folder}" in trial("evaluate", folder, "--features", "none").err
    assert str(folder) in trial.run("--output-dir", folder).complaint


def _blend(*words: object, **changed: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **changed}
    command = [sys.executable, "-m", "deep_image_blending.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # type: ignore[call-overload,no-any-return]


@pytest.mark.slow
def test_few_characters_are_no_reason_to_fail(finished: Path) -> None:
    for words in (("--help",), ("run", "--help-all"), ("evaluate", finished), ("evaluate", finished.parent / "é")):
        done = _blend(*words, PYTHONIOENCODING="ascii")
        assert done.returncode == (2 if words[-1] == finished.parent / "é" else 0), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_home_that_is_read_only_is_not_spoken_of(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    nowhere = str(tmp_path / "file" / "home")
    done = _blend("report", finished, "--quiet", HOME=nowhere, XDG_CACHE_HOME=nowhere, XDG_CONFIG_HOME=nowhere)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


NOWHERE = {
    "stderr closed": "2>&-",
    "stderr full": "2>/dev/full",
    "both closed": ">&- 2>&-",
    "both full": ">/dev/full 2>&1",
    "all closed": "<&- >&- 2>&-",
}


def _redirected(where: str, *words: object) -> subprocess.CompletedProcess[str]:
    """A command whose streams a shell sends elsewhere."""
    command = ["sh", "-c", f'exec "$@" {where}', "sh", sys.executable, "-m", "deep_image_blending.cli"]
    return subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("where", NOWHERE)
def test_a_run_ends_though_nobody_hears_it(trial: Trial, where: str) -> None:
    folder = trial.folder / "run"
    done = _redirected(NOWHERE[where], "run", *trial.case.options(), *TINY, "--output-dir", folder)
    assert (folder / "second_pass.png").exists()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("where", "code", "words"), [(">/dev/full", 1, "No space left"), (">&-", 0, None)])
def test_a_table_for_a_full_or_closed_stdout_is_one_line_or_none(where: str, code: int, words: str | None) -> None:
    done = _redirected(where, "presets")
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == (words is not None)
    assert words is None or words in done.stderr


class Terminal:
    """A command in a terminal of its own, with the live table."""

    def __init__(self, words: list[str], columns: int) -> None:
        command = [sys.executable, "-m", "deep_image_blending.cli", *words]
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color"})
        self.resize(columns)

    def resize(self, columns: int) -> None:
        """The kernel tells the command of it by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))

    def shows(self, *words: str) -> str:
        """What is shown, once each of the words has been."""
        begun, shown = time.monotonic(), b""
        while any(word.encode() not in shown for word in words):
            assert time.monotonic() - begun < 200, shown[-2000:]
            if select.select([self.master], [], [], 0.1)[0]:
                shown += os.read(self.master, 65536)
        return shown.decode(errors="replace")

    def closed(self) -> int:
        """The window is closed; the exit code."""
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


LONG = ("--backbone", "random", "--threads", "1", "--num-steps", "120", "--tolerance", "0")


@pytest.mark.slow
def test_a_run_goes_on_from_where_its_terminal_was_closed(trial: Trial) -> None:
    closed, whole = trial.folder / "closed", trial.folder / "whole"
    words = ["run", *trial.case.options(), *LONG]
    terminal = Terminal([*words, "--output-dir", str(closed)], 80)
    # Rich's table alone hides the cursor.
    assert "\x1b[?25l" in terminal.shows("\x1b[?25l", " of 120")
    terminal.resize(40)
    narrow = terminal.shows("First pass ", "total ", "/120")
    terminal.resize(120)
    terminal.shows("evaluation", "left", " of 120")
    assert "Traceback" not in narrow
    assert terminal.closed() == 130
    passes = json.loads((closed / "run.json").read_text())["passes"]
    (name,) = (name for name, entry in passes.items() if entry["status"] == "interrupted")
    newest = max(closed.glob(f"checkpoints/{name}.*.ckpt"))
    assert 0 < int(newest.name.split(".")[1]) < 120
    assert len(table(closed / f"{name}.losses.csv")) == int(newest.name.split(".")[1])
    assert trial("run", "--resume", "--plain", "--threads", "1", "--output-dir", closed).code == 0
    assert trial(*words, "--plain", "--output-dir", whole).code == 0
    assert_same_run(closed, whole)
