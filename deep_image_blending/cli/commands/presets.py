"""`blend presets`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.cli.declared import Command, command
from deep_image_blending.declaration import options_of
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.options.groups import OUTPUT
from deep_image_blending.options.pass_options import PASSES, PassOptions
from deep_image_blending.options.presets import as_toml, names, preset
from deep_image_blending.options.run_options import Options


@command("presets", panel="Set up")
@dataclass
class Presets(Command):
    """The presets and what they set, as a table; or one of them as TOML, to make your own from.

    Examples:  blend presets
    blend presets --show natural
    """

    show: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Print this preset as TOML.", rich_help_panel=OUTPUT),
    ] = None

    def run(self) -> None:
        if self.show is not None:
            typer.echo(as_toml(preset(self.show)), nl=False)
            return
        from rich.table import Table

        table = Table(title="Presets", title_justify="left")
        table.add_column("")
        rows: dict[str, list[str]] = {}
        for name in names():
            table.add_column(name, overflow="fold")
            for label, value in _rows(preset(name)):
                rows.setdefault(label, []).append(value)
        for label, values in rows.items():
            table.add_row(label, *values)
        console_for(False, stderr=False).print(table)


def _rows(options: Options) -> Iterator[tuple[str, str]]:
    yield "init", options.init
    for number, name in enumerate(PASSES, 1):
        own = options.of(name)
        yield f"{number}: evaluations", str(kind_of(own.objective).evaluations(own.num_steps))
        yield f"{number}: objective", own.objective
        for loss, weight in own.weights.items():
            yield f"{number}: {loss}", f"{weight:g}"
        for one in options_of(PassOptions).values():
            if one.scope in ("both", name.removesuffix("_pass")) and one.name != "num_steps":
                yield f"{number}: {one.name}", _shown(getattr(own, one.name))
        yield f"{number}: line_search", own.line_search


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return "the backbone's" if value is None else str(value)
