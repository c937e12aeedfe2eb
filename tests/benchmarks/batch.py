"""A batch against a loop of `blend run`, and what the driver costs.

    python -m tests.benchmarks.batch --pictures 8 --rows 1000,100000

Pictures a minute of `blend run` in a loop and of `blend batch` with one and two workers, with and without
the start of Ray; seconds of a batch of pastes that are no task's; memory of a driver that checks and plans.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deep_image_blending.pictures.demo import demo_named

_PROGRAM = "from deep_image_blending.cli.app import main; main()"
_MEASURED = (
    "import resource, sys; from deep_image_blending.cli.app import run_command; code = run_command(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--side", type=int, default=256, help="longer side of the canvas")
    parser.add_argument("--pastes", type=int, default=200, help="rows that the overhead of a task is taken from")
    parser.add_argument("--rows", default="1000,100000", help="rows that the driver's memory is taken at")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.pictures:
            speed(Path(folder), given.pictures, given.side)
        if given.pastes:
            overhead(Path(folder), given.pastes)
        for count in filter(None, given.rows.split(",")):
            memory(Path(folder), int(count))


def speed(folder: Path, pictures: int, side: int) -> None:
    """Pictures a minute, three ways."""
    rows = _rows(pictures, side)
    begun = time.perf_counter()
    for number, row in enumerate(rows):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in row.items()]
        _blend("run", *words, "--output-dir", str(folder / f"run{number}"), "--quiet")
    _line("a loop of blend run", pictures, time.perf_counter() - begun)
    for workers in (1, 2):
        out = folder / f"batch{workers}"
        begun = time.perf_counter()
        _batch(folder, rows, out, workers)
        seconds = time.perf_counter() - begun
        _line(f"blend batch, {workers} worker(s)", pictures, seconds)
        status = json.loads((out / "status.json").read_text())
        _line("  once Ray is there", pictures, status["seconds"])


def overhead(folder: Path, pastes: int) -> None:
    """Seconds a row of one worker that are no task's own."""
    out = folder / "pastes"
    _batch(folder, [{**row, "method": "paste"} for row in _rows(pastes, 64)], out, 1)
    records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
    own = sorted(record["seconds"] for record in records)
    whole = json.loads((out / "status.json").read_text())["seconds"]
    print(f"overhead of a task: {1000 * (whole - sum(own)) / pastes:.1f} ms ({pastes} pastes)")


def memory(folder: Path, count: int) -> None:
    """Peak memory of the driver that checks a manifest and plans, blending nothing."""
    manifest = _written(folder / f"{count}.jsonl", _rows(count, 64))
    begun = time.perf_counter()
    words = [
        sys.executable,
        "-c",
        _MEASURED,
        "batch",
        str(manifest),
        "--output-dir",
        str(folder / "none"),
        "--dry-run",
    ]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    peak = int(done.stdout.split()[-1]) / 1024
    print(f"driver at {count} rows: {peak:.0f} MiB, {time.perf_counter() - begun:.1f} s")


def _rows(count: int, side: int) -> list[dict[str, Any]]:
    demo = demo_named().scaled(side)
    files = {f"{name}_file": str(getattr(demo, name)) for name in ("source", "mask", "target")}
    return [{**files, "ss": demo.ss, "ts": side, "x": demo.x, "y": demo.y + i / 1000} for i in range(count)]


def _written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _batch(folder: Path, rows: list[dict[str, Any]], out: Path, workers: int) -> None:
    manifest = _written(folder / f"{out.name}.jsonl", rows)
    _blend("batch", str(manifest), "--output-dir", str(out), "--workers", str(workers), "--quiet")


def _blend(*words: str) -> None:
    subprocess.run([sys.executable, "-c", _PROGRAM, *words], check=True, env={**os.environ})


def _line(what: str, pictures: int, seconds: float) -> None:
    print(f"{what}: {60 * pictures / seconds:.1f} pictures a minute ({seconds:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
