"""README and docs name commands, options and demos that are there, and their Python can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deep_image_blending.cli.app import parser
from tests.conftest import written_case

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = parser(everything=True).commands
FLAGS = {
    name: {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    | {"-h", "--help", "--help-all"}
    for name, command in COMMANDS.items()
}
OTHERS = {
    *("--extra-index-url", "--strict", "--all-extras", "--with", "--site-dir", "--show", "--help", "--quiet"),
    # Of the benchmarks, and of what the architecture's examples declare.
    *("--sizes", "--patience", "--direct-up-to", "--large", "--scale", "--published-steps", "--sheet", "--times"),
    *("--loosened", "--brightness-weight", "--pictures", "--pastes", "--sides", "--exhaustive-up-to", "--boxes"),
    *("--files", "--only", "--budgets", "--repeats"),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_commands_and_options_that_are_there(page: Path) -> None:
    # What is not there yet stands in comments.
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    # A command goes on after a backslash.
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(blend [^`]+)`", text)
    for line in [*(line for block in blocks for line in block.splitlines()), *spans]:
        words = shlex.split(re.sub(r"^(poetry run )", "", line.strip()), comments=True)
        if (
            words[:1] != ["blend"]
            or len(words) < 2
            or words[1].startswith("-")
            or words[1] in ("COMMAND", "where")
        ):
            continue
        assert words[1] in COMMANDS, line
        assert {word for word in words[2:] if word.startswith("--")} <= FLAGS[words[1]], line
    named = {
        word
        for span in re.findall(r"`([^`\n]+)`", text)
        for word in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", span)
    }
    assert {word.replace("_", "-") for word in named} <= set().union(*FLAGS.values(), OTHERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_pages_python_can_be_read(page: Path) -> None:
    for example in re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        compile(example, str(page), "exec")


def test_the_guides_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = written_case(tmp_path, 24, 28)
    for path, name in ((case.source, "cat.png"), (case.mask, "cat_mask.png"), (case.target, "sofa.jpg")):
        path.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "guides" / "python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for example in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(example, "python.md", "exec"), names)
    assert (tmp_path / "blended.png").is_file()
    assert (tmp_path / "results" / "cat" / "second_pass.png").is_file()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
