"""A second pass on a saved picture without a mask, and a limit of pixels: both are remembered by the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deep_image_blending.cli.app import run_command
from tests.conftest import Case

TINY = ["--backbone", "random", "--num-steps", "2", "--quiet", "--threads", "1"]


def _interrupted(folder: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["passes"]["second_pass"]["status"] = "interrupted"
    (folder / "run.json").write_text(json.dumps(manifest))


@pytest.fixture
def given(case: Case, tmp_path: Path) -> Path:
    files = ["--first-pass-file", str(case.target), "--target-file", str(case.target)]
    assert run_command(["second-pass", *files, *TINY, "--output-dir", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_a_whole_canvas_run_is_measured_done_again_and_resumed(given: Path) -> None:
    first = (given / "second_pass.png").read_bytes()
    assert run_command(["evaluate", str(given), "--features", "none"]) == 0
    assert run_command(["second-pass", str(given), "--quiet"]) == 0
    assert (given / "second_pass.png").read_bytes() == first
    _interrupted(given)
    assert run_command(["second-pass", str(given), "--resume", "--quiet"]) == 0
    assert (given / "second_pass.png").read_bytes() == first


def test_a_limit_of_pixels_is_remembered(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    words = ["run", *case.options(), *TINY, "--max-pixels", "3000", "--output-dir", str(folder)]
    assert run_command(words) == 0
    asked: list[int | None] = []
    from deep_image_blending.runs import inputs

    plain = inputs.read_inputs
    monkeypatch.setattr(inputs, "read_inputs", lambda *given: asked.append(given[3].max_pixels) or plain(*given))
    assert run_command(["evaluate", str(folder), "--features", "none"]) == 0
    _interrupted(folder)
    assert run_command(["run", "--resume", "--quiet", "--output-dir", str(folder)]) == 0
    assert asked == [3000, 3000]
