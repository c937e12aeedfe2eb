"""run.json with values of wrong types at every key: never a traceback, exit code 2 with one line."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deep_image_blending.errors import InputError
from deep_image_blending.runs.manifest import manifest_of
from tests.adversarial.trial import Trial

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1e308, math.nan, "", "x", "\0", [], [1], ["a"], [[]], {}, {"a": 1}),
)
GONE = object()
TRIES = 40
"""Changes that each command sees."""


def _keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in entries:
        yield from _keys(one, (*path, key))


def _changed(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value if value is not GONE else {}
    whole = copy.deepcopy(whole)
    owner = whole
    for key in path[:-1]:
        owner = owner[key]
    if value is GONE:
        del owner[path[-1]]
    else:
        owner[path[-1]] = value
    return whole


def _changes(whole: Any) -> Iterator[Any]:
    for path in _keys(whole):
        for value in (*VALUES, GONE):
            yield _changed(whole, path, value)


def test_every_key_with_every_wrong_type_is_refused_or_readable(finished: Path) -> None:
    for changed in _changes(json.loads((finished / "run.json").read_text())):
        with contextlib.suppress(ValueError, InputError):
            assert isinstance(manifest_of(changed)["format"], int)


COMMANDS = {
    "compare": "compare {run} --output-file {d}/out.png",
    "report": "report {run} --output-file {d}/out.html --quiet",
    "make-video": "make-video {run} --format gif --fps 2 --seconds 1 --quiet --output-file {d}/out.gif",
    "evaluate": "evaluate {run} --features none",
    "resume": "run --resume --output-dir {run} --quiet",
    "second-pass": "second-pass {run} --num-steps 1 --quiet",
}


def _tried(trial: Trial, finished: Path, command: str, tries: int | None) -> None:
    pristine = trial.folder / "pristine"
    shutil.copytree(finished, pristine)
    changes = list(_changes(json.loads((finished / "run.json").read_text())))
    dice = np.random.default_rng(sum(map(ord, command)))
    chosen = range(len(changes)) if tries is None else dice.choice(len(changes), tries, replace=False)
    words = COMMANDS[command].format(run=finished, d=trial.folder).split()
    for number in chosen:
        shutil.rmtree(finished)
        shutil.copytree(pristine, finished)
        (finished / "run.json").write_text(json.dumps(changes[number]))
        tried = trial(*words)
        assert tried.code in (0, 2), (number, tried)
        if tried.code == 2:
            assert tried.complaint


@pytest.mark.parametrize("device", ["", "cuda:77", "auto", "meta", "x"])
def test_a_device_that_is_not_there_is_one_line_that_says_what_to_do(
    trial: Trial, finished: Path, device: str
) -> None:
    """A run that was begun on a graphics card, on a machine without."""
    manifest = json.loads((finished / "run.json").read_text())
    manifest["options"]["device"] = device
    (finished / "run.json").write_text(json.dumps(manifest))
    # There is nothing left to do.
    assert trial(*COMMANDS["resume"].format(run=finished).split()).code == 0
    manifest["passes"]["second_pass"]["status"] = "interrupted"
    (finished / "run.json").write_text(json.dumps(manifest))
    for command, remedy in (("resume", "go on where it is"), ("second-pass", "give another --device")):
        tried = trial(*COMMANDS[command].format(run=finished).split())
        assert tried.code == 2
        assert f"device {device!r}, which is not there (available: cpu" in tried.complaint
        assert remedy in tried.complaint
    assert trial(*COMMANDS["second-pass"].format(run=finished).split(), "--device", "cpu").code == 0


@pytest.mark.parametrize("command", ["compare", "evaluate", "resume"])
def test_some_changes_for_every_command(trial: Trial, finished: Path, command: str) -> None:
    _tried(trial, finished, command, TRIES)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_changes_for_every_command(trial: Trial, finished: Path, command: str) -> None:
    _tried(trial, finished, command, 20 * TRIES)
