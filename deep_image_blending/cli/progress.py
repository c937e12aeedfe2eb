"""What the terminal shows of a run: a live table of losses, plain lines in a pipe, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deep_image_blending.cli.console import Style
from deep_image_blending.losses.declaration import declared

if TYPE_CHECKING:
    from deep_image_blending.solve.loop import Evaluation


ROWS = 12
NARROWEST = 50
"""Columns of text below which a pass is one line."""


class Watcher(Protocol):
    """An observer of a pass that is entered before it and left after it."""

    def __enter__(self) -> Watcher: ...
    def __exit__(self, *_: object) -> None: ...
    def __call__(self, record: Evaluation) -> None: ...
    def phase(self, what: str) -> None:
        """Say what is being prepared, such as the Poisson start, until the next evaluation."""
        ...


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, record: Evaluation) -> None:
        return None

    def phase(self, what: str) -> None:
        return None


class PlainLines:
    """A line for every sampled evaluation."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.next = 1

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, record: Evaluation) -> None:
        if record.index < self.next and record.index != record.budget:
            return
        self.next = sampled_after(record.index, record.budget)
        terms = "  ".join(f"{name} {value:.4g}" for name, value in record.terms.items())
        self.console.print(
            f"{self.title} {record.index}/{record.budget}{of_round(record)}  total {record.total:.5g}  {terms}  "
            f"{record.seconds:.1f} s, {remaining(record):.0f} s left",
            highlight=False,
            soft_wrap=True,
        )

    def phase(self, what: str) -> None:
        self.console.print(f"{self.title}: {what}", highlight=False, soft_wrap=True)


class LiveTable:
    """A table of sampled evaluations with the latest row always in sight."""

    def __init__(self, console: Console, title: str) -> None:
        self.title = title
        self.sampled: list[Evaluation] = []
        self.rows: list[Evaluation] = []
        self.next = 1
        self.live = Live(console=console, refresh_per_second=8, transient=False)

    def __enter__(self) -> LiveTable:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.rows:
            self.live.update(LossTable(self.title, self.rows))
        self.live.stop()

    def __call__(self, record: Evaluation) -> None:
        self.rows = [*self.sampled, record]
        self.live.update(LossTable(self.title, self.rows))
        if record.index >= self.next:
            self.next = sampled_after(record.index, record.budget)
            self.sampled = self.rows

    def phase(self, what: str) -> None:
        waiting = Spinner("dots", text=f"{self.title}: {what}")
        self.live.update(Group(LossTable(self.title, self.rows), waiting) if self.rows else waiting)


@dataclass(frozen=True)
class _Column:
    """A column of the live table. needed: the larger, the sooner the column goes where the terminal is narrow."""

    heading: str
    cells: tuple[str, ...]
    needed: float

    @property
    def width(self) -> int:
        """Characters that it takes, with the space and the line beside it."""
        return max(map(len, (self.heading, *self.cells))) + 3


@dataclass(frozen=True)
class LossTable:
    """The last rows of a pass, in as many columns as the terminal has room for; in one line where that is few."""

    title: str
    rows: Sequence[Evaluation]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        latest = self.rows[-1]
        if options.max_width < NARROWEST:
            line = (
                f"{self.title} {latest.index}/{latest.budget}  total {latest.total:.4g}  {remaining(latest):.0f} s"
            )
            yield Text(line, no_wrap=True, overflow="ellipsis")
            return
        columns = self._columns()
        kept, left = set[str](), options.max_width - 1
        for one in sorted(columns, key=lambda one: one.needed):
            if one.width > left:
                break
            kept.add(one.heading)
            left -= one.width
        shown = [one for one in columns if one.heading in kept]
        title = Text(f"{self.title}: evaluation {latest.index} of {latest.budget}{of_round(latest)}")
        table = Table(title=title, title_justify="left")
        for one in shown:
            table.add_column(one.heading, justify="right", no_wrap=True)
        for cells in zip(*(one.cells for one in shown), strict=True):
            table.add_row(*cells)
        yield table

    def _columns(self) -> list[_Column]:
        """All columns, as they stand beside each other: the larger a term, the longer it is kept."""
        shown, latest = self.rows[-ROWS:], self.rows[-1]
        terms = [name for name in declared() if name in latest.terms]
        largest = sorted(terms, key=lambda name: -abs(latest.terms[name]))

        def column(heading: str, needed: float, of: Callable[[Evaluation], str]) -> _Column:
            return _Column(heading, tuple(map(of, shown)), needed)

        before = [self.rows[-ROWS - 1] if len(self.rows) > ROWS else None, *shown[:-1]]
        changes = tuple(_change(row, earlier) for row, earlier in zip(shown, before, strict=True))
        return [
            column("evaluation", 0, lambda row: f"{row.index}" + (f" (1:{row.scale})" if row.scale > 1 else "")),
            *(
                column(name, 4 + largest.index(name), lambda row, name=name: f"{row.terms.get(name, 0.0):.4g}")  # type: ignore[misc]
                for name in terms
            ),
            column("total", 1, lambda row: f"{row.total:.4g}"),
            _Column("change", changes, 3),
            column("s/eval.", 4 + len(terms), lambda row: f"{row.seconds / row.index:.2f}"),
            column("left", 2, lambda row: f"{remaining(row):.0f} s"),
        ]


