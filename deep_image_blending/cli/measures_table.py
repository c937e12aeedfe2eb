"""Measures by picture, on standard output."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from deep_image_blending.cli.console import console_for
from deep_image_blending.views.names import shortened

_WIDE = 130
"""Columns of text that a row of every measure takes; a narrower terminal breaks the lines."""

_NAMES, _NUMBER = 25, 9
"""Columns of text that the names of measures take with their borders, and a number without."""
_BESIDE = {("better", "meaning"): 30, ("better",): 9, (): 0}
"""What may stand beside the numbers, and the columns of text that it needs."""


def _columns(width: int, count: int) -> tuple[tuple[str, ...], int]:
    """What a terminal has room for beside the numbers of `count` pictures, and then for each one's name."""
    rooms = {shown: (width - _NAMES - needed) // count - 3 for shown, needed in _BESIDE.items()}
    shown = next((one for one, room in rooms.items() if room >= _NUMBER), ())
    return shown, max(rooms[shown], _NUMBER)


def print_measures(found: Mapping[str, Mapping[str, float]], json: bool) -> None:
    """A row for each measure, or, of many pictures, for each picture; or JSON."""
    if json:
        import json as encoder

        typer.echo(encoder.dumps(found, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from deep_image_blending.measures import MEASURES

    def values(name: str) -> list[str]:
        return [f"{measures[name]:.4g}" if name in measures else "" for measures in found.values()]

    console = console_for(False, stderr=False)
    if len(found) <= 4:
        table = Table()
        table.add_column("measure", no_wrap=True)
        shown, room = _columns(console.width, len(found))
        for label in shortened(list(found), room):
            table.add_column(Text(label), overflow="fold", min_width=_NUMBER)
        for title in shown:
            table.add_column(title)
        for name, measure in MEASURES.items():
            table.add_row(name, *values(name), *(measure.better, measure.said)[: len(shown)])
        console.width = max(console.width, _NAMES + len(found) * (_NUMBER + 3))
    else:
        # The best of many is found by looking down a column.
        table = Table("", box=None, pad_edge=False)
        for name, measure in MEASURES.items():
            table.add_column(f"{name.replace('_', chr(10))}\n{measure.better}", justify="right", no_wrap=True)
        for label, *row in zip(found, *(values(name) for name in MEASURES), strict=True):
            table.add_row(Text(label), *row)
    if len(found) > 4:
        console.width = max(console.width, _WIDE)
    console.print(table, soft_wrap=True)
