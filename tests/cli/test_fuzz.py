"""Whatever is asked for and whatever lies in the files: an exit code, one line, and never a traceback."""

from __future__ import annotations

import os
import shutil
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command
from tests.conftest import Case, disc_mask, smooth_picture

TRIES = int(os.environ.get("DIB_FUZZ_TRIES", "10000"))
SEED = int(os.environ.get("DIB_FUZZ_SEED", "0"))
NUMBERS = (
    "0",
    "1",
    "2",
    "-1",
    "3.5",
    "7",
    "24",
    "1e9",
    "-1e9",
    "nan",
    "inf",
    "",
    "x",
    "0,1",
    "1,2,3",
    "99999999999",
)
VALUES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("--x", "--y", "--grow", "--feather", "--levels", "--tolerance", "--history", "--seed"),
            *("--grad-weight", "--style-weight", "--content-weight", "--hist-weight", "--tv-weight"),
            *("--colour-weight", "--max-pixels", "--num-steps", "--first-steps", "--second-steps"),
            *("--palette", "--grain"),
            *("--gpu-id", "--checkpoint-every"),
        ),
        NUMBERS,
    ),
    "--ss": ("0", "1", "5", "24", "31", "-3", "x"),
    "--ts": ("0", "1", "3", "17", "48", "-3", "x"),
    "--preset": ("natural", "painterly", "wacv2020", "resnet", "", "x"),
    "--backbone": ("random", "embedded", "x", "vgg99"),
    "--init": ("noise", "paste", "poisson", "{d}/target.png", "{d}/mutated.png", "x", ""),
    "--style-layers": ("relu1_1", "relu1_2,relu3_3", "relu9_9", ",", ""),
    "--content-layer": ("relu2_2", "relu1_1", "x", ""),
    "--style-from": ("whole", "surroundings", "similar", "x"),
    "--statistics": ("gram", "covariance", "x"),
    "--membrane": ("full", "edges", "x"),
    "--device": ("cpu", "auto", "cuda", "x"),
    "--precision": ("float32", "auto", "x"),
    "--save-video": ("False", "x"),
    "--weights": ("{d}/weights.safetensors", "{d}/weights.pth", "{d}/source.png", "{d}", "x"),
    "--source-file": ("{d}/mutated.png", "{d}/source.png", "{d}/wide.png", "{d}", "{d}/none"),
    "--mask-file": ("{d}/mutated.png", "{d}/soft.png", "{d}/wide.png", "{d}/none"),
    "--target-file": ("{d}/mutated.png", "{d}/thin.png", "{d}/wide.png", "{d}/none"),
    "--output-dir": ("{d}/out", "{d}/run", "{d}/source.png", "{d}/source.png/out", "\0", "{d}/" + "x" * 300),
}
FLAGS = (
    *("--fit-mask", "--canvas", "--no-canvas", "--smoothing", "--no-smoothing", "--reproduce-zero-content"),
    *("--resume", "--force", "--quiet", "--plain", "--nonsense", "extra"),
)


def mutated(data: bytes, dice: np.random.Generator) -> bytes:
    """Some bytes other, some missing, some added."""
    changed = bytearray(data)
    for _ in range(int(dice.integers(1, 8))):
        changed[int(dice.integers(min(len(changed), 400)))] = int(dice.choice([0, 1, 34, 91, 127, 255]))
    if dice.random() < 0.3:
        changed = changed[: int(dice.integers(len(changed)))]
    if dice.random() < 0.2:
        at = int(dice.integers(len(changed) + 1))
        changed[at:at] = dice.bytes(int(dice.integers(1, 50)))
    return bytes(changed)


