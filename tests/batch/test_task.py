"""A row becomes the picture that `blend run` makes of it; its record comes last; failures are told in a line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from deep_image_blending.batch.blending import Limits
from deep_image_blending.batch.manifest import check
from deep_image_blending.batch.records import ledger
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.batch.task import Task, work
from deep_image_blending.cli.app import run_command
from tests.batch.made import run_words, tiny_rows, written


def _rows(tmp_path: Path, rows: list[dict[str, Any]]) -> list[Row]:
    return list(check(str(written(tmp_path / "m.jsonl", rows)), pytest.fail).read())


def test_a_row_is_what_blend_run_makes_bit_for_bit(tmp_path: Path) -> None:
    (said,) = tiny_rows(tmp_path, 1)
    (row,) = _rows(tmp_path, [said])
    root = str(tmp_path / "out")
    assert work(Task(row, root, Limits())).ending == "done"
    assert run_command(run_words(tmp_path, said, tmp_path / "run")) == 0
    picture = (tmp_path / "out/pictures/p0.png").read_bytes()
    assert picture == (tmp_path / "run/second_pass.png").read_bytes()
    record = json.loads((tmp_path / "out/records/p0.json").read_text())
    assert record["outputs"] == {"pictures/p0.png": hashlib.sha256(picture).hexdigest()}
    assert record["objects"][0]["options"]["first"]["num_steps"] == 2
    assert (record["attempt"], record["status"]) == (1, "done")


def test_objects_one_after_the_other_are_blend_run_twice(tmp_path: Path) -> None:
    (said,) = tiny_rows(tmp_path, 1)
    places = ({"x": 9, "y": 9}, {"x": 16, "y": 19})
    base = {name: value for name, value in said.items() if name not in ("x", "y")}
    (row,) = _rows(tmp_path, [{**base, "objects": list(places)}])
    assert work(Task(row, str(tmp_path / "out"), Limits())).ending == "done"
    target = tmp_path / said["target_file"]
    for number, place in enumerate(places):
        folder = tmp_path / f"run{number}"
        assert run_command(run_words(tmp_path, {**base, **place, "target_file": str(target)}, folder)) == 0
        target = folder / "second_pass.png"
    assert (tmp_path / "out/pictures/p0.png").read_bytes() == target.read_bytes()


def test_a_row_that_says_something_else_is_made_again(tmp_path: Path) -> None:
    rows = tiny_rows(tmp_path, 2, method="paste")
    root = str(tmp_path / "out")
    for row in _rows(tmp_path, rows):
        work(Task(row, root, Limits()))
    rows[1]["x"] += 1
    same, changed = _rows(tmp_path, rows)
    known = ledger(Store(root))
    assert known.finished(same)
    assert not known.finished(changed)


def test_a_further_attempt_does_not_make_what_is_committed(tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, tiny_rows(tmp_path, 1, method="paste"))
    root = str(tmp_path / "out")
    work(Task(row, root, Limits()))
    before = (tmp_path / "out/records/p0.json").stat().st_mtime_ns
    assert work(Task(row, root, Limits(), attempt=2)).ending == "done"
    assert (tmp_path / "out/records/p0.json").stat().st_mtime_ns == before


def test_failures_are_told_apart(tmp_path: Path) -> None:
    off, slow, large = tiny_rows(tmp_path, 3)
    off["x"] = 500
    slow["num_steps"] = 100_000
    one, two, three = _rows(tmp_path, [off, slow, large])
    root = str(tmp_path / "out")
    found = work(Task(one, root, Limits()))
    assert found.ending == "failed"
    assert "off the canvas" in found.reason
    found = work(Task(two, root, Limits(), timeout=0.001))
    assert (found.ending, found.reason) == ("failed", "timed out after 0.001 s")
    found = work(Task(three, root, Limits(memory=1 << 20)))
    assert found.ending == "more memory"
    assert found.peak > 1 << 20
    (tmp_path / "file").write_text("")
    assert work(Task(three, str(tmp_path / "file"), Limits())).ending == "again"
    assert not (tmp_path / "out/records").exists()
