"""Bad input gets one clear line on stderr, exit code 2, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command
from tests.conftest import Case, smooth_picture

FAST = "--backbone random --num-steps 2 --plain"

# Options that replace or follow the good ones, and words that the message must hold. {d} is the test's folder.
OPTIONS = {
    "no steps": ("--num-steps 0", "--num-steps 0"),
    "negative steps": ("--first-steps -3", "--num-steps -3"),
    "steps no number": ("--num-steps many", "num-steps"),
    "negative weight": ("--style-weight -1", "--style-weight"),
    "weight not a number": ("--style-weight heavy", "--style-weight 'heavy'"),
    "three weights": ("--style-weight 1,2,3", "one for each pass"),
    "weight nan": ("--tv-weight nan", "--tv-weight"),
    "weight infinite": ("--content-weight inf", "--content-weight"),
    "unknown preset": ("--preset naturel", "did you mean 'natural'"),
    "unknown backbone": ("--backbone zebra", "choose one of"),
    "unknown option": ("--sorce-file x", "sorce-file"),
    "unknown style layer": ("--style-layers relu1_2,relu8_8", "no layer 'relu8_8'"),
    "unknown content layer": ("--content-layer conv1", "no layer 'conv1'"),
    "unknown style source": ("--style-from nowhere", "--style-from 'nowhere'"),
    "unknown statistics": ("--statistics mean", "--statistics 'mean'"),
    "palette above 1": ("--palette 1.5", "--palette 1.5"),
    "grain below 0": ("--grain -1", "--grain -1"),
    "option that the published losses don't know": ("--preset wacv2020 --palette 0.5", "--palette has no effect"),
    "unknown membrane": ("--membrane soft", "--membrane 'soft'"),
    "unknown precision": ("--precision float16", "'float16'"),
    "unknown device": ("--device tpu", "available: cpu"),
    "absent gpu": ("--device cuda:99", "available: cpu"),
    "negative gpu": ("--gpu-id -1", "gpu-id"),
    "device twice": ("--device cpu --gpu-id 0", "not both"),
    "zero ss": ("--ss 0", "--ss 0"),
    "negative ts": ("--ts -5", "--ts -5"),
    "huge ts": ("--ts 1000000", "--ts 1000000"),
    "x no number": ("--x left", "--x 'left' is not a number"),
    "x nan": ("--x nan", "--x nan"),
    "off the canvas": ("--x 900 --y 10", "wholly off the canvas"),
    "negative feather": ("--feather -2", "--feather"),
    "all eroded": ("--grow -50", "empty after"),
    "history zero": ("--history 0", "--history 0"),
    "levels negative": ("--levels -1", "levels"),
    "threads zero": ("--threads 0", "threads"),
    "video maybe": ("--save-video=perhaps", "True or False"),
    "zero content elsewhere": ("--reproduce-zero-content", "wacv2020"),
    "missing init": ("--init {d}/none.png", "none.png"),
    "small init": ("--init {d}/mask.png", "canvas is 56x48"),
    "resume nothing": ("--resume --output-dir {d}/never", "not a run directory"),
    "output is a file": ("--output-dir {d}/mask.png", "is a file"),
    "missing source": ("--source-file {d}/none.png", "does not exist"),
    "missing mask": ("--mask-file {d}/none.png", "does not exist"),
    "missing target": ("--target-file {d}/none.png", "does not exist"),
    "folder source": ("--source-file {d}", "is a folder"),
    "empty source": ("--source-file {d}/empty.png", "is empty"),
    "text source": ("--source-file {d}/text.png", "text.png"),
    "truncated target": ("--target-file {d}/cut.png", "cut.png"),
    "mask of another size": ("--mask-file {d}/large.png", "--fit-mask"),
    "black mask": ("--mask-file {d}/black.png", "is empty"),
    "picture too large": ("--max-pixels 100", "--max-pixels"),
    "weights for random": ("--weights {d}/mask.png", "brings its own"),
    "missing weights": ("--backbone vgg16 --weights {d}/none.pth", "does not exist"),
    "weights no tensors": ("--backbone vgg16 --weights {d}/text.png", "text.png"),
    "weights folder": ("--backbone vgg16 --weights {d}", "is a folder"),
    "vgg layers on resnet": ("--backbone resnet50 --style-layers relu1_2", "no layer 'relu1_2'"),
    "published off the canvas": ("--preset wacv2020 --ss 24 --ts 48 --x 2", "whole source on the canvas"),
}


@pytest.fixture
def folder(case: Case, tmp_path: Path) -> Path:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("words")
    data = case.target.read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    Image.fromarray(smooth_picture(1, 40, 41)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((24, 28), np.uint8)).save(tmp_path / "black.png")
    return tmp_path


def _complaint(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(folder.rglob("*"))
    code = run_command(arguments)
    said = capsys.readouterr()
    assert code == 2, said
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("blend: ")
    assert said.out == ""
    assert sorted(folder.rglob("*")) == before
    return lines[0]


@pytest.mark.parametrize(("options", "words"), OPTIONS.values(), ids=OPTIONS.keys())
def test_bad_options_and_files(
    options: str, words: str, case: Case, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [part.replace("{d}", str(folder)) for part in options.split()]
    arguments = ["run", *case.options(), "--output-dir", str(folder / "out"), *FAST.split(), *given]
    assert words in _complaint(arguments, folder, capsys)


COMMANDS = {
    "second pass without anything": ("second-pass", "give a run directory"),
    "second pass of no run": ("second-pass {d}", "not a run directory"),
    "second pass of both": ("second-pass {d} --first-pass-file {d}/mask.png", "not both"),
    "second pass without target": ("second-pass --first-pass-file {d}/mask.png", "--target-file"),
    "second pass of other size": (
        "second-pass --first-pass-file {d}/mask.png --target-file {d}/target.png",
        "28x24",
    ),
    "source alone": ("run --source-file {d}/source.png", "--target-file is missing"),
    "target alone": ("run --target-file {d}/target.png", "--source-file is missing"),
    "no mask": ("run --source-file {d}/source.png --target-file {d}/target.png", "--mask-file"),
    "resume without a run": ("run --resume", "--output-dir"),
    "video of no run": ("make-video {d}", "not a run directory"),
    "report of no run": ("report {d}", "not a run directory"),
    "compare no run": ("compare {d} --output-file {d}/x.png", "not a run directory"),
    "compare to nowhere": ("compare {d} --output-file {d}/no/x.png", "does not exist"),
    "evaluate no run": ("evaluate {d}", "not a run directory"),
    "preview to no picture": ("preview --output-file {d}/x.doc", "unknown picture format"),
    "unknown command": ("blent", "blent"),
}


@pytest.mark.parametrize(("command", "words"), COMMANDS.values(), ids=COMMANDS.keys())
def test_bad_commands(command: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part.replace("{d}", str(folder)) for part in command.split()]
    assert words in _complaint(arguments, folder, capsys)
