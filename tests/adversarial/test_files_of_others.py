"""Nothing of a user's is removed: foreign files, links, devices, and what killed commands left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from deep_image_blending.declaration import chosen
from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.options.output import Output
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.report import write_report
from tests.adversarial.trial import TINY, Trial

PICTURES = ("--source-file", "source.png", "--mask-file", "mask.png", "--target-file", "target.png")
NAMES = ("report.html", "composite.png", "blend.mp4", "first_pass.png", "second_pass.7.png", "frames/a.jpg")


def _dead() -> int:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_folder_that_is_no_run_is_refused_and_stays(trial: Trial, name: str, force: tuple[str, ...]) -> None:
    mine = trial.folder / "d" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert "--force" in trial.run("--output-dir", trial.folder / "d", *force).complaint
    assert mine.read_text() == "mine"
    assert [path for path in (trial.folder / "d").rglob("*") if path.is_file()] == [mine]


def test_force_removes_what_run_json_says_and_nothing_else(trial: Trial, finished: Path) -> None:
    for name in ("notes.txt", "second_pass.7.png", "report.html", "frames/mine.jpg"):
        (finished / name).write_text("mine")
    (finished / "second_pass.losses.csv").write_text("old")
    assert trial.run("--quiet", "--force", "--output-dir", finished).code == 0
    for name in ("notes.txt", "second_pass.7.png", "report.html", "frames/mine.jpg"):
        assert (finished / name).read_text() == "mine", name
    assert (finished / "second_pass.losses.csv").read_text() != "old"


@pytest.mark.parametrize("option", ["--source-file", "--mask-file", "--target-file", "--init"])
@pytest.mark.parametrize("name", ["second_pass.png", "frames/second_pass.000001.jpg", "link.png"])
def test_force_removes_no_picture_that_the_new_run_is_made_of(
    trial: Trial, finished: Path, option: str, name: str
) -> None:
    (finished / "link.png").symlink_to("second_pass.png")
    picture = finished / name
    if not picture.exists():
        picture.write_bytes(trial.case.target.read_bytes())
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    tried = trial.run("--output-dir", finished, "--force", option, picture)
    assert f"'{picture}' is a part of the run in '{finished}'" in tried.complaint
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_force_removes_no_given_first_pass(trial: Trial, finished: Path) -> None:
    picture = finished / "first_pass.png"
    words = ("--first-pass-file", picture, "--target-file", trial.case.target, "--force", "--output-dir", finished)
    assert "give another --output-dir" in trial("second-pass", *words).complaint
    assert picture.exists()


@pytest.mark.parametrize("stored", ["", "not JSON", "[]", "{}", '{"name": "my own"}', '{"format": 3}'])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_run_json_of_another_program_is_no_run(trial: Trial, stored: str, force: tuple[str, ...]) -> None:
    folder = trial.folder / "d"
    folder.mkdir()
    mine = {"run.json": stored, "composite.png": "mine"}
    for name, text in mine.items():
        (folder / name).write_text(text)
    assert "start a new run in another folder" in trial.run("--output-dir", folder, *force).complaint
    assert {path.name: path.read_text() for path in folder.iterdir() if path.name != ".lock"} == mine


@pytest.mark.parametrize("name", ["second_pass.png", "second_pass.losses.csv", "composite.png"])
def test_force_writes_over_nothing_that_is_not_the_runs(trial: Trial, name: str) -> None:
    folder = trial.folder / "d"
    assert trial("first-pass", *trial.case.options(), *TINY, "--output-dir", folder).code == 0
    if name == "composite.png":
        (folder / name).unlink()
        os.mkfifo(folder / name)
    else:
        (folder / name).write_text("mine")
    before = sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.name != ".lock")
    assert f"{name}' is not the run's" in trial.run("--force", "--output-dir", folder).complaint
    assert sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.name != ".lock") == before


def test_force_follows_no_path_that_run_json_names(trial: Trial, finished: Path) -> None:
    outside = trial.folder / "precious"
    outside.write_text("mine")
    manifest = json.loads((finished / "run.json").read_text())
    manifest["wrote"] += ["../precious", str(outside), "frames"]
    (finished / "run.json").write_text(json.dumps(manifest))
    trial.run("--quiet", "--force", "--output-dir", finished)
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("folder", ["frames", "checkpoints"])
@pytest.mark.parametrize("words", [("--force",), ("--resume",)], ids=["force", "resume"])
def test_folders_that_are_links_are_not_followed(
    trial: Trial, finished: Path, folder: str, words: tuple[str, ...]
) -> None:
    elsewhere = trial.folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("first_pass.000001.jpg", "first_pass.000001.ckpt"):
        (elsewhere / name).write_text("mine")
    manifest = json.loads((finished / "run.json").read_text())
    manifest["passes"]["second_pass"]["status"] = "running"
    (finished / "run.json").write_text(json.dumps(manifest))
    shutil.rmtree(finished / folder, ignore_errors=True)
    (finished / folder).symlink_to(elsewhere)
    before = (finished / "second_pass.png").read_bytes()
    given = (*trial.case.options(), "--quiet") if words == ("--force",) else ("--quiet",)
    assert "is a link" in trial("run", *given, *words, "--output-dir", finished).complaint
    assert (finished / "second_pass.png").read_bytes() == before
    assert sorted(path.read_text() for path in elsewhere.iterdir()) == ["mine", "mine"]


@pytest.mark.parametrize("command", ["compare", "report", "make-video", "preview"])
def test_no_output_replaces_a_device(trial: Trial, finished: Path, command: str) -> None:
    ending = {"report": "html", "make-video": "gif"}.get(command, "png")
    path = trial.folder / f"out.{ending}"
    try:
        # The numbers of /dev/full, in a scratch folder.
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    except PermissionError:
        os.mkfifo(path)
    before = path.lstat()
    what = trial.case.options() if command == "preview" else [str(finished)]
    assert "give a file name" in trial(command, *what, "--output-file", path).complaint
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--preset", "pipe.toml"),
        ("batch", "pipe.jsonl", "--output-dir", "out"),
        ("batch", "pipe.csv", "--output-dir", "out"),
    ],
)
def test_no_command_waits_for_a_pipe(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    if words[0] == "batch":
        pytest.importorskip("ray", reason="needs the extra batch")
    monkeypatch.chdir(trial.folder)
    (pipe,) = (word for word in words if word.startswith("pipe"))
    os.mkfifo(pipe)
    # A reader and writer at once: what opens the pipe all the same waits for words, and not for ever.
    end = os.open(pipe, os.O_RDWR)
    try:
        assert f"'{pipe}' does not exist, or is no file" in trial(*words).complaint
    finally:
        os.close(end)


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_picture_of_another_size_is_not_the_runs(trial: Trial, finished: Path, command: str) -> None:
    Image.new("RGB", (10, 10)).save(finished / "composite.png")
    trial.case.source.unlink()
    ending = "html" if command == "report" else "png"
    said = trial(command, finished, "--output-file", trial.folder / f"a.{ending}")
    assert "composite.png' is not of this run: its size is another" in said.complaint


def test_a_report_of_a_run_whose_name_is_no_text(trial: Trial, finished: Path) -> None:
    folder = trial.folder / os.fsdecode(b"\xff")
    finished.rename(folder)
    write_report([RunDirectory.open(folder, write=False)], trial.folder / "a.html")
    assert r"\udcff" in (trial.folder / "a.html").read_text(encoding="utf-8")


def test_runs_of_the_studio_lie_in_a_folder(trial: Trial) -> None:
    pytest.importorskip("uvicorn")
    assert "give another folder" in trial("studio", "--no-browser", "--runs", trial.case.mask).complaint


@pytest.mark.parametrize(
    "words",
    [
        ("preview", *PICTURES, "--output-file", "target.png"),
        ("preview", *PICTURES, "--output-file", "link.png"),
        ("ablation", *PICTURES, "--init", "start.png", "--output-file", "start.png"),
        ("cut-out", "source.png", "--mask-file", "mask.png", "--output-file", "./source.png"),
        ("cut-out", "source.png", "--mask-file", "mask.png", "--output-file", "mask.png"),
        ("cut-out", "source.png", "--mask-file", "mask.png", "--output-file", "a.png", "--rgba", "source.png"),
        ("cut-out", "source.png", "--mask-file", "mask.png", "--output-file", "a.png", "--preview-file", "a.png"),
    ],
)
def test_no_output_replaces_what_is_read(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(trial.folder)
    Path("link.png").symlink_to("target.png")
    shutil.copy("target.png", "start.png")
    before = {path.name: path.read_bytes() for path in trial.folder.iterdir()}
    assert f"'{Path(words[-1])}' is named twice" in trial(*words).complaint
    assert {path.name: path.read_bytes() for path in trial.folder.iterdir()} == before


@pytest.mark.parametrize("command", ["preview", "compare", "ablation"])
def test_a_picture_at_a_name_that_nobody_gave_stays_unless_the_command_made_it(
    trial: Trial, finished: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (trial.folder / "here").mkdir()
    monkeypatch.chdir(trial.folder / "here")
    path = Path({"preview": "preview.png", "compare": "comparison.png", "ablation": "ablation.png"}[command])
    words = {"preview": trial.case.options(), "compare": [finished]}.get(command, (*trial.case.options(), *TINY))
    for mine in (trial.case.target, finished / "second_pass.png", trial.case.mask):
        shutil.copy(mine, path)
        complaint = trial(command, *words).complaint
        assert f"'{path}' is there already" in complaint
        assert "--output-file" in complaint
        assert path.read_bytes() == mine.read_bytes()
    assert trial(command, *words, "--output-file", path).code == 0
    made = Image.open(path)
    assert made.info["Software"] == "deep-image-blending"
    path.unlink()
    for _ in range(2):
        assert trial(command, *words).code == 0
        assert Image.open(path).size == made.size
    assert [one.name for one in Path().iterdir()] == [path.name]


def test_a_picture_that_is_read_is_not_replaced_at_a_name_that_nobody_gave(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trial.folder)
    assert trial("preview", *trial.case.options()).code == 0
    before = Path("preview.png").read_bytes()
    words = ("--source-file", "source.png", "--mask-file", "mask.png", "--target-file", "preview.png")
    assert "'preview.png' is named twice" in trial("preview", *words).complaint
    assert Path("preview.png").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report.html", ("report", "{run}")),
        ("blend.mp4", ("make-video", "{run}")),
        ("blend.gif", ("make-video", "{run}", "--format", "gif")),
        ("blend.mp4", ("second-pass", "{run}", "--save-video", "--num-steps", "1")),
        ("blend.mp4", ("run", "--force", "--save-video", "--output-dir", "{run}", *TINY)),
    ],
)
def test_a_users_own_report_or_video_in_a_run_stays(
    trial: Trial, finished: Path, name: str, words: tuple[str, ...]
) -> None:
    words = tuple(word.format(run=finished) for word in words)
    given = trial.case.options() if words[0] == "run" else []
    (finished / name).write_text("mine")
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert f"'{finished / name}' is not the run's" in trial(*words, *given).complaint
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    (finished / name).unlink()
    for _ in range(2):
        assert trial(*words, *given, "--quiet").code == 0
        assert (finished / name).stat().st_size > 100


@pytest.mark.parametrize("name", ["run.json", "mask.png", "second_pass.7.png", "frames/first_pass.000009.jpg"])
@pytest.mark.parametrize("command", ["compare", "preview", "report"])
def test_no_output_replaces_a_part_of_a_run(trial: Trial, finished: Path, command: str, name: str) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    what = trial.case.options() if command == "preview" else [str(finished)]
    assert "is a part of the run in" in trial(command, *what, "--output-file", finished / name).complaint
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_report_is_a_page(trial: Trial, finished: Path) -> None:
    assert "end it in .html" in trial("report", finished, "--output-file", trial.folder / "a.png").complaint


@pytest.mark.parametrize(
    "words",
    [
        *(("make-video", "{run}", "--output-file", ""), ("report", "{run}", "--output-file="), ("compare", "")),
        *(("run", "--output-dir", ""), ("run", "--demo="), ("batch", ""), ("scatter", "--output-file", "")),
    ],
)
def test_an_empty_word_is_never_a_path(trial: Trial, finished: Path, words: tuple[str, ...]) -> None:
    words = tuple(word.format(run=finished) for word in words)
    assert f"what follows '{words[-1] or words[-2]}' is empty" in trial(*words).complaint
    with pytest.raises(InputError, match="--output-dir '' is not a path"):
        chosen(Output, {"output_dir": ""})


def test_the_current_folder_holds_a_run_if_it_is_empty(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'.' is not empty and holds no run" in trial.run("--output-dir", ".").complaint
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert trial.run("--output-dir", ".").code == 0
    assert "nothing to continue" in trial("run", "--resume", "--output-dir", ".").err
    assert "seam" in trial("evaluate", ".", "--features", "none").out


def test_an_impossible_output_directory_is_one_line(trial: Trial) -> None:
    assert "File name too long" in trial.run("--output-dir", trial.folder / ("x" * 300)).complaint
    assert "is not a path" in trial.run("--output-dir", "a\0b").complaint


def test_what_a_killed_command_left_goes_with_the_next_and_the_rest_stays(trial: Trial, finished: Path) -> None:
    dead, alive = _dead(), os.getppid()
    left = [finished / f".{name}.{dead}-0123abcd.tmp" for name in ("run.json", "report.html", "blend.mp4")]
    left += [finished / "frames" / f".first_pass.000001.jpg.{dead}-0123abcd.tmp"]
    stay = [finished / f".report.html.{alive}-0123abcd.tmp", finished / ".mine.tmp", finished / ".notes.1-ab.tmp"]
    for path in (*left, *stay):
        path.write_text("half")
    assert trial("second-pass", finished, "--quiet", "--num-steps", 1).code == 0
    assert [path for path in left if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []


def test_writing_a_file_again_removes_what_was_left_of_it(tmp_path: Path) -> None:
    left = [tmp_path / f".a[1].png.{owner}-0123abcd.tmp" for owner in (_dead(), os.getpid(), 10**30)]
    stays = tmp_path / f".a[1].png.{os.getppid()}-0123abcd.tmp"
    for path in (*left, stays):
        path.write_text("half")
    with atomic_write(tmp_path / "a[1].png") as file, atomic_write(tmp_path / "a[1].png") as other:
        file.write(b"one")
        other.write(b"two")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a[1].png", stays.name])


@pytest.mark.parametrize("command", ["compare", "report", "make-video", "preview", "cut-out", "scatter"])
def test_a_full_disk_is_a_failure_that_names_the_file(
    trial: Trial, finished: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    ending = {"report": "html", "make-video": "gif", "scatter": "jsonl"}.get(command, "png")
    path = trial.folder / f"out.{ending}"
    words = {
        "preview": trial.case.options(),
        "cut-out": [trial.case.source, "--mask-file", trial.case.mask],
        "scatter": ["--count", 1],
    }
    tried = trial(command, *words.get(command, [finished]), "--output-file", path)
    assert tried.code == 1
    assert tried.err.splitlines()[-1].startswith(f"blend: '{path}': No space left on device; ")
    assert not path.exists()
    assert not list(trial.folder.glob(".*.tmp"))


def test_what_is_not_there_is_no_picture_to_evaluate(trial: Trial) -> None:
    assert "does not exist; give a run directory" in trial("evaluate", trial.folder / "nowhere").complaint
