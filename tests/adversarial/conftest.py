"""A trial on a tiny case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adversarial.trial import Trial
from tests.conftest import Case


@pytest.fixture
def trial(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Trial:
    return Trial(case, tmp_path, capsys)


@pytest.fixture
def finished(trial: Trial) -> Path:
    """A finished run."""
    folder = trial.folder / "run"
    assert trial.run("--quiet", "--output-dir", folder).code == 0
    return folder
