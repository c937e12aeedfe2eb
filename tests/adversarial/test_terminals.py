"""Terminals of every width and of few characters, names that look like markup, and a closed stderr."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize("stderr", ["closed", "full"])
def test_a_run_ends_though_nobody_hears_it(trial: Trial, stderr: str) -> None:
    words = ["run", *trial.case.options(), *TINY, "--output-dir", str(trial.folder / "run")]
    ending = "2>&-" if stderr == "closed" else "2>/dev/full"
    command = ["sh", "-c", f'exec "$@" {ending}', "sh", sys.executable, "-m", "deep_image_blending.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (trial.folder / "run" / "second_pass.png").exists()
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no terminals that hang up")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_terminal_that_closes_leaves_a_run_that_goes_on(trial: Trial, name: str) -> None:
    """Told to end in the midst of a pass, it writes a checkpoint; resumed, it ends with the same picture."""
    steps = ("--backbone", "random", "--num-steps", "400,3", "--threads", "1", "--plain", "--tolerance", "0")
    folder, whole = trial.folder / "run", trial.folder / "whole"
    words = ["run", *trial.case.options(), *steps, "--output-dir", str(folder)]
    process = subprocess.Popen([sys.executable, "-m", "deep_image_blending.cli", *words], stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while not list((folder / "frames").glob("first_pass.0000[1-9]*.jpg")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert json.loads((folder / "run.json").read_text())["passes"]["first_pass"]["status"] == "interrupted"
    assert list((folder / "checkpoints").iterdir())
    assert trial("run", "--output-dir", folder, "--resume", "--plain").code == 0
    assert trial("run", *trial.case.options(), *steps, "--output-dir", whole).code == 0
    assert (folder / "second_pass.png").read_bytes() == (whole / "second_pass.png").read_bytes()


def test_output_that_nobody_takes_is_no_traceback() -> None:
    for ending, code in ((">/dev/full", 1), (">&-", 0), ("| head -c 1", 0)):
        done = subprocess.run(
            ["bash", "-c", f'"$@" {ending}', "bash", sys.executable, "-m", "deep_image_blending.cli", "presets"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (ending, done.stderr)
        assert done.stderr.count("\n") == (1 if code else 0), (ending, done.stderr)
