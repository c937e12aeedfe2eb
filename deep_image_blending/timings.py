"""Where a run's seconds go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REST = "the rest"


class Timings:
    """A stopwatch with named parts. Every second belongs to one part: the innermost that is under way.

    >>> timings = Timings()
    >>> with timings.part("reading"):
    ...     pass
    >>> list(timings.seconds())
    ['reading', 'the rest']
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.began = self._since = clock()
        self._parts: dict[str, float] = {}
        self._under_way = REST

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What happens within it counts as `name`, until a part within that begins."""
        around = self._under_way
        self._turn_to(name)
        try:
            yield
        finally:
            self._turn_to(around)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds from before the stopwatch was started."""
        self._parts[name] = self._parts.get(name, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Seconds until now by part, in the order in which the parts were begun; the rest comes last."""
        self._turn_to(self._under_way)
        rest = {REST: self._parts.get(REST, 0.0)}
        return {name: spent for name, spent in self._parts.items() if name != REST} | rest

    def _turn_to(self, name: str) -> None:
        now = self._clock()
        self.add(self._under_way, now - self._since)
        # A part stands where it was begun, not where it ended.
        self._parts.setdefault(name, 0.0)
        self._since, self._under_way = now, name
