"""The closing lines of a run: the finished picture first, then what changed in words."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command
from deep_image_blending.cli.summary import changes
from deep_image_blending.measures.seam import seam_visibility
from tests.adversarial.trial import TINY
from tests.conftest import Case
from tests.measures.test_measures import view_of


def test_the_finished_picture_is_first_and_alone_and_changes_are_words(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run_command(["run", *case.options(), *TINY, "--output-dir", str(folder)]) == 0
    lines = capsys.readouterr().err.splitlines()
    place = lines.index(str(folder / "second_pass.png"))
    width, height = Image.open(folder / "second_pass.png").size
    assert re.fullmatch(rf"  {width}x{height} pixels, optimised for \d+\.\d s", lines[place + 1])
    mask = np.asarray(Image.open(folder / "mask.png").convert("L")) / 255
    before, after = (
        seam_visibility(view_of(np.asarray(Image.open(folder / name).convert("RGB"), np.float32), mask=mask))
        for name in ("composite.png", "second_pass.png")
    )
    assert f"seam {before:.1f} → {after:.1f}" in lines[place + 2]
    kept = json.loads((folder / "run.json").read_text())["metrics"]["second_pass"]["saturation_kept"]
    assert f"colour kept {100 * kept:.0f} %" in lines[place + 2]


def test_what_has_no_measure_is_left_out() -> None:
    assert changes({}, 1.9) == ""
    assert changes({"seam": 0.71, "saturation_kept": 0.944}, 1.9).startswith("seam 1.9 → 0.7 (")
    assert changes({"seam": 0.71}, math.nan).startswith("seam 0.7 (")
    assert changes({"saturation_kept": 0.944}, 1.9) == "colour kept 94 %"
