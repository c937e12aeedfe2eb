"""A run on a busy machine: other processes take every core, and threads that wait spin or sleep.

    python -m tests.benchmarks.busy [--processes 2] [--repeats 1]

Prints the wall time of `blend run` on the bundled demo, idle and busy, and its ratio to the idle one; with threads
that spin (`OMP_WAIT_POLICY=ACTIVE`, OpenMP's own way), that sleep at once (`PASSIVE`), and that look around for
some microseconds before they sleep (the program's).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def load(processes: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


WAYS = {
    "as the program has it": {},
    "sleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin": {"OMP_WAIT_POLICY": "ACTIVE"},
}


def seconds(way: str, repeats: int, limit: float) -> float:
    """Median wall time of a run, start included; infinite where one takes longer than `limit` seconds."""
    found = []
    plain = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "deep_image_blending.cli", "run", "--output-dir", f"{folder}/run"]
            begun = time.perf_counter()
            try:
                subprocess.run([*command, "--quiet"], check=True, timeout=limit, env=plain | WAYS[way])
            except subprocess.TimeoutExpired:
                return float("inf")
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit", type=float, default=240.0, help="seconds after which a run is given up")
    given = parser.parse_args()
    own = 0.0
    for way in WAYS:
        idle = seconds(way, given.repeats, given.limit)
        own = own or idle
        print(f"idle, waiting threads {way}: {idle:.1f} s, {idle / own:.2f} times", flush=True)
    with load(given.processes):
        for way in WAYS:
            busy = seconds(way, given.repeats, given.limit)
            print(f"busy, waiting threads {way}: {busy:.1f} s, {busy / own:.2f} times the idle one", flush=True)


if __name__ == "__main__":
    main()