def _change(row: Evaluation, before: Evaluation | None) -> str:
    return "" if before is None or before.total == 0 else f"{100 * (row.total / before.total - 1):+.1f}%"


def of_round(record: Evaluation) -> str:
    """Which round an evaluation is of, where its pass goes in rounds."""
    return f", round {record.round} of {record.rounds}" if record.rounds else ""


def remaining(record: Evaluation) -> float:
    """Seconds left at the pace so far."""
    return record.seconds / record.index * (record.budget - record.index)


def sampled_after(index: int, budget: int) -> int:
    """The next evaluation to keep a row of: about twenty a pass."""
    return index + max(1, budget // 20)


def watcher(console: Console, style: Style, title: str) -> Watcher:
    """The observer for a terminal, for a pipe, or for nobody."""
    if style == "quiet":
        return Silent()
    return LiveTable(console, title) if style == "live" else PlainLines(console, title)


Update = Callable[[int, int | None], None]
"""Called with what is done, and with what there is in all where that is known."""


@contextmanager
def stage(console: Console, style: Style, what: str) -> Iterator[None]:
    """Something of unknown length: a spinner in a terminal, one line in a pipe."""
    if style == "live":
        with console.status(what):
            yield
        return
    if style == "plain":
        console.print(what, highlight=False, soft_wrap=True)
    yield


@contextmanager
def steps_bar(console: Console, style: Style, what: str) -> Iterator[Update]:
    """Something of countable steps, such as frames: a bar in a terminal, a line a quarter in a pipe."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _bar(console, style, what, columns, str) as update:
        yield update


@contextmanager
def study_bar(console: Console, style: Style) -> Iterator[Callable[[str, int, int], None]]:
    """Several things one after another; yields `update(what, done, total)`. A pipe gets a line for each."""
    if style == "live":
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=None)
            yield lambda what, done, total: progress.update(
                task, description=what, completed=done, total=total or None
            )
        return
    last = ""

    def line(what: str, done: int, total: int) -> None:
        nonlocal last
        if style == "plain" and what != last:
            last = what
            share = f" ({100 * done // total} %)" if total else ""
            console.print(f"{what}{share}", highlight=False, soft_wrap=True)

    yield line


@contextmanager
def download_bar(console: Console, style: Style, name: str) -> Iterator[Update]:
    """A download, in bytes: a bar in a terminal, a line a quarter in a pipe."""
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _bar(console, style, name, columns, lambda size: f"{size / 2**20:.1f} MiB") as update:
        yield update


@contextmanager
def _bar(
    console: Console, style: Style, what: str, columns: tuple[ProgressColumn, ...], said: Callable[[int], str]
) -> Iterator[Update]:
    if style == "live":
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        return
    quarters = 0

    def line(done: int, total: int | None) -> None:
        nonlocal quarters
        reached = 4 * done // total if total else 0
        if style == "plain" and reached > quarters:
            quarters = reached
            console.print(f"{what} {said(done)} of {said(total or done)}", highlight=False, soft_wrap=True)

    yield line


def summary(console: Console, entries: Mapping[str, str]) -> None:
    """The closing lines of a command."""
    wide = max(map(len, entries), default=0)
    for name, value in entries.items():
        console.print(f"{name:<{wide}}  {value}", highlight=False, soft_wrap=True)
