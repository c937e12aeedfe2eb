"""An ablation leaves one loss out at a time, and each of its blends is the one that `blend run` makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command
from deep_image_blending.measures import MEASURES
from deep_image_blending.options.pass_options import Weights
from deep_image_blending.options.presets import preset
from deep_image_blending.options.stored import options_from
from deep_image_blending.views.ablation import variants
from tests.conftest import Case

FAST = ["--backbone", "random", "--num-steps", "2", "--threads", "1"]
NATURAL = [
    "all losses",
    "without gradient",
    "without style",
    "without content",
    "without total variation",
    "without colour",
    "from noise",
]


def test_every_loss_that_the_preset_has_is_left_out_once() -> None:
    assert [variant.label for variant in variants(preset("natural"))] == NATURAL
    assert "without histogram" not in NATURAL
    options = preset("natural")
    weights = options.second.weights.changed(histogram=0.1)
    changed = dataclasses.replace(options, second=dataclasses.replace(options.second, weights=weights))
    assert "without histogram" in [variant.label for variant in variants(changed)]


@pytest.mark.parametrize("name", ["natural", "wacv2020", "resnet"])
def test_a_variant_differs_in_its_one_loss_alone(name: str) -> None:
    full = preset(name)
    for variant in variants(full):
        if not variant.label.startswith("without"):
            continue
        term = variant.label.removeprefix("without ").replace("total variation", "tv")
        for before, after in ((full.first, variant.options.first), (full.second, variant.options.second)):
            if term == "colour":
                assert dataclasses.replace(after, colour_weight=before.colour_weight) == before
                continue
            assert after.weights[term] == 0
            assert after == dataclasses.replace(before, weights=before.weights.changed(**{term: 0.0}))


def test_a_loss_without_which_a_pass_has_none_stays() -> None:
    full = preset("natural")
    alone = dataclasses.replace(full, second=dataclasses.replace(full.second, weights=Weights(style=1.0)))
    labels = [variant.label for variant in variants(alone)]
    assert "without style" not in labels
    assert "without content" in labels


def test_the_other_start_is_noise_or_poisson() -> None:
    assert variants(preset("natural"))[-1].options.init == "noise"
    other = variants(preset("wacv2020"))[-1]
    assert (other.label, other.options.init) == ("from Poisson", "poisson")


def test_sheet_table_and_runs(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, sheet = tmp_path / "runs", tmp_path / "sheet.png"
    command = ["ablation", *case.options(), *FAST, "--output-file", str(sheet), "--output-dir", str(runs)]
    assert run_command([*command, "--json", "--plain"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert list(found) == ["paste", "Poisson", *NATURAL[:-1], "without second pass", "from noise"]
    assert all(set(measures) <= set(MEASURES) for measures in found.values())
    assert all(measures["background_difference"] == 0 for measures in found.values())
    # Poisson cloning solves the Laplacian's equation; a paste breaks it at the boundary.
    assert found["Poisson"]["laplacian_residual"] < 0.5 * found["paste"]["laplacian_residual"]
    assert found["paste"]["colour_bleed"] < found["Poisson"]["colour_bleed"]
    assert sorted(path.name for path in runs.iterdir()) == sorted(label.replace(" ", "-") for label in NATURAL)
    # Five pictures in each of two rows, 56x48 of them at 360 pixels' width with 12 between.
    assert Image.open(sheet).width == 5 * (360 + 12) + 12
    assert "without style, second pass" in shown.err
    assert run_command([*command, "--quiet"]) == 2
    assert "--force" in capsys.readouterr().err


def test_each_blend_is_the_one_that_run_makes(case: Case, tmp_path: Path) -> None:
    options = [*case.options(), *FAST, "--quiet"]
    study = ["ablation", *options, "--output-file", str(tmp_path / "s.png"), "--output-dir", str(tmp_path / "a")]
    assert run_command([*study, "--json"]) == 0
    for folder, more in (
        ("all-losses", ()),
        ("without-style", ("--style-weight", "0")),
        ("without-total-variation", ("--tv-weight", "0")),
        ("from-noise", ("--init", "noise")),
    ):
        assert run_command(["run", *options, "--output-dir", str(tmp_path / folder), *more]) == 0
        for name in ("first_pass.png", "second_pass.png", "first_pass.losses.csv"):
            ours, theirs = tmp_path / "a" / folder / name, tmp_path / folder / name
            if name.endswith(".csv"):
                assert _losses(ours) == _losses(theirs)
            else:
                np.testing.assert_array_equal(np.asarray(Image.open(ours)), np.asarray(Image.open(theirs)))
        manifests = [json.loads((tmp_path / part / folder / "run.json").read_text()) for part in ("a", ".")]
        assert options_from(manifests[0]["options"], "a") == options_from(manifests[1]["options"], "b")


def test_a_run_of_the_study_can_be_continued_and_shown(case: Case, tmp_path: Path) -> None:
    options = [*case.options(), *FAST, "--quiet"]
    runs = tmp_path / "a"
    assert (
        run_command(["ablation", *options, "--output-file", str(tmp_path / "s.png"), "--output-dir", str(runs)])
        == 0
    )
    # Total variation is in the second pass alone: the first was made once, for the run with all losses.
    run = runs / "without-total-variation"
    assert json.loads((run / "run.json").read_text())["passes"]["first_pass"]["taken_from"] == "all-losses"
    assert run_command(["second-pass", str(run), *FAST, "--quiet"]) == 0
    assert run_command(["make-video", str(run), "--format", "gif", "--quiet"]) == 0


def _losses(path: Path) -> list[list[str]]:
    """The table without the seconds."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    return [row[:1] + row[2:] for row in rows]
