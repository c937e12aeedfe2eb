"""Without the extra a batch says how to get it; help never waits for Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deep_image_blending.cli.app import run_command
from tests.batch.made import tiny_rows, written


def test_help_imports_neither_ray_nor_torch() -> None:
    program = (
        "import sys; from deep_image_blending.cli.app import run_command; run_command(['batch', '--help']); "
        "sys.exit(bool({'ray', 'torch', 'upath', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]


def test_without_the_extra_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 1))
    assert run_command(["batch", str(path), "--output-dir", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'deep-image-blending[batch]'" in said
