"""A manifest is checked whole: every bad row is told by its line, and ids are made from what rows say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deep_image_blending.batch.manifest import Shard, check, shard_of
from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError
from tests.batch.made import tiny_rows, written


def _bad(path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    check(str(path), found.__setitem__)
    return found


def test_every_bad_row_is_told_by_its_line(tmp_path: Path) -> None:
    good, *others = tiny_rows(tmp_path, 8)
    others[0]["stlye_weight"] = 1
    others[1]["num_steps"] = 0
    others[2]["target_file"] = "none.png"
    others[3]["id"] = "p0"
    others[4]["output_dir"] = "x"
    others[5]["objects"] = [{"x": 3, "ts": 9}]
    others[6]["id"] = "../x"
    path = written(tmp_path / "m.jsonl", [good, *others])
    with path.open("a") as stream:
        stream.write("{no\n\n[]\n")
    bad = _bad(path)
    assert sorted(bad) == [2, 3, 4, 5, 6, 7, 8, 9, 11]
    words = {2: "style_weight", 3: "num-steps", 4: "none.png", 5: "line 1", 6: "leave it out", 7: "object 1: ts"}
    for line, word in words.items():
        assert word in bad[line], bad[line]


def test_nothing_starts_while_a_row_is_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tiny_rows(tmp_path, 2)
    rows[1]["x"] = "left"
    path = written(tmp_path / "m.jsonl", rows)
    arguments = ["batch", str(path), "--output-dir", str(tmp_path / "out"), "--dry-run"]
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert "line 2: --x 'left' is not a number" in said
    assert "--skip-bad" in said
    assert run_command([*arguments, "--skip-bad"]) == 0
    said = capsys.readouterr().err
    assert "1 picture, 0 of them there, 1 to make" in said
    assert "GiB" in said
    assert not (tmp_path / "out").exists()


def test_a_dry_run_names_the_picture_whose_task_can_not_be_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "m.jsonl", [{**row, "style_layers": ".1.pool"} for row in tiny_rows(tmp_path, 1)])
    assert run_command(["batch", str(path), "--output-dir", str(tmp_path / "out"), "--dry-run"]) == 2
    assert "blend: picture 'p0': backbone " in capsys.readouterr().err.splitlines()[-1]


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = tiny_rows(tmp_path, 3, category="cup", flip=True)
    text = [",".join(rows[0])] + [",".join(str(value) for value in row.values()) for row in rows]
    (tmp_path / "m.csv").write_text("\n".join(text) + "\n")
    written(tmp_path / "m.jsonl", rows)
    checked = [check(str(tmp_path / name), pytest.fail) for name in ("m.csv", "m.jsonl")]
    (csv, lines) = (list(one.read()) for one in checked)
    assert [row.id for row in csv] == [row.id for row in lines] == ["p0", "p1", "p2"]
    assert csv[0].objects[0].alteration == lines[0].objects[0].alteration
    assert checked[0].categories == ("cup",)


def test_an_id_is_made_from_what_the_row_says(tmp_path: Path) -> None:
    row = {key: value for key, value in tiny_rows(tmp_path, 1)[0].items() if key != "id"}
    path = written(tmp_path / "m.jsonl", [row, {**row, "x": 7}, dict(reversed(row.items()))])
    assert list(_bad(path)) == [3]
    ids = [one.id for one in check(str(path), lambda *_: None).read()]
    assert len(set(ids)) == 2
    assert all(len(id) == 20 for id in ids)


def test_shards_have_every_row_once(tmp_path: Path) -> None:
    path = written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 7))
    checked = check(str(path), pytest.fail)
    parts = [[row.id for row in checked.read(Shard(i, 3))] for i in (1, 2, 3)]
    assert sorted(id for part in parts for id in part) == [f"p{i}" for i in range(7)]
    assert [checked.count(Shard(i, 3)) for i in (1, 2, 3)] == [len(part) for part in parts]
    for text in ("0/3", "4/3", "x", "1/0"):
        with pytest.raises(InputError, match="shard"):
            shard_of(text)


def test_objects_take_what_the_row_says_and_their_own(tmp_path: Path) -> None:
    row = tiny_rows(tmp_path, 1)[0]
    row["objects"] = [{"x": 1}, {"y": 2, "category": "cup"}]
    path = written(tmp_path / "m.jsonl", [json.loads(json.dumps(row))])
    first, second = next(iter(check(str(path), pytest.fail).read())).objects
    assert (first.given["x"], first.given["y"], first.label.category) == (1, 9, "object")
    assert (second.given["x"], second.given["y"], second.label.category) == (8, 2, "cup")
