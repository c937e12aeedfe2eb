"""Help is grouped, has an example for every command, and misspelt words get the nearest right one."""

from __future__ import annotations

import itertools
import re

import pytest

from deep_image_blending.cli.app import parser, run_command
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.options.presets import preset

COMMANDS = [
    *("run", "first-pass", "second-pass", "preview", "compare", "ablation", "evaluate", "report", "make-video"),
    *("doctor", "presets", "cut-out", "scatter", "batch", "studio"),
]
PANELS = {"Pictures", "Placement", "Method", "Losses", "Machine", "Run and output", "Sheet", "Video"}


def test_every_command_is_listed_under_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    shown = capsys.readouterr().out
    for group in ("Blend", "Look", "Many", "Set up"):
        assert f"─ {group} ─" in shown
    assert all(re.search(rf"│ {name} ", shown) for name in COMMANDS)
    assert set(parser(everything=True).commands) == {*COMMANDS, "blend"}


@pytest.mark.parametrize("command", ["run", "make-video", "batch", None])
def test_help_is_the_same_however_it_is_asked_for(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    own = [] if command is None else [command]
    shown = []
    for words in (["help", *own], [*own, "-h"], [*own, "--help"]):
        assert run_command(words) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
    assert " ".join(["Usage: blend", *own]) in shown[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_every_option_in_a_group(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"Examples?:\s+blend {name}", shown)
    panels = re.split(r"╭─ ", shown)[1:]
    for panel in panels:
        title = panel.partition(" ─")[0]
        options = set(re.findall(r"│ \*?\s*(--[a-z-]+)", panel))
        assert title in PANELS | {"Options", "Arguments"}
        assert title != "Options" or options == {"--help"}


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_flags_show_no_type_and_values_a_plain_word(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*([] if name is None else [name]), "--help-all" if name == "run" else "--help"]) == 0
    _, _, shown = capsys.readouterr().out.partition("╭─ Options")
    for inner in ("<bool>", "<path>", "<int", "<float", "<str>", "{'", "Weights("):
        assert inner not in shown


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_help_fits_80_columns_and_shows_names_as_a_user_would_write_them(
    name: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert (
        run_command([*([] if name is None else [name]), *(["--help-all"] if name == "run" else ["--help"])]) == 0
    )
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for ugly in ("…", "[default", "<=", ">=", "[[", "{", "list["):
        assert ugly not in shown, ugly
    # Nothing in angle brackets but the folder of a category.
    assert re.findall(r"<[^>]*>", shown) == (["<category>"] if name == "scatter" else [])
    usage = {
        **{"second-pass": "[RUN]", "make-video": "RUN", "report": "RUN...", "compare": "RUN..."},
        **{"evaluate": "PATH...", "cut-out": "PICTURE", "batch": "[MANIFEST]", None: "COMMAND [ARGS]..."},
    }
    assert f"{' '.join(filter(None, ['Usage: blend', name, '[OPTIONS]', usage.get(name)]))} " in shown
    # A paragraph is broken where the terminal ends, and nowhere before: its next word would not have fitted.
    lines = [line.rstrip() for line in shown.partition("╭─")[0].splitlines()]
    for line, following in itertools.pairwise(lines):
        if line and following and not following.startswith(" blend "):
            assert len(line) + 1 + len(following.split()[0]) > 79, line


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_options_that_are_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([name, "--help"]) == 0
    before, _, _ = capsys.readouterr().out.partition("╭─")
    command = parser(everything=True).commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", before.partition("Example")[2])) <= known


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["run", "--stlye-weight", "2"], "did you mean '--style-weight'?"),
        (["run", "--presett", "natural"], "did you mean '--preset'?"),
        (["make-video", "x", "--layuot", "blend"], "did you mean '--layout'?"),
        (["prevew"], "Did you mean 'preview'"),
        (["run", "--preset", "natral"], "did you mean 'natural'?"),
        (["run", "--preset", "WACV2020"], "did you mean 'wacv2020'?"),
        (["run", "--backbone", "vgg9"], "did you mean 'vgg19'?"),
        (["run", "--demo", "cofee"], "did you mean 'coffee'?"),
        (["preview", "--demo", "rockett"], "did you mean 'rocket'?"),
        (["run", "--style-from", "similr"], "did you mean 'similar'?"),
        (["run", "--statistics", "grm"], "did you mean 'gram'?"),
        (["run", "--membrane", "edge"], "did you mean 'edges'?"),
        (["run", "--precision", "float23"], "did you mean 'float32'?"),
        (["run", "--init", "posson"], "did you mean 'poisson'?"),
        (["run", "--preset", "zzz"], "choose one of natural, painterly, wacv2020, resnet"),
    ],
)
def test_misspelt_words_get_the_nearest_right_one(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("blend: ")
    assert meant in line


def test_suggestions_are_one_word_or_all_there_is() -> None:
    assert suggestion("vgg9", ("vgg16", "vgg19")) == "did you mean 'vgg19'?"
    assert suggestion("zebra", ("vgg16", "vgg19")) == "choose one of vgg16, vgg19"
    with pytest.raises(InputError, match="did you mean 'resnet'"):
        preset("resnett")
