"""A command tried in this process: its exit code and what it said. An exception of it fails the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from deep_image_blending.cli.app import run_command
from tests.conftest import Case

TINY = ("--backbone", "random", "--num-steps", "2", "--plain", "--threads", "1")


@dataclass(frozen=True)
class Tried:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2, (self.code, self.err)
        (line,) = self.err.splitlines()
        assert line.startswith("blend: ")
        return line


class Trial:
    """Runs commands on a tiny case."""

    def __init__(self, case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.case, self.folder, self.capsys = case, folder, capsys

    def __call__(self, *words: object) -> Tried:
        self.capsys.readouterr()
        code = run_command([str(word) for word in words])
        said = self.capsys.readouterr()
        return Tried(code, said.out, said.err)

    def run(self, *words: object) -> Tried:
        """`blend run` on the case."""
        return self("run", *self.case.options(), *TINY, *words)
