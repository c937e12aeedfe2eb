"""What `docs/architecture.md` says of adding something is true: each example, put in its place, works."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import written_case

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL))
OPTION = "deep_image_blending/options/pass_options.py, in PassOptions"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, and every example in it."""
    folder = tmp_path_factory.mktemp("house")
    left_out = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "deep_image_blending", folder / "deep_image_blending", ignore=left_out)
    for name, text in EXAMPLES.items():
        if name == OPTION:
            path = folder / name.partition(",")[0]
            before, found, after = path.read_text(encoding="utf-8").partition(
                "    def __post_init__(self) -> None:\n"
            )
            assert found
            path.write_text(f"{before}{text}\n{found}{after}", encoding="utf-8")
        else:
            # One new file, where nothing was.
            with (folder / name).open("x", encoding="utf-8") as stream:
                stream.write(text)
    return folder


@pytest.fixture(scope="module")
def run(house: Path) -> Path:
    """A run with the new loss, backbone, option and preset."""
    case = written_case(house, 24, 28)
    blend(
        *(house, "run", *case.options(), "--output-dir", "run", "--num-steps", "4", "--threads", "1", "--quiet"),
        *("--preset", "calm", "--backbone", "edges", "--brightness-weight", "0,2", "--brightness-goal", "90"),
    )
    return house / "run"


def test_every_kind_of_thing_has_an_example() -> None:
    rooms = {Path(name).parent.name for name in EXAMPLES}
    assert rooms == {"losses", "backbones", "options", "presets", "measures", "commands"}


def test_a_loss_is_a_column_and_has_a_weight(run: Path) -> None:
    first, second = (_table(run / f"{name}_pass.losses.csv") for name in ("first", "second"))
    assert not any(row["brightness"] for row in first)
    assert all(float(row["brightness"]) > 0 for row in second)
    assert _manifest(run)["options"]["second"]["weights"]["brightness"] == 2


def test_a_backbone_sees_the_pictures(run: Path) -> None:
    assert _manifest(run)["backbone"]["second_pass"]["name"] == "edges"


def test_an_option_is_a_flag_a_key_and_a_check(house: Path, run: Path) -> None:
    assert _manifest(run)["options"]["first"]["brightness_goal"] == 90
    pictures = ("--source-file", "source.png", "--mask-file", "mask.png", "--target-file", "target.png")
    wrong = blend(house, "run", *pictures, "--brightness-goal", "300", code=2)
    assert re.search(r"--brightness-goal 300(\.0)? is out of range; give 0 to 255", " ".join(wrong.split()))


def test_a_preset_is_what_it_is_like_but_for_what_it_says(run: Path) -> None:
    options = _manifest(run)["options"]
    assert options["preset"] == "calm"
    assert (options["second"]["weights"]["style"], options["second"]["weights"]["content"]) == (0.1, 4.0)


def test_a_measure_is_taken_of_every_pass(run: Path) -> None:
    metrics = _manifest(run)["metrics"]
    assert all(metrics[name]["lightness_kept"] > 0 for name in ("first_pass", "second_pass"))


def test_a_command_is_there(house: Path, run: Path) -> None:
    top, left, bottom, right = _manifest(run)["placement"]["region"]
    assert blend(house, "where", str(run)).strip() == f"rows {top} to {bottom}, columns {left} to {right}"


def blend(house: Path, *arguments: str, code: int = 0) -> str:
    """What the copy's command line prints; its error where it is to fail."""
    environment = {**os.environ, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "deep_image_blending.cli", *arguments],
        cwd=house,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def _manifest(run: Path) -> dict:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
