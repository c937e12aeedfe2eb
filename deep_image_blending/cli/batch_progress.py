"""What a terminal, a pipe and the folder of the pictures see of a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deep_image_blending.batch.progress import Tally, clock, write_status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from deep_image_blending.batch.manifest import Shard
    from deep_image_blending.batch.store import Store
    from deep_image_blending.cli.console import Style

_BETWEEN_LINES = 10.0
_BETWEEN_NOTES = 5.0


@dataclass
class Shown:
    """Shows a batch's count, and keeps it beside the pictures."""

    console: Console
    store: Store
    shard: Shard
    live: Live | None = None
    plain: bool = True
    _printed: float = field(default_factory=time.monotonic)
    _noted: float = 0.0

    def tally(self, tally: Tally) -> None:
        now = time.monotonic()
        if tally.ended or now - self._noted > _BETWEEN_NOTES:
            self._noted = now
            write_status(self.store, self.shard, tally)
        if self.live is not None:
            self.live.update(_table(tally))
        elif self.plain and now - self._printed > _BETWEEN_LINES:
            self._printed = now
            self.say(tally.line())

    def failed(self, id: str, reason: str) -> None:
        self.say(f"{id} failed: {reason}")

    def say(self, message: str) -> None:
        self.console.print(message, soft_wrap=True)


@contextmanager
def watching(console: Console, style: Style, store: Store, shard: Shard) -> Iterator[Shown]:
    """A live table in a terminal, a line now and then in a pipe."""
    shown = Shown(console, store, shard, plain=style == "plain")
    if style != "live":
        yield shown
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4, transient=True) as live:
        shown.live = live
        yield shown


def _table(tally: Tally) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    finished = tally.earlier + tally.done
    table.add_row("done", f"{finished} of {tally.planned}")
    table.add_row("", ProgressBar(total=max(1, tally.planned), completed=finished + tally.failed, width=40))
    table.add_row("failed", str(tally.failed))
    table.add_row("in flight", f"{tally.in_flight}" + (f", {tally.repeated} again" if tally.repeated else ""))
    left = tally.seconds_left
    table.add_row(
        "speed", f"{tally.a_minute:.1f} a minute" + (f", {clock(left)} left" if left is not None else "")
    )
    table.add_row("cores", f"{tally.cores[0]:g} of {tally.cores[1]:g} taken, on {tally.alive} nodes")
    for node, count in sorted(tally.nodes.items()):
        table.add_row(node, f"{count} pictures")
    return table
