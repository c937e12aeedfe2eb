"""Runs of every earlier format of run.json can be read, measured, made again and continued.

`formats/N/` holds tiny runs as the program of that format wrote them: `placed`, an object on a target, and
`given`, a second pass on a saved first-pass picture. FOLDER stands for where their pictures were.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.options.stored import FORMAT
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.job import stored_options

KEPT = Path(__file__).parent / "formats"


@pytest.fixture(params=range(1, FORMAT))
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with runs of one earlier format."""
    folder = tmp_path / "runs"
    shutil.copytree(KEPT / str(request.param), folder)
    for path in folder.glob("*/run.json"):
        path.write_text(path.read_text(encoding="utf-8").replace("FOLDER", str(folder)), encoding="utf-8")
    return folder


def test_an_earlier_run_has_this_formats_names(runs: Path) -> None:
    placed, given = (RunDirectory.open(runs / name, write=False) for name in ("placed", "given"))
    assert (placed.manifest["scene"], given.manifest["scene"]) == ("placed", "first pass")
    assert placed.manifest["format"] == FORMAT
    options = stored_options(placed)
    assert (options.first.num_steps, options.second.colour_weight) == (4, 6.0)
    assert options.first.line_search == "armijo"
    assert stored_options(given).second.canvas
    assert placed.read_losses("second_pass")[-1]["evaluation"] == 4


@pytest.mark.parametrize("name", ["placed", "given"])
def test_an_earlier_run_is_measured_and_shown(runs: Path, name: str) -> None:
    run = str(runs / name)
    assert run_command(["evaluate", run, "--features", "random", "--json"]) == 0
    assert run_command(["compare", run, "--output-file", str(runs / "sheet.png")]) == 0


@pytest.mark.parametrize("name", ["placed", "given"])
def test_an_earlier_runs_second_pass_is_made_again(runs: Path, name: str) -> None:
    assert run_command(["second-pass", str(runs / name), "--quiet"]) == 0
    assert (runs / name / "second_pass.1.png").is_file()
    assert json.loads((runs / name / "run.json").read_text(encoding="utf-8"))["format"] == FORMAT


def test_an_earlier_run_that_was_stopped_goes_on_to_the_same_picture(runs: Path) -> None:
    picture, manifest = runs / "placed" / "second_pass.png", runs / "placed" / "run.json"
    before = np.asarray(Image.open(picture), np.float64)
    picture.unlink()
    stored = json.loads(manifest.read_text(encoding="utf-8"))
    stored["passes"]["second_pass"] = {"status": "interrupted", "memory": "full"}
    manifest.write_text(json.dumps(stored), encoding="utf-8")
    assert run_command(["run", "--output-dir", str(runs / "placed"), "--resume", "--quiet"]) == 0
    # Another version of PyTorch may round otherwise.
    assert np.abs(np.asarray(Image.open(picture), np.float64) - before).mean() < 0.5


def test_a_later_format_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": FORMAT + 1}), encoding="utf-8")
    with pytest.raises(InputError, match="later version"):
        RunDirectory.open(tmp_path, write=False)
