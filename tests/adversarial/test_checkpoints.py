"""Forged checkpoints: refused in one line, and nothing larger than the file is ever made from one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deep_image_blending.runs import checkpoints, recorder
from tests.adversarial.trial import Trial

Forged = Callable[[dict[str, Any], dict[str, Any]], None]


def _loop(**changed: Any) -> Forged:
    return lambda tensors, numbers: numbers["loop"].update(changed)


def _solver(**changed: Any) -> Forged:
    return lambda tensors, numbers: numbers["solver"].update(changed)


def _shapes(change: Callable[[torch.Tensor], torch.Tensor]) -> Forged:
    return lambda tensors, numbers: tensors.update({name: change(one) for name, one in tensors.items()})


FORGED: dict[str, Forged] = {
    "evaluation of a milliard": _loop(evaluation=10**9),
    "negative evaluation": _loop(evaluation=-1),
    "evaluation no number": _loop(evaluation="x"),
    "level 99": _loop(level=99),
    "level 5": _loop(level=5),
    "level no number": _loop(level=None),
    "recent no list": _loop(recent=3),
    "seconds no number": _loop(seconds="x"),
    "unknown entry": _loop(other=1),
    "history of a milliard": _solver(history=10**9),
    "history no number": _solver(history=[]),
    "fingerprint": lambda tensors, numbers: numbers.update(fingerprint="x"),
    "no fingerprint": lambda tensors, numbers: numbers.pop("fingerprint") and None,
    "no loop": lambda tensors, numbers: numbers.pop("loop") and None,
    "no solver": lambda tensors, numbers: numbers.pop("solver") and None,
    "no tensors": lambda tensors, numbers: tensors.clear(),
    "shorter tensors": _shapes(lambda one: one[:1] if one.ndim else one),
    "tensors of another rank": _shapes(lambda one: one.reshape(-1, 1, 1)),
    "tensors of another type": _shapes(lambda one: one.to(torch.int64)),
}


@pytest.fixture
def stopped(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped in its first pass, with a checkpoint."""

    def after_one(self: Any, record: Any) -> None:
        plain(self, record)
        raise recorder.Interrupted

    plain = recorder.Recorder.__call__
    folder = trial.folder / "run"
    with monkeypatch.context() as patched:
        patched.setattr(recorder.Recorder, "__call__", after_one)
        words = ("--num-steps", 6, "--checkpoint-every", 0, "--quiet", "--output-dir", folder)
        assert trial.run(*words).code == 130
    assert list((folder / "checkpoints").iterdir())
    return folder


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_a_forged_checkpoint_is_refused_in_one_line(trial: Trial, stopped: Path, forged: Forged) -> None:
    (path,) = (stopped / "checkpoints").iterdir()
    found = checkpoints.load(path)
    assert found is not None
    forged(*found)
    path.write_bytes(b"".join(checkpoints.pieces(*found)))
    assert "checkpoint" in trial("run", "--resume", "--quiet", "--output-dir", stopped).complaint


def test_tensors_larger_than_the_file_are_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    import json
    import struct

    from deep_image_blending.errors import InputError

    for shape in ([2**40], [2**31, 2**31], [-1], ["x"], 7, [[]]):
        header = json.dumps({"numbers": {}, "tensors": [["x", "float32", shape]]}).encode()
        body = struct.pack("<Q", len(header)) + header
        (tmp_path / "c").write_bytes(hashlib.sha256(body).digest() + body)
        with pytest.raises(InputError, match="another version"):
            checkpoints.load(tmp_path / "c")
    body = struct.pack("<Q", 2**62)
    (tmp_path / "c").write_bytes(hashlib.sha256(body).digest() + body)
    with pytest.raises(InputError, match="another version"):
        checkpoints.load(tmp_path / "c")