def arguments_of(dice: np.random.Generator, case: Case, folder: Path) -> list[str]:
    """A command with some options, most of them sound."""
    command = str(dice.choice(["run", "run", "run", "first-pass", "second-pass", "resume", "look"]))
    run = str(folder / "run")
    if command == "look":
        which = str(dice.choice(["compare", "evaluate", "report", "make-video", "preview"]))
        more = {
            "compare": [run, "--output-file", str(folder / "out.png")],
            "evaluate": [run, "--features", str(dice.choice(["none", "random", "x"]))],
            "report": [run, "--output-file", str(folder / "out.html")],
            "make-video": [run, "--format", "gif", "--fps", str(dice.choice(["5", "0", "1e9", "x"]))],
            "preview": [*case.options(), "--output-file", str(folder / "out.png")],
        }[which]
        return [which, *more]
    given = ["--backbone", "random", "--num-steps", "2", "--plain"]
    if command == "resume":
        given = ["run", "--output-dir", run, "--resume"]
    elif command == "second-pass":
        given = ["second-pass", run, *given]
    else:
        given = [command, *case.options(), *given, "--output-dir", str(folder / "out")]
    for _ in range(int(dice.integers(0, 4))):
        if dice.random() < 0.2:
            given.append(str(dice.choice(FLAGS)))
        else:
            option = str(dice.choice(list(VALUES)))
            given += [option, str(dice.choice(VALUES[option])).replace("{d}", str(folder))]
    return given


@pytest.fixture
def folder(case: Case, tmp_path: Path) -> Path:
    """Pictures, weights and a finished run, all of them to be mutated."""
    import torch
    from safetensors.torch import save_file

    Image.fromarray(smooth_picture(4, 40, 30)).save(tmp_path / "wide.png")
    Image.fromarray(smooth_picture(4, 2, 50)).save(tmp_path / "thin.png")
    Image.fromarray(disc_mask(24, 28) // 3).save(tmp_path / "soft.png")
    weights = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)}
    save_file(weights, tmp_path / "weights.safetensors")
    torch.save(weights, tmp_path / "weights.pth")
    options = ["--backbone", "random", "--num-steps", "2", "--quiet", "--output-dir", str(tmp_path / "run")]
    assert run_command(["run", *case.options(), *options]) == 0
    return tmp_path


def restored(folder: Path, pristine: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(pristine, folder, dirs_exist_ok=True)


@pytest.mark.slow
def test_no_command_shows_a_traceback(
    case: Case, folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    pristine = tmp_path_factory.mktemp("pristine")
    shutil.copytree(folder, pristine, dirs_exist_ok=True)
    dice, codes = np.random.default_rng(SEED), Counter[int]()
    faults: dict[str, str] = {}
    for number in range(TRIES):
        restored(folder, pristine)
        victims = [path for path in pristine.rglob("*") if path.is_file() and path.name != ".lock"]
        (folder / "mutated.png").write_bytes(mutated(case.source.read_bytes(), dice))
        if dice.random() < 0.6:
            victim = victims[int(dice.integers(len(victims)))]
            (folder / victim.relative_to(pristine)).write_bytes(mutated(victim.read_bytes(), dice))
        given = arguments_of(dice, case, folder)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        capsys.readouterr()
        try:
            code = run_command(given)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} {Path(last.filename).name}:{last.lineno} {str(error)[:90]}"
            faults.setdefault(place, f"try {number}: {given}\n{traceback.format_exc()[-1800:]}")
            continue
        codes[code] += 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("blend: ")]
        complaints = [line for line in said if not line.startswith("blend: note: ")]
        wrong = code not in (0, 1, 2, 130) or len(complaints) != (code != 0)
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
        if code == 2 and after != {path: data for path, data in before.items() if path.name != ".lock"}:
            wrong = True
        if wrong:
            changed = [str(path) for path in {*after, *before} if after.get(path) != before.get(path)]
            faults.setdefault(f"code {code}", f"try {number}: {given}\n{said}\n{changed}")
    with capsys.disabled():
        print(f"\n{TRIES} tries, exit codes {dict(codes)}, {len(faults)} faults")
    assert not faults, "\n\n".join(f"{place}\n{detail}" for place, detail in faults.items())
