"""`blend studio` begins with one line, or ends with one."""

from __future__ import annotations

import builtins
import socket
from pathlib import Path
from typing import Any

import pytest

from deep_image_blending.cli.app import run_command


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="needs the extra studio")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["studio", "--port", str(port), "--no-browser", "--runs", str(tmp_path / "runs")]
        assert run_command(words) == 2
    said = capsys.readouterr().err
    assert str(port) in said
    assert "--port" in said
    assert said.count("\n") == 1


def test_a_missing_extra_is_one_line_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "uvicorn":
            raise ImportError(name)
        return usual(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run_command(["studio", "--no-browser", "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert "deep-image-blending[studio]" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()
