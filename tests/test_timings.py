"""The stopwatch, and what a run says of its seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deep_image_blending.timings import Timings
from tests.conftest import Case


def test_every_second_belongs_to_the_innermost_part() -> None:
    moments = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    timings = Timings(lambda: next(moments))
    with timings.part("outer"), timings.part("inner"):
        pass
    timings.add("imports", 0.5)
    # 0 to 1 and 10 to 15 nobody claimed; the outer part has what comes before and after the inner one.
    assert timings.seconds() == {"outer": 2.0 + 4.0, "inner": 3.0, "imports": 0.5, "the rest": 1.0 + 5.0}


def test_a_part_that_fails_ends() -> None:
    moments = iter([0.0, 1.0, 3.0, 4.0])
    timings = Timings(lambda: next(moments))
    with pytest.raises(ValueError, match="broken"), timings.part("reading"):
        raise ValueError("broken")
    assert timings.seconds() == {"reading": 2.0, "the rest": 2.0}


def test_a_runs_parts_have_names_and_sum_to_its_wall_time(case: Case, tmp_path: Path) -> None:
    words = [
        *case.options(),
        "--backbone",
        "random",
        "--num-steps",
        "3",
        "--levels",
        "2",
        "--checkpoint-every",
        "0",
    ]
    command = [sys.executable, "-m", "deep_image_blending.cli", "run", *words, "--quiet", "--timings"]
    began = time.perf_counter()
    printed = subprocess.run(
        [*command, "--output-dir", str(tmp_path / "run")], capture_output=True, text=True, check=True
    ).stdout
    wall = time.perf_counter() - began
    seconds = json.loads((tmp_path / "run" / "run.json").read_text())["timings"]
    evaluations = [f"{which} pass, evaluations at 1:{scale}" for which in ("first", "second") for scale in (2, 1)]
    assert {
        *("imports", "reading", "tightening", "placing", "networks", "planning", "membrane", "Poisson start"),
        *("target features", "measures", "writing", "frames", "checkpoints", "the rest"),
        *evaluations,
    } == set(seconds)
    assert all(f"{name} " in printed for name in (*seconds, "in all"))
    # What is missing is the interpreter's own start and end.
    assert 0.6 * wall < sum(seconds.values()) < wall
    assert seconds["the rest"] < 0.1 * wall
