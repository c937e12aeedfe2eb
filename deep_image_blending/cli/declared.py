"""Commands made from the options' declarations.

A command is a class: its own arguments are its fields, its help is its docstring, and `run` does the work. The
options that it takes are added to it as further fields, each made from its declaration.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from deep_image_blending.declaration import Option, options_of
from deep_image_blending.errors import InputError
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.options.pass_options import PASSES, PassOptions
from deep_image_blending.options.run_options import Options

Given = Mapping[str, Any]
_OUTPUTS = ("output_file", "rgba", "preview_file")
"""Fields of commands that name a file to be written."""
_WORDS: Mapping[Any, str] = {bool: "", int: "COUNT", float: "NUMBER", str: "WORD", Path: "PATH"}
"""What help says that an option of a command's own takes, by its type, where it does not say so itself."""
_NARROW = 18
"""Characters of choices beside a flag; more of them leave no room for the help in a terminal of 80."""


@dataclass
class Command:
    """A command with what it was given."""

    unnamed: ClassVar[Path | None] = None
    """Where the command writes without --output-file."""

    def given(self) -> Given:
        """The options that were given, by their declared names; what is not among them has its default."""
        values = {}
        for name in self._declared():
            value = getattr(self, name)
            if value is not None:
                values[name] = value
        return values

    def own(self) -> Given:
        """The arguments of the command's own that are not as they are by default."""
        fields = dataclasses.fields(self)
        values = {one.name: getattr(self, one.name) for one in fields if one.name not in self._declared()}
        return {one.name: values[one.name] for one in fields if values.get(one.name, one.default) != one.default}

    def run(self) -> None:
        """Do it."""
        raise NotImplementedError

    def output_path(self) -> Path:
        """Where to write a picture. Raises InputError where it can't be written, or is not to be replaced."""
        from deep_image_blending.pictures.writing import check_unnamed, check_writable

        named: Path | None = vars(self)["output_file"]
        if named is not None:
            check_writable(named)
            return named
        assert self.unnamed is not None
        check_unnamed(self.unnamed)
        return self.unnamed

    def require_outputs_apart(self) -> None:
        """Raise InputError where a file to be written is one that is read, or written as well, or a run's own."""
        values = vars(self)
        if self.unnamed is not None and values["output_file"] is None:
            values = {**values, "output_file": self.unnamed}
        given = [(name, one) for name, value in values.items() for one in _paths(value)]
        for name, path in given:
            if name not in _OUTPUTS:
                continue
            for other, text in given:
                if other != name and os.path.realpath(text) == os.path.realpath(path):
                    raise InputError(
                        f"'{path}' is named twice, as {name.replace('_', '-')} and as {other.replace('_', '-')}: "
                        "it would be lost; give another file to write"
                    )
            from deep_image_blending.runs.directory import require_no_result

            require_no_result(Path(path))

    @classmethod
    def _declared(cls) -> Iterable[str]:
        return getattr(cls, "declared_names", ())


def _paths(value: Any) -> list[str]:
    """What may be paths among a value that was given."""
    several = value if isinstance(value, list) else [value]
    return [str(one) for one in several if isinstance(one, str | Path) and "\0" not in str(one)]


@dataclass(frozen=True)
class Entry:
    """A command as it is registered. takes: names of the options that are added to it."""

    name: str
    made: type[Command]
    takes: tuple[str, ...]
    panel: str | None
    hidden: bool


ENTRIES: dict[str, Entry] = {}
_T = TypeVar("_T", bound=type[Command])


def command(
    name: str, *, takes: Iterable[str] = (), panel: str | None = None, also: str | None = None
) -> Callable[[_T], _T]:
    """Register a class as a command. also: a second name, not listed."""

    def register(made: _T) -> _T:
        wanted = set(takes)
        names = tuple(one for one in catalogue() if one in wanted)
        ENTRIES[name] = Entry(name, made, names, panel, hidden=False)
        if also is not None:
            ENTRIES[also] = Entry(also, made, names, panel, hidden=True)
        return made

    return register


