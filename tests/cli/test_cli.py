"""The command line, run for real on tiny pictures."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep_image_blending.cli.app import run_command
from tests.conftest import Case, smooth_picture

FAST = ["--backbone", "random", "--num-steps", "4", "--plain", "--threads", "1"]
COLUMNS = "evaluation,seconds,total,gradient,style,content,histogram,tv,neighbours,moments,covariance,form,tone"


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def _run(case: Case, output: Path, *more: str) -> int:
    return run_command(["run", *case.options(), "--output-dir", str(output), *FAST, *more])


@pytest.fixture
def run(case: Case, tmp_path: Path) -> Path:
    assert _run(case, tmp_path / "run") == 0
    return tmp_path / "run"


def test_run_writes_the_whole_run_directory(case: Case, run: Path) -> None:
    target = _pixels(case.target)
    for name in ("composite.png", "first_pass.png", "second_pass.png"):
        assert _pixels(run / name).shape == target.shape
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["passes"]["first_pass"]["status"] == manifest["passes"]["second_pass"]["status"] == "done"
    assert manifest["backbone"]["first_pass"]["name"] == "random"
    assert len(manifest["backbone"]["first_pass"]["sha256"]) == 64
    assert set(manifest["inputs"]) == {"source", "mask", "target"}
    assert manifest["options"]["preset"] == "natural"
    assert "torch" in manifest["versions"]
    for name in ("first_pass", "second_pass"):
        lines = (run / f"{name}.losses.csv").read_text().splitlines()
        assert lines[0] == COLUMNS
        rows = list(csv.DictReader(lines))
        assert [int(row["evaluation"]) for row in rows] == [1, 2, 3, 4]
        terms = [float(row[key]) for key in COLUMNS.split(",")[3:] if (row := rows[0])[key]]
        assert float(rows[0]["total"]) == pytest.approx(sum(terms), rel=1e-5)
    assert rows[0]["gradient"] == ""
    assert not list((run / "checkpoints").glob("*")) if (run / "checkpoints").exists() else True


def test_background_outside_mask_is_bit_identical(case: Case, run: Path) -> None:
    target = _pixels(case.target)
    outside = np.ones(target.shape[:2], bool)
    outside[12:36, 14:42] = _pixels(case.mask) == 0
    for name in ("composite", "first_pass", "second_pass"):
        np.testing.assert_array_equal(_pixels(run / f"{name}.png")[outside], target[outside])
    inside = ~outside
    assert (_pixels(run / "second_pass.png")[inside] != target[inside]).any()


def test_same_seed_same_bits(case: Case, run: Path, tmp_path: Path) -> None:
    assert _run(case, tmp_path / "again") == 0
    for name in ("first_pass.png", "second_pass.png"):
        assert (run / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_both_spellings_and_the_descriptions_commands(case: Case, tmp_path: Path) -> None:
    options = [option.replace("-file", "_file") for option in case.options()]
    code = run_command(
        f"blend --output_dir {tmp_path}/res_1 --ss 24 --ts 48 --x 20 --y 25 --num_steps 3 --save_video True "
        "--backbone random --quiet".split()
        + options
    )
    assert code == 0
    assert (tmp_path / "res_1" / "blend.mp4").stat().st_size > 500
    placement = json.loads((tmp_path / "res_1" / "run.json").read_text())["placement"]
    assert (placement["x"], placement["y"], placement["ss"], placement["ts"]) == (20, 25, 24, 48)
    # --x is vertical: the 21-row object centred at row 20 begins at row 20 - 21/2.
    assert (placement["top"], placement["left"]) == (9, 13)


def test_second_pass_reruns_alone_and_keeps_the_earlier_one(run: Path) -> None:
    first, second = (run / "first_pass.png").read_bytes(), (run / "second_pass.png").read_bytes()
    assert run_command(["second-pass", str(run), *FAST]) == 0
    assert (run / "first_pass.png").read_bytes() == first
    assert (run / "second_pass.png").read_bytes() == second == (run / "second_pass.1.png").read_bytes()
    assert run_command(["second-pass", str(run), *FAST, "--style-weight", "5"]) == 0
    assert (run / "second_pass.png").read_bytes() != second
    assert (run / "second_pass.2.png").read_bytes() == second


def test_first_pass_alone_then_second(case: Case, run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    assert run_command(["first-pass", *case.options(), "--output-dir", str(alone), *FAST]) == 0
    assert not (alone / "second_pass.png").exists()
    assert (alone / "first_pass.png").read_bytes() == (run / "first_pass.png").read_bytes()
    assert run_command(["second-pass", str(alone), *FAST]) == 0
    assert (alone / "second_pass.png").read_bytes() == (run / "second_pass.png").read_bytes()


def test_second_pass_on_any_saved_picture(case: Case, run: Path, tmp_path: Path) -> None:
    target = _pixels(case.target)
    mask = np.zeros(target.shape[:2], np.uint8)
    mask[10:30, 12:40] = 255
    Image.fromarray(mask).save(tmp_path / "canvas_mask.png")
    start = ["second-pass", "--first-pass-file", str(run / "composite.png"), "--target-file", str(case.target)]
    assert (
        run_command(
            [*start, "--mask-file", str(tmp_path / "canvas_mask.png"), "--output-dir", str(tmp_path / "a"), *FAST]
        )
        == 0
    )
    result = _pixels(tmp_path / "a" / "second_pass.png")
    np.testing.assert_array_equal(result[mask == 0], target[mask == 0])
    assert run_command([*start, "--output-dir", str(tmp_path / "b"), *FAST, "--content-weight", "0"]) == 0
    assert (_pixels(tmp_path / "b" / "second_pass.png") != _pixels(run / "composite.png")).mean() > 0.5


def test_canvas_option_repaints_everything(run: Path) -> None:
    assert run_command(["second-pass", str(run), *FAST, "--canvas", "--content-weight", "0"]) == 0
    first, second = _pixels(run / "first_pass.png"), _pixels(run / "second_pass.png")
    assert (first[4] != second[4]).any()


def test_another_preset_for_the_second_pass_leaves_the_first_passs_options(run: Path) -> None:
    before = json.loads((run / "run.json").read_text())["options"]["first"]
    assert run_command(["second-pass", str(run), *FAST, "--preset", "painterly"]) == 0
    options = json.loads((run / "run.json").read_text())["options"]
    assert options["first"] == before
    assert (options["preset"], options["second"]["objective"]) == ("painterly", "painted")
    assert options["second"]["painting"] != "auto"
    decisions = json.loads((run / "run.json").read_text())["decisions"]
    assert any(said.startswith("painting ") for said in decisions)


def test_video_of_a_run_says_where_it_is_and_how_far(run: Path, capsys) -> None:
    assert run_command(["make-video", str(run), "--format", "gif", "--fps", "10", "--seconds", "2"]) == 0
    said = capsys.readouterr().err.splitlines()
    # The paste for 1 s, 0.5 s of leap, 2 s of passes, and 2 s of the finished picture.
    assert said[-1] == f"{run / 'blend.gif'}: 54 frames at 10 a second"
    assert sum(line.startswith("frame ") for line in said) == 4
    assert run_command(["make-video", str(run), "--format", "webp", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert (run / "blend.webp").is_file()


def test_histogram_and_tv_and_layers_can_be_asked_for(case: Case, tmp_path: Path) -> None:
    code = _run(
        case, tmp_path / "r", "--hist-weight", "0.3", "--tv-weight", "0.1,0.2", "--style-layers", "relu1_2,relu3_3"
    )
    assert code == 0
    rows = list(csv.DictReader((tmp_path / "r" / "second_pass.losses.csv").open()))
    assert float(rows[0]["histogram"]) > 0
    options = json.loads((tmp_path / "r" / "run.json").read_text())["options"]
    assert options["first"]["weights"]["tv"] == 0.1
    assert options["second"]["weights"]["tv"] == 0.2
    assert options["second"]["style_layers"] == ["relu1_2", "relu3_3"]


def test_init_image_is_used_as_the_start(case: Case, run: Path, tmp_path: Path) -> None:
    assert _run(case, tmp_path / "r", "--init", str(run / "second_pass.png")) == 0
    noise = _run(case, tmp_path / "n", "--init", "noise", "--seed", "3")
    assert noise == 0
    rows = [
        float(next(csv.DictReader((tmp_path / name / "first_pass.losses.csv").open()))["gradient"])
        for name in "rn"
    ]
    assert rows[1] > 10 * rows[0]


def test_finished_run_is_not_overwritten(case: Case, run: Path, capsys) -> None:
    before = (run / "second_pass.png").read_bytes()
    assert _run(case, run, "--style-weight", "9") == 2
    assert "--force" in capsys.readouterr().err
    assert (run / "second_pass.png").read_bytes() == before
    assert _run(case, run, "--style-weight", "9", "--force") == 0
    assert (run / "second_pass.png").read_bytes() != before


def test_auto_falls_back_with_a_line_and_a_name_never_does(
    case: Case, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    options = [*case.options(), "--num-steps", "2", "--plain", "--preset", "resnet"]
    named = run_command(["run", *options, "--backbone", "vgg16", "--output-dir", str(tmp_path / "a")])
    assert named == 2
    message = capsys.readouterr().err
    assert "--weights" in message
    assert "--backbone embedded" in message
    assert not (tmp_path / "a").exists()


def test_presets_are_a_table(capsys) -> None:
    assert run_command(["presets"]) == 0
    shown = capsys.readouterr().out
    for word in ("natural", "painterly", "wacv2020", "resnet", "1020", "10000"):
        assert word in shown


def test_help_is_quick_because_torch_is_not_imported() -> None:
    code = (
        "import sys; from deep_image_blending.cli import run_command; "
        "assert run_command(['--help']) == 0; assert run_command(['run', '--help']) == 0; "
        "heavy = {'torch', 'torchvision', 'scipy', 'skimage', 'matplotlib', 'PIL'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP tells its settings")
@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given: str | None, case: Case) -> None:
    """OpenMP itself tells what it has read."""
    plain = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    wanted = {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run(
        [sys.executable, "-m", "deep_image_blending.cli", "run", *case.options(), "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
        env=plain | wanted | {"OMP_DISPLAY_ENV": "verbose"},
    )
    assert f"OMP_WAIT_POLICY = '{given or 'PASSIVE'}'" in done.stderr
    # Not at once: they turn round some times first.
    (turns,) = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert int(turns) > 1_000_000 if given else 0 < int(turns) < 10_000


def test_errors_are_one_line_on_stderr_and_exit_code_2(case: Case) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deep_image_blending.cli", "run", *case.options(), "--preset", "natral"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "blend: unknown preset 'natral'; did you mean 'natural'?\n"
    assert done.stdout == ""


def test_object_partly_off_the_canvas_is_blended_where_it_is_on_it(case: Case, tmp_path: Path) -> None:
    assert _run(case, tmp_path / "r", "--x", "0", "--y", "56") == 0
    target, result = _pixels(case.target), _pixels(tmp_path / "r" / "second_pass.png")
    assert (result[:8, -8:] != target[:8, -8:]).any()
    np.testing.assert_array_equal(result[12:], target[12:])


def test_non_square_target_and_sixteen_bits(tmp_path: Path, case: Case) -> None:
    import tifffile

    deep = smooth_picture(4, 40, 70).astype(np.uint16) * 257 + 3
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    case = Case(case.source, case.mask, tmp_path / "deep.tif")
    assert _run(case, tmp_path / "r") == 0
    from deep_image_blending.pictures import read_picture

    result = read_picture(tmp_path / "r" / "second_pass.png").pixels
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[0], deep[0])


def test_without_options_the_bundled_demo_is_blended(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", *FAST, "--num-steps", "1"]) == 0
    run = tmp_path / "results" / "shuttle"
    target = _pixels(Path(json.loads((run / "run.json").read_text())["inputs"]["target"]["path"]))
    result = _pixels(run / "second_pass.png")
    assert result.shape == target.shape
    assert (result != target).any()
    place = ["--ts", "90"]
    assert run_command(["run", *FAST, "--num-steps", "1", *place]) == 0
    small = tmp_path / "results" / "shuttle-2"
    assert max(_pixels(small / "second_pass.png").shape) == 90
    assert (_pixels(small / "second_pass.png") != _pixels(small / "composite.png")).any()


def test_auto_falls_back_to_the_embedded_backbone_and_says_so(
    case: Case, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for preset in ("wacv2020", "resnet"):
        code = run_command(
            f"run --preset {preset} --num-steps 2 --plain --ss 24 --ts 48 --output-dir {tmp_path}/{preset}".split()
            + case.options()
        )
        assert code == 0
        assert "using the embedded backbone" in capsys.readouterr().err
        manifest = json.loads((tmp_path / preset / "run.json").read_text())
        assert manifest["backbone"]["second_pass"]["name"] == "embedded"
        assert any("using the embedded backbone" in decision for decision in manifest["decisions"])


def test_devices_that_are_not_there_are_refused(case: Case, tmp_path: Path, capsys) -> None:
    assert _run(case, tmp_path / "r", "--device", "cuda:77") == 2
    assert "available: cpu" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_gpus_number_without_a_gpu_goes_to_the_cpu_and_says_so(case: Case, tmp_path: Path, capsys) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert _run(case, tmp_path / "r", "--gpu_id", "0") == 0
    assert "there is no GPU here: --gpu-id 0 runs on the CPU" in capsys.readouterr().err
    assert json.loads((tmp_path / "r" / "run.json").read_text())["device"]["name"] == "cpu"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_writes_a_checkpoint_exits_130_and_continues_to_the_same_bits(
    case: Case, run: Path, tmp_path: Path, capsys, monkeypatch, number: int
) -> None:
    from deep_image_blending.runs import recorder

    stopped, plain = tmp_path / "stopped", recorder.Recorder.__call__

    def interrupting(self: recorder.Recorder, record) -> None:
        if self.name == "second_pass" and record.index == 2:
            os.kill(os.getpid(), number)
        plain(self, record)

    monkeypatch.setattr(recorder.Recorder, "__call__", interrupting)
    assert _run(case, stopped) == 130
    assert f"--output-dir '{stopped}' --resume" in capsys.readouterr().err
    monkeypatch.setattr(recorder.Recorder, "__call__", plain)
    changed = ["run", "--output-dir", str(stopped), "--resume", "--style-weight", "3"]
    assert run_command(changed) == 2
    assert "style was" in capsys.readouterr().err
    assert run_command(["run", "--output-dir", str(stopped), "--resume", "--quiet"]) == 0
    for name in ("first_pass.png", "second_pass.png"):
        assert (stopped / name).read_bytes() == (run / name).read_bytes()
    for name in ("first_pass.losses.csv", "second_pass.losses.csv"):
        tables = [list(csv.DictReader((folder / name).open())) for folder in (stopped, run)]
        for row in (*tables[0], *tables[1]):
            del row["seconds"]
        assert tables[0] == tables[1]


def test_a_run_in_use_is_refused(case: Case, run: Path, capsys) -> None:
    from deep_image_blending.runs.directory import RunDirectory

    with RunDirectory.open(run):
        assert run_command(["second-pass", str(run), *FAST]) == 2
        assert "in use by another process" in capsys.readouterr().err
    assert run_command(["second-pass", str(run), *FAST]) == 0


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    case: Case, run: Path, tmp_path: Path, monkeypatch
) -> None:
    from deep_image_blending.runs import recorder
    from deep_image_blending.runs.directory import RunDirectory

    killed, plain = tmp_path / "killed", recorder.Recorder.__call__

    class Killed(BaseException):
        pass

    def killing(self: recorder.Recorder, record) -> None:
        plain(self, record)
        if self.name == "first_pass" and record.index == 3:
            raise Killed

    monkeypatch.setattr(recorder.Recorder, "__call__", killing)
    with pytest.raises(Killed):
        _run(case, killed, "--checkpoint-every", "0")
    monkeypatch.setattr(recorder.Recorder, "__call__", plain)
    newest = sorted((killed / "checkpoints").glob("*.ckpt"))[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    with RunDirectory.open(killed) as opened, pytest.warns(UserWarning, match="damaged; going back"):
        found = opened.load_checkpoint("first_pass")
    assert found is not None
    assert found[1]["loop"]["evaluation"] == 2
    assert run_command(["run", "--output-dir", str(killed), "--resume", "--quiet"]) == 0
    for name in ("first_pass.png", "second_pass.png"):
        assert (killed / name).read_bytes() == (run / name).read_bytes()


def test_preview_shows_three_pictures_without_torch(case: Case, tmp_path: Path) -> None:
    code = (
        "import sys; from deep_image_blending.cli import run_command; "
        f"options = [*{case.options()!r}, '--output-file', {str(tmp_path / 'p.png')!r}]; "
        "assert run_command(['preview', *options]) == 0; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "--x 24 (vertical)" in done.stderr
    height, width = _pixels(tmp_path / "p.png").shape[:2]
    assert width > 2.5 * height


def test_preview_is_shown_where_the_terminal_can_and_refused_where_it_is_asked_and_can_not(
    case: Case, tmp_path: Path, monkeypatch, capsys
) -> None:
    command = ["preview", *case.options(), "--output-file", str(tmp_path / "p.png")]
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", "xterm-kitty")
    assert run_command([*command, "--show"]) == 2
    assert "--show" in capsys.readouterr().err
    assert not (tmp_path / "p.png").exists()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for more, shown in (([], True), (["--show"], True), (["--no-show"], False), (["--quiet"], False)):
        assert run_command([*command, *more]) == 0
        said = capsys.readouterr().err
        assert ("\x1b_Ga=T,f=100" in said) is shown
        assert ("--x 24 (vertical)" in said) is ("--quiet" not in more)


def test_compare_and_evaluate_take_runs_and_pictures(case: Case, run: Path, tmp_path: Path, capsys) -> None:
    assert run_command(["compare", str(run), str(run), "--crop", "--output-file", str(tmp_path / "c.png")]) == 0
    assert _pixels(tmp_path / "c.png").shape[1] > 400
    capsys.readouterr()
    picture = str(run / "second_pass.png")
    assert run_command(["evaluate", str(run), picture, *case.options(), "--features", "random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[str(run)] == found[picture]
    assert found[picture]["background_difference"] == 0
    assert run_command(["evaluate", str(run), "--features", "none"]) == 0
    assert "colour_bleed" in capsys.readouterr().out


def test_a_run_measures_its_passes_and_evaluate_says_the_same(
    case: Case, run: Path, tmp_path: Path, capsys
) -> None:
    stored = json.loads((run / "run.json").read_text(encoding="utf-8"))["metrics"]
    assert list(stored) == ["first_pass", "second_pass"]
    capsys.readouterr()
    first = str(run / "first_pass.png")
    assert run_command(["evaluate", str(run), first, *case.options(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {str(run): stored["second_pass"], first: stored["first_pass"]}


def test_a_pass_made_again_replaces_its_measures_alone(run: Path) -> None:
    before = json.loads((run / "run.json").read_text(encoding="utf-8"))["metrics"]
    assert run_command(["second-pass", str(run), "--style-weight", "40", "--quiet"]) == 0
    after = json.loads((run / "run.json").read_text(encoding="utf-8"))["metrics"]
    assert after["first_pass"] == before["first_pass"]
    assert after["second_pass"]["content_distance"] != before["second_pass"]["content_distance"]


def test_report_and_doctor(run: Path, capsys) -> None:
    assert run_command(["report", str(run)]) == 0
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run_command(["doctor"]) == 0
    shown = capsys.readouterr().out
    for word in ("torch", "embedded", "ffmpeg"):
        assert word in shown


def test_damaged_loss_table_is_refused_in_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = run / "first_pass.losses.csv"
    whole = table.read_bytes()
    capsys.readouterr()
    for damaged in (
        b"evaluation,seconds\n1,2\n",
        b"evaluation,total\n1,\n",
        b"\xff\xfe" + whole,
        whole.replace(b"\n1,", b"\n1[,", 1),
    ):
        table.write_bytes(damaged)
        for command in (["report", str(run)], ["make-video", str(run), "--layout", "curve"]):
            assert run_command(command) == 2
            said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("blend: ")]
            assert len(said) == 1
            assert f"'{table}' is damaged" in said[0]
            assert not (run / "report.html").exists()
