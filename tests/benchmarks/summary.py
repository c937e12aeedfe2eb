"""The short form of every benchmark: `python -m tests.benchmarks.summary [--weights VGG19] [--accept]`.

Every figure is a ratio against a baseline that is measured in the same run, the larger the better, so that a
slower machine changes it little. Beside it stands the last accepted one, from `accepted.json`; a fall of more than
15 % is reported. It takes a few minutes on two idle cores. On a busy machine ratios of seconds are noise: look
again before a fall is believed. `--accept` writes this run's ratios as the accepted ones, and keeps those that it
did not measure.

`--weights` is VGG-19's state dict, to relu3_4 at least (default: the file that DIB_TEST_WEIGHTS names); without
it, what needs these weights is left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ACCEPTED = Path(__file__).parent / "accepted.json"
# Memory comes first: a process's peak must not hold what this one has loaded.
BENCHMARKS = ("memory", "poisson", "speed", "solvers", "convergence", "embedded", "quality")
FALL = 0.15
"""The share of an accepted ratio by which it may fall unreported."""

Ratios = dict[str, dict[str, float]]
"""Ratios by benchmark and by name."""


def measured(names: Sequence[str], weights: Path | None, console: Console) -> Ratios:
    """The ratios of these benchmarks, on one thread: threads wait for each other, and that would be measured."""
    found = {}
    for name in names:
        began = time.perf_counter()
        benchmark = importlib.import_module(f"tests.benchmarks.{name}")
        if name != "memory":
            import torch

            torch.set_num_threads(1)
        found[name] = benchmark.ratios(weights)
        console.print(f"{name}: {time.perf_counter() - began:.0f} s", style="dim")
    return found


def read(path: Path) -> Ratios:
    """The accepted ratios; none where there is no file yet."""
    if not path.is_file():
        return {}
    found: Ratios = json.loads(path.read_text(encoding="utf-8"))
    return found


def accept(found: Ratios, accepted: Ratios, path: Path) -> None:
    """Write the ratios, among those that were accepted and not measured."""
    kept = {name: {**accepted.get(name, {}), **found.get(name, {})} for name in {**accepted, **found}}
    rounded = {
        name: {key: float(f"{value:.3g}") for key, value in row.items()} for name, row in sorted(kept.items())
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")


def fallen(value: float, accepted: float | None) -> bool:
    """Whether a ratio fell by more than it may."""
    return accepted is not None and value < (1 - FALL) * accepted


def told(found: Ratios, accepted: Mapping[str, Mapping[str, float]]) -> Table:
    """Every ratio beside the accepted one."""
    table = Table("benchmark", "ratio, larger is better", "now", "accepted", "change", "")
    for name, row in found.items():
        if not row:
            table.add_row(name, "left out: it needs --weights", "", "", "", "")
        for i, (key, value) in enumerate(row.items()):
            known = accepted.get(name, {}).get(key)
            change = "" if not known else f"{100 * (value / known - 1):+.0f} %"
            before = "" if known is None else f"{known:.3g}"
            mark = "[bold red]fell[/]" if fallen(value, known) else ""
            table.add_row(name if i == 0 else "", key, f"{value:.3g}", before, change, mark)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=os.environ.get("DIB_TEST_WEIGHTS"))
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, metavar="NAME")
    parser.add_argument("--accept", action="store_true", help="take this run's ratios as the accepted ones")
    given = parser.parse_args()
    weights = None if given.weights is None else Path(given.weights)
    console = Console(width=120)
    began = time.perf_counter()
    found = measured(given.only, weights, console)
    accepted = read(ACCEPTED)
    console.print(told(found, accepted))
    falls = sum(
        fallen(value, accepted.get(name, {}).get(key)) for name, row in found.items() for key, value in row.items()
    )
    seconds = time.perf_counter() - began
    console.print(
        f"{falls} ratio(s) fell by more than {100 * FALL:.0f} %; {seconds:.0f} s, load {os.getloadavg()[0]:.1f}"
    )
    if given.accept:
        accept(found, accepted, ACCEPTED)


if __name__ == "__main__":
    main()
