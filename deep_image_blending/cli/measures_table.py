"""Measures by picture, on standard output."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from deep_image_blending.cli.console import console_for

_WIDE = 130
"""Columns of text that a row of every measure takes; a narrower terminal breaks the lines."""


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

    if len(found) <= 4:
        table = Table("measure")
        for label in found:
            table.add_column(Text(label), overflow="fold")
        table.add_column("better")
        table.add_column("meaning")
        for name, measure in MEASURES.items():
            table.add_row(name, *values(name), measure.better, measure.said)
    else:
        # The best of many is found by looking down a column.
        table = Table("", box=None, pad_edge=False)
        for name, measure in MEASURES.items():
            table.add_column(f"{name.replace('_', chr(10))}\n{measure.better}", justify="right", no_wrap=True)
        for label, *row in zip(found, *(values(name) for name in MEASURES), strict=True):
            table.add_row(Text(label), *row)
    console = console_for(False, stderr=False)
    if len(found) > 4:
        console.width = max(console.width, _WIDE)
    console.print(table, soft_wrap=True)