def add_to(app: typer.Typer, entry: Entry, everything: bool) -> None:
    """Add a command to an app. everything: show every option in its help, not those alone that people use."""
    # A command's own fields come again, with their types in place of the types' names, which the parser asks for.
    hints = get_type_hints(entry.made, include_extras=True)
    for one in dataclasses.fields(entry.made):
        kind, info = get_args(hints[one.name])[:2]
        if isinstance(info, OptionInfo) and info.metavar is None:
            info.metavar = next((_WORDS[plain] for plain in (kind, *get_args(kind)) if plain in _WORDS), None)
        if isinstance(info, OptionInfo) and info.show_default:
            info.help, info.show_default = f"{info.help}{_plain_default(one.default)}", False
    fields: list[tuple[str, Any, Any]] = [
        (one.name, hints[one.name], dataclasses.field(default=one.default))
        for one in dataclasses.fields(entry.made)
    ]
    for name in entry.takes:
        fields.extend(_fields(catalogue()[name], everything))
    names = [name for name, _, _ in fields if name not in entry.made.__dataclass_fields__]
    rarely = sum(not catalogue()[name].common for name in entry.takes)
    if rarely:
        text = "Show every option." if everything else f"Show the other {rarely} options, too."
        hint = typer.Option("--help-all", help=text, metavar="", rich_help_panel="Run and output")
        fields.append(("help_all", Annotated[bool, hint], False))
    made = dataclasses.make_dataclass(
        entry.made.__name__, fields, bases=(entry.made,), namespace={"declared_names": tuple(names)}
    )
    made.__doc__ = _unwrapped(entry.made.__doc__ or "")
    app.command(entry.name, rich_help_panel=entry.panel, hidden=entry.hidden)(made)


def _fields(one: Option, everything: bool) -> list[tuple[str, Any, Any]]:
    """The field of an option, and those of the flags that set one pass alone."""
    shown = one.common or everything
    metavar, listed = one.metavar or _metavar(one), ""
    if one.choices and metavar == "NAME":
        listed = f" One of {', '.join(one.choices)}."
    text = one.help + listed + _default(one)
    settings: dict[str, Any] = {"rich_help_panel": one.group, "hidden": not shown, "show_default": False}
    if one.kind == "switch":
        flags = f"{one.flag}/{one.negative}" if one.negative else one.flag
        kind = bool | None if one.negative else bool
        switch = typer.Option(flags, help=text, metavar="", **settings)
        return [(one.name, Annotated[kind, switch], None if one.negative else False)]
    word = typer.Option(one.flag, help=text, metavar=metavar, **settings)
    found: list[tuple[str, Any, Any]] = [(one.name, Annotated[str | None, word], None)]
    for flag, which in zip(one.also or (), ("first", "second"), strict=False):
        alone = typer.Option(
            flag,
            help=f"The same for the {which} pass alone.",
            metavar=metavar,
            **{**settings, "hidden": not everything},
        )
        found.append((flag.removeprefix("--").replace("-", "_"), Annotated[str | None, alone], None))
    return found


def _unwrapped(text: str) -> str:
    """Each paragraph as a line, which the terminal breaks; each example stays a line of its own."""
    return "\n\n".join(re.sub(r"\n(?!blend )", " ", one) for one in inspect.cleandoc(text).split("\n\n"))


def _plain_default(default: Any) -> str:
    if isinstance(default, bool):
        return " (on)" if default else ""
    if default is None or default is dataclasses.MISSING:
        return ""
    return f" ({default:g})" if isinstance(default, float) else f" ({default})"


def _metavar(one: Option) -> str:
    if one.choices:
        joined = "|".join(one.choices)
        return joined if len(joined) <= _NARROW else "NAME"
    plain = {"number": "NUMBER", "whole number": "COUNT", "path": "PATH", "list": "NAMES"}.get(one.kind, "WORD")
    return f"{plain}[,{plain}]" if one.pair else plain


def _default(one: Option) -> str:
    """What an option is where it is not given, as the preset `natural` has it."""
    from deep_image_blending.losses.declaration import declared
    from deep_image_blending.options.presets import preset

    natural = preset("natural")
    by_weight = {loss.option.name: loss.name for loss in declared().values()}
    if one.name in by_weight:
        values = [natural.of(name).weights[by_weight[one.name]] for name in PASSES]
    elif one.name in options_of(PassOptions):
        values = [getattr(natural.of(name), one.name) for name in PASSES]
    else:
        values = [getattr(natural, one.name) if one.name in options_of(Options) else one.default]
    if one.scope != "both":
        values = values[-1:] if one.scope == "second" else values[:1]
    if one.kind == "switch" or any(value is None for value in values):
        return ""
    texts = list(dict.fromkeys(f"{value:g}" if isinstance(value, float) else str(value) for value in values))
    return f" ({', then '.join(texts)})"
