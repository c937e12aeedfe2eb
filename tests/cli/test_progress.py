"""What the terminal shows: every term, the latest row always, nothing when quiet."""

from __future__ import annotations

import io

import torch
from rich.console import Console

from deep_image_blending.cli.progress import LossTable, summary, watcher
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState

STATE = LoopState(LBFGS(torch.zeros(1)))


def _record(index: int, budget: int = 100) -> Evaluation:
    terms = {"gradient": 10.0 / index, "style": 2.0 / index}
    return Evaluation(index, budget, 1, 0.5 * index, sum(terms.values()), terms, torch.zeros(1), STATE)


def _console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_table_has_every_term_total_change_pace_and_time_left() -> None:
    console = _console(False)
    console.print(LossTable("First pass", [_record(1), _record(2)]))
    shown = _text(console)
    for word in ("gradient", "style", "total", "change", "s/eval.", "left", "-50.0%", "0.50", "49 s", "2 of 100"):
        assert word in shown, word


def test_live_table_always_shows_the_latest_row() -> None:
    console = _console(True)
    with watcher(console, "live", "First pass") as watch:
        for index in range(1, 58):
            watch(_record(index))
        assert [row.index for row in watch.sampled] == list(range(1, 58, 5))
    last = _text(console).rsplit("evaluation 57 of 100", 1)[1]
    for index in (6, 51, 56, 57):
        assert f"{index} │" in last


def test_plain_lines_are_sampled_and_hold_the_last_evaluation() -> None:
    console = _console(False)
    with watcher(console, "plain", "First pass") as watch:
        for index in range(1, 101):
            watch(_record(index))
    lines = _text(console).splitlines()
    assert 15 <= len(lines) <= 25
    assert lines[0].startswith("First pass 1/100  total 12  gradient 10  style 2")
    assert lines[-1].startswith("First pass 100/100")


def test_quiet_prints_nothing_and_a_summary_is_never_cut() -> None:
    console = _console(False)
    with watcher(console, "quiet", "First pass") as watch:
        watch(_record(1))
    assert _text(console) == ""
    summary(console, {"run": "x" * 300})
    assert "x" * 300 in _text(console)
