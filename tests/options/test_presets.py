"""Presets are TOML files: ours, and any user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from deep_image_blending.cli import run_command
from deep_image_blending.errors import InputError
from deep_image_blending.options.presets import as_toml, names, preset
from deep_image_blending.options.stored import options_from, options_to_dict, upgraded


@pytest.mark.parametrize("name", names())
def test_a_preset_printed_as_toml_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(as_toml(preset(name)))
    assert preset(str(path)) == preset(name)


def test_a_users_preset_says_what_is_different_alone(tmp_path: Path) -> None:
    path = tmp_path / "bold.toml"
    path.write_text('like = "natural"\n[second]\nnum_steps = 7\n[second.weights]\nstyle = 3.0\n')
    bold, natural = preset(str(path)), preset("natural")
    assert bold.first == natural.first
    assert (bold.second.num_steps, bold.second.weights["style"], bold.preset) == (7, 3.0, "bold")
    assert bold.second.weights["content"] == natural.second.weights["content"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[second]\nnum_stepps = 3\n", "unknown option 'num_stepps'; did you mean 'num_steps'"),
        ("[second.weights]\nstile = 3\n", "no loss 'stile'; did you mean 'style'"),
        ("[first]\nhistory = 0\n", "--history 0 is out of range; give 1 to 1000"),
        ('[first]\ntolerance = "much"\n', "--tolerance 'much' is not a number"),
        ('[first]\nstyle_from = "nowhere"\n', "--style-from 'nowhere' is not there"),
        ("first = 3\n", "first is 3, not a table"),
        ("[first\n", "is not TOML"),
        ('device = "cuda"\n', "sets 'device', which is not a preset's"),
        ('like = "natrual"\n', "did you mean 'natural'"),
    ],
)
def test_a_wrong_preset_is_one_line_that_names_the_file(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        preset(str(path))
    assert words in str(raised.value)
    assert "natrual" in text or "mine.toml" in str(raised.value)


def test_show_prints_a_preset_to_start_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["presets", "--show", "wacv2020"]) == 0
    shown = capsys.readouterr().out
    assert "[first.weights]" in shown
    assert "gradient = 10000.0" in shown


def test_options_of_the_first_format_have_this_ones_names() -> None:
    options = options_to_dict(preset("wacv2020"))
    earlier = dict(options)
    for name in ("first", "second"):
        part = dict(options[name])
        part["steps"], part["colour"] = part.pop("num_steps"), part.pop("colour_weight")
        part["zero_content"] = part.pop("reproduce_zero_content")
        part["region"] = "canvas" if part.pop("canvas") else "mask"
        earlier[name] = {**part, "line_search": "fixed"}
    assert options_from(upgraded(earlier, 1), "run.json") == preset("wacv2020")
    searched = {**earlier, "first": {**earlier["first"], "line_search": "wolfe"}}
    assert options_from(upgraded(searched, 1), "run.json").first.line_search == "armijo"
