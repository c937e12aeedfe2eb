"""Files of a batch: whole or not at all, without listing their folder, and never from a stale copy."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from deep_image_blending.batch.batch import Batch
from deep_image_blending.batch.blending import Limits
from deep_image_blending.batch.manifest import check
from deep_image_blending.batch.progress import read_status
from deep_image_blending.batch.records import ledger
from deep_image_blending.batch.store import Store, local_copy
from deep_image_blending.batch.task import Task, work
from deep_image_blending.cli.app import run_command
from tests.batch.made import tiny_rows, written

LISTED: list[str] = []
sys.addaudithook(lambda event, given: LISTED.append(str(given[0])) if event == "os.scandir" else None)


def test_the_folder_of_the_records_is_not_listed_at_each_writing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    LISTED.clear()
    store.write("records/a.json", b"{}\n")
    assert str(tmp_path / "records") not in LISTED
    list(store.names("records"))
    assert LISTED[-1] == str(tmp_path / "records")


def test_what_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("gone")
            return super().read(3)

    store = Store(str(tmp_path / "out"))
    store.write("a/x.txt", b"before")
    with pytest.raises(OSError, match="gone"):
        store.copy_in("a/x.txt", Broken(b"afterwards"))
    assert store.read("a/x.txt") == b"before"
    assert list(store.names("a")) == ["x.txt"]
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_far_manifest_is_read_anew_and_a_far_picture_once() -> None:
    upath = pytest.importorskip("upath")
    far = upath.UPath("memory://stock")
    folder, names = str(far), ("source_file", "mask_file", "target_file")
    rows = [dict.fromkeys(names, "a.png")]
    (far / "a.png").write_bytes(b"first")
    for count in (1, 3):
        text = "".join(json.dumps({**rows[0], "x": i}) + "\n" for i in range(count))
        (far / "m.jsonl").write_bytes(text.encode())
        assert check(f"{folder}/m.jsonl", pytest.fail).rows == count
    copy = local_copy(f"{folder}/a.png")
    (far / "a.png").write_bytes(b"second")
    assert local_copy(f"{folder}/a.png") == copy
    assert copy.read_bytes() == b"first"
    copy.unlink()


def test_what_an_object_stores_library_raises_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("upath")
    memory = pytest.importorskip("fsspec.implementations.memory")

    class NoCredentialsError(Exception):
        pass

    def refused(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate\ncredentials")

    monkeypatch.setattr(memory.MemoryFileSystem, "ls", refused)
    monkeypatch.setattr(memory.MemoryFileSystem, "_open", refused)
    manifest = str(written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 1, method="paste")))
    for words in (("--status", "memory://none"), (manifest, "--output-dir", "memory://none", "--dry-run")):
        assert run_command(["batch", *words]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("blend: 'memory://none' can't be used (Unable to locate credentials); check")
    (row,) = check(manifest, pytest.fail).read()
    found = work(Task(row, "memory://none", Limits()))
    assert found.ending == "again"
    assert found.reason == "Unable to locate credentials: memory://none/pictures/p0.png"


def test_a_place_that_holds_no_batch_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    manifest = written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 1, method="paste"))
    for place, words in (
        *((str(manifest), "File exists"), ("s3://", "names no place"), (f"{manifest}/x", "Not a directory")),
        ("nothing://x", "is no address"),
    ):
        assert run_command(["batch", str(manifest), "--output-dir", place]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert place in said
        assert words in said


@pytest.mark.parametrize("name", ["pictures/p0.png", "annotations.json", "summary.html", "status.json"])
def test_a_batch_writes_over_nothing_that_is_not_a_batchs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pytest.importorskip("ray")
    manifest, place = written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 1, method="paste")), tmp_path / "out"
    mine = place / name
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    for also in ([], ["--dry-run"]):
        assert (
            run_command(["batch", str(manifest), "--output-dir", str(place), "--annotations", "coco", *also]) == 2
        )
        assert "is no batch's; give a folder of its own" in capsys.readouterr().err
    assert [path for path in place.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "{}"


def test_a_batch_that_was_begun_is_known_by_its_status(tmp_path: Path) -> None:
    manifest = written(tmp_path / "m.jsonl", tiny_rows(tmp_path, 1, method="paste"))
    batch = Batch(check(str(manifest), pytest.fail), Store(str(tmp_path / "out")))
    batch.begin()
    (tmp_path / "out" / "pictures").mkdir()
    batch.begin()
    ((_, tally, _),) = read_status(batch.store)
    assert (tally.planned, tally.done) == (1, 0)


def test_what_is_finished_is_looked_up_in_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = tiny_rows(tmp_path, 140, method="paste")
    read = list(check(str(written(tmp_path / "m.jsonl", rows)), pytest.fail).read())
    store = Store(str(tmp_path / "out"))
    for row in (read[0], read[100], read[139]):
        work(Task(row, store.root, Limits()))
    rows[100]["x"] += 1
    read = list(check(str(written(tmp_path / "m.jsonl", rows)), pytest.fail).read())
    found = list(ledger(store).looked_up(read))
    assert [row for row, _ in found] == read
    assert [row.id for row, finished in found if finished] == ["p0", "p139"]
