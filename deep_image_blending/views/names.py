"""What runs and pictures are called beside each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The end of each path, as short as leaves it distinct from the others.

    >>> distinct_names([Path("results/cat"), Path("results/dog"), Path("old/cat")])
    ['results/cat', 'dog', 'old/cat']

    A path that is given twice has one name.
    """
    parts = [Path(os.path.normpath(path.absolute())).parts for path in paths]
    ends = Counter(one[-k:] for one in set(parts) for k in range(1, len(one) + 1))
    return [str(Path(*_shortest(one, ends))) for one in parts]


def shortened(names: Sequence[str], length: int) -> list[str]:
    """Names cut from the left to a length, or to the least more that leaves different ones distinct.

    >>> shortened(["results/landscape_1", "results/landscape_2", "cat"], 6)
    ['…ape_1', '…ape_2', 'cat']
    """
    while True:
        cut = [name if len(name) <= length else f"…{name[len(name) - length + 1 :]}" for name in names]
        if len(set(cut)) == len(set(names)):
            return cut
        length += 1


def _shortest(parts: tuple[str, ...], ends: Counter[tuple[str, ...]]) -> tuple[str, ...]:
    return next((parts[-k:] for k in range(1, len(parts)) if ends[parts[-k:]] == 1), parts)
