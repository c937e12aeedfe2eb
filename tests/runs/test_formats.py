"""Runs of every earlier format are opened, measured, shown and done again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deep_image_blending.cli.app import run_command
from deep_image_blending.options.stored import FORMAT
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.job import stored_options

EARLIER = Path(__file__).parent / "format_1"


@pytest.fixture(params=["run", "given"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run of format 1, and one whose first pass was a given picture."""
    folder = tmp_path / "made"
    shutil.copytree(EARLIER, folder)
    for manifest in folder.glob("*/run.json"):
        manifest.write_text(manifest.read_text().replace("{folder}", str(folder)))
    return folder / str(request.param)


def test_its_options_have_todays_names(earlier: Path) -> None:
    run = RunDirectory.open(earlier, write=False)
    assert run.manifest["format"] == FORMAT
    assert run.manifest["scene"] == ("first pass" if earlier.name == "given" else "placed")
    options = stored_options(run)
    assert (options.second.num_steps, options.second.line_search) == (2, "armijo")
    assert not options.second.canvas


def test_it_is_measured_and_shown(earlier: Path, tmp_path: Path) -> None:
    assert run_command(["evaluate", str(earlier), "--features", "none"]) == 0
    assert run_command(["report", str(earlier), "--quiet", "--output-file", str(tmp_path / "r.html")]) == 0
    assert run_command(["compare", str(earlier), "--output-file", str(tmp_path / "c.png")]) == 0


def test_its_second_pass_is_done_again_and_the_earlier_one_kept(earlier: Path) -> None:
    before = (earlier / "second_pass.png").read_bytes()
    assert run_command(["second-pass", str(earlier), "--quiet", "--threads", "1"]) == 0
    assert (earlier / "second_pass.1.png").read_bytes() == before
    assert json.loads((earlier / "run.json").read_text())["format"] == FORMAT
