"""How a batch goes: a frozen count that observers see, and that is kept beside the pictures."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deep_image_blending.batch.manifest import Shard
from deep_image_blending.batch.store import Store

_STATUS = "status"
STALE = 60.0
"""Seconds without a word after which a batch is taken for one that was stopped."""


@dataclass(frozen=True)
class Tally:
    """How many pictures there are of each kind.

    planned: rows of this shard. earlier: those that were there before. done, failed: since. attempts: tasks that
    were started over. seconds: since the start. cores: (taken, there), of the cluster. nodes: pictures of each.
    """

    planned: int
    earlier: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    repeated: int = 0
    seconds: float = 0.0
    cores: tuple[float, float] = (0.0, 0.0)
    alive: int = 0
    nodes: Mapping[str, int] = field(default_factory=dict)
    ended: bool = False

    @property
    def left(self) -> int:
        return self.planned - self.earlier - self.done - self.failed

    @property
    def a_minute(self) -> float:
        """Pictures a minute since the start."""
        return 60 * (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate, or None before there is one."""
        return 60 * self.left / self.a_minute if self.a_minute > 0 else None

    def line(self) -> str:
        """All of it in one line."""
        parts = [f"{self.earlier + self.done} of {self.planned} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.in_flight:
            parts.append(f"{self.in_flight} in flight")
        parts.append(f"{self.a_minute:.1f} a minute")
        if self.left and not self.ended and self.seconds_left is not None:
            parts.append(f"{clock(self.seconds_left)} left")
        if self.alive and not self.ended:
            nodes = "1 node" if self.alive == 1 else f"{self.alive} nodes"
            parts.append(f"{nodes}, {self.cores[0]:g} of {self.cores[1]:g} cores taken")
        return " · ".join(parts)


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03`.

    >>> clock(3723)
    '1:02:03'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def write_status(store: Store, shard: Shard, tally: Tally) -> None:
    """Keep the count where anyone can read it."""
    entries = {**dataclasses.asdict(tally), "time": time.time(), "shard": [shard.number, shard.count]}
    store.write(f"{_STATUS}{shard.suffix}.json", (json.dumps(entries) + "\n").encode())


def read_status(store: Store) -> Iterator[tuple[str, Tally, float]]:
    """The shards that there are: a name, the count, and the seconds since it was written."""
    known = {part.name for part in dataclasses.fields(Tally)}
    for name in sorted(store.names()):
        if name.startswith(_STATUS) and name.endswith(".json"):
            try:
                entries: dict[str, Any] = json.loads(store.read(name))
                number, count = entries["shard"]
                entries["cores"] = tuple(entries["cores"])
                tally = Tally(**{key: value for key, value in entries.items() if key in known})
                age = time.time() - entries["time"]
            except (ValueError, TypeError, KeyError):
                # Another program's.
                continue
            yield f"shard {number} of {count}" if count > 1 else "batch", tally, age
