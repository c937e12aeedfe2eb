"""How many times one thing takes as long as another, on a machine that has other work."""

from __future__ import annotations

import time
from collections.abc import Callable


def times_faster(baseline: Callable[[], object], ours: Callable[[], object], times: int = 5) -> float:
    """Processor seconds of the baseline over ours.

    Both run in turn, after one of each that does not count, and the least of each is taken: other work on the
    machine only ever lengthens them.
    """
    least = [float("inf"), float("inf")]
    for turn in range(times + 1):
        for i, action in enumerate((baseline, ours)):
            began = time.process_time()
            action()
            if turn:
                least[i] = min(least[i], time.process_time() - began)
    return least[0] / least[1]
