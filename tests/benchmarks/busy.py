"""A run on a busy machine: other processes take every core, and threads that wait spin or sleep.

    python -m tests.benchmarks.busy [--processes 2] [--repeats 1]

Prints the wall time of `blend run` on the bundled demo, idle and busy, and its ratio to the idle one; with threads
that spin (`OMP_WAIT_POLICY=ACTIVE`, OpenMP's own way) and that sleep (the program's).
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


def seconds(policy: str, repeats: int, limit: float) -> float:
    """Median wall time of a run, start included; infinite where one takes longer than `limit` seconds."""
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "deep_image_blending.cli", "run", "--output-dir", f"{folder}/run"]
            begun = time.perf_counter()
            try:
                environment = os.environ | {"OMP_WAIT_POLICY": policy}
                subprocess.run([*command, "--quiet"], check=True, timeout=limit, env=environment)
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
    idle = seconds("PASSIVE", given.repeats, given.limit)
    print(f"idle, waiting threads sleep: {idle:.1f} s", flush=True)
    spinning = seconds("ACTIVE", given.repeats, given.limit)
    print(f"idle, waiting threads spin:  {spinning:.1f} s, {spinning / idle:.2f} times", flush=True)
    with load(given.processes):
        for policy, word in (("PASSIVE", "sleep"), ("ACTIVE", "spin")):
            busy = seconds(policy, given.repeats, given.limit)
            print(f"busy, waiting threads {word}: {busy:.1f} s, {busy / idle:.2f} times the idle one", flush=True)


if __name__ == "__main__":
    main()
