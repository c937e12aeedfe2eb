"""The parts of the site that the declarations know: a hook of mkdocs, see `mkdocs.yml`.

A line `<!-- declared: NAME -->` in a page is replaced by the table or list that `PARTS` has under that name. So
options, presets, losses, backbones, measures and commands are written in one place: their declarations.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"^<!-- declared: ([a-z ]+) -->$", re.MULTILINE)
ELSEWHERE = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the site that lie in the repository's root, beside the pictures in `demo_imgs/`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files of the site that lie elsewhere in the repository."""
    from mkdocs.structure.files import File

    for path in (*(ROOT / name for name in ELSEWHERE), *sorted((ROOT / "demo_imgs").glob("*.[jp][pn]g"))):
        name = path.name.lower() if path.suffix == ".md" else f"demo_imgs/{path.name}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page with its marks replaced. Raises KeyError for a mark that names nothing."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


def options() -> str:
    """Every option of a run, group by group, with what it takes and what it is in `natural`."""
    from deep_image_blending.options.catalogue import GROUPS, catalogue
    from deep_image_blending.options.presets import preset

    natural = preset("natural")
    found = []
    for group in GROUPS:
        rows = []
        for one in catalogue().values():
            if one.group == group:
                flags = [one.flag, *(one.also or ()), *((one.negative,) if one.negative else ())]
                takes = one.range or one.kind
                if one.pair:
                    takes += "; two with a comma: one for each pass"
                rows.append((_codes(flags), one.help, takes, _code(_in_preset(natural, one.name, one.default))))
        found.append(f"### {group}\n\n{_table(('option', 'what it does', 'takes', 'by default'), rows)}")
    return "\n\n".join(found)


def presets() -> str:
    """What each preset sets, where they differ."""
    from deep_image_blending.options.presets import names, preset
    from deep_image_blending.options.resolve import flattened
    from deep_image_blending.options.stored import options_to_dict

    columns = [flattened(options_to_dict(preset(name))) for name in names()]
    rows = []
    for key in columns[0]:
        values = [column.get(key) for column in columns]
        if key not in ("preset", "device", "precision") and any(value != values[0] for value in values):
            rows.append((_code(key), *(_code(value) for value in values)))
    return _table(("", *names()), rows)


def losses() -> str:
    """Every loss, its weight and its weight in `natural`."""
    from deep_image_blending.losses.declaration import declared
    from deep_image_blending.options.presets import preset

    natural = preset("natural")
    rows = []
    for one in declared().values():
        weights = [natural.of(name).weights[one.name] for name in ("first_pass", "second_pass")]
        looks = {None: "the pixels", "style": "the style layers", "content": "the content layer"}[one.taps]
        passes = {"both": "both", "first": "the first", "second": "the second"}[one.scope]
        shown = ", ".join(f"{weight:g}" for weight in weights)
        rows.append((_code(one.name), _codes([one.option.flag]), one.help, looks, passes, shown))
    return _table(("loss", "option", "what it does", "looks at", "passes", "in natural: first, second"), rows)


def backbones() -> str:
    """Every network that can see the pictures, with the layers that it is read at."""
    from deep_image_blending.networks.backbones import DECLARED

    rows = [
        (_code(one.name), one.help, ", ".join(map(_code, one.style)), _code(one.content))
        for one in DECLARED.values()
    ]
    return _table(("backbone", "what it is", "style layers", "content layer"), rows)


def measures() -> str:
    """Every measure, its range, and which way is better."""
    from deep_image_blending.measures import MEASURES

    rows = [(_code(one.name), one.about, one.meaning, one.range, one.better) for one in MEASURES.values()]
    return _table(("measure", "looks at", "what it is", "range", "better"), rows)


def commands() -> str:
    """Every command: what it does, its arguments, and its own options."""
    import typer.main

    from deep_image_blending.cli.app import app_of
    from deep_image_blending.cli.declared import ENTRIES

    known: Mapping[str, Any] = typer.main.get_command(app_of(everything=True)).commands  # type: ignore[attr-defined]
    found = []
    for name, command in known.items():
        entry = ENTRIES[name]
        if entry.hidden:
            continue
        text, _, example = (entry.made.__doc__ or "").partition("Example")
        lines = [line.strip() for line in example.partition(":")[2].strip().splitlines()]
        parts = [f"## blend {name}", " ".join(text.split()), "```bash\n" + "\n".join(lines) + "\n```"]
        own = [
            one for one in command.params if one.name not in entry.takes and one.name not in ("help_all", "help")
        ]
        also = {flag for taken in entry.takes for flag in _also(taken)}
        rows = [
            (
                _codes(one.opts) if one.opts[0].startswith("-") else _code(one.metavar or one.name.upper()),
                one.help or "",
            )
            for one in own
            if not set(one.opts) & also
        ]
        if rows:
            parts.append(_table(("", ""), rows))
        if entry.takes:
            parts.append(f"It takes {len(entry.takes)} of [the options of a run](options.md) too.")
        found.append("\n\n".join(parts))
    return "\n\n".join(found)


def rooms() -> str:
    """The floors from top to bottom, as import-linter checks them, each with the first sentence of its room."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        (contract,) = tomllib.load(stream)["tool"]["importlinter"]["contracts"]
    rows = []
    for number, floor in enumerate(reversed(contract["layers"])):
        for name in floor.split(" : "):
            path = ROOT / "deep_image_blending" / name
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            shown = f"{name}/" if path.is_dir() else f"{name}.py"
            rows.append((str(number), _code(shown), " ".join(text.partition("\n\n")[0].split())))
    return _table(("floor", "room", "what lives there"), reversed(rows))


PARTS: Mapping[str, Callable[[], str]] = {
    one.__name__: functools.cache(one) for one in (options, presets, losses, backbones, measures, commands, rooms)
}


def _also(name: str) -> tuple[str, ...]:
    from deep_image_blending.options.catalogue import catalogue

    return catalogue()[name].also or ()


def _in_preset(options: Any, name: str, default: Any) -> Any:
    """What an option is in a preset: one value, or two where the passes differ."""
    from deep_image_blending.losses.declaration import declared

    loss = next((loss.name for loss in declared().values() if loss.option.name == name), None)
    passes = (options.first, options.second)
    if loss is not None:
        values = [own.weights[loss] for own in passes]
    elif hasattr(options.first, name):
        values = [getattr(own, name) for own in passes]
    else:
        values = [getattr(options, name, default)]
    return values[0] if all(value == values[0] for value in values) else values


def _code(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_code, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _codes(words: Iterable[str]) -> str:
    return ", ".join(map(_code, words))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return "\n".join((line(header), line("---" for _ in header), *(line(row) for row in rows)))
