"""The one executor: Ray's core tasks, on this machine or on a cluster, a bounded window of them in flight."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deep_image_blending.batch.blending import Limits
from deep_image_blending.batch.progress import Tally
from deep_image_blending.batch.records import Ledger, record_name, write_record
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import REMEDY, Store
from deep_image_blending.batch.task import Report, Task, work
from deep_image_blending.errors import InputError

GIB = 2**30
_ROUND = 64 * 2**20
_BEAT = 0.5
"""Seconds between two looks at the cluster."""
_SEEN = 256
"""Plans that are remembered for the next task's memory."""


@dataclass(frozen=True)
class Resources:
    """What tasks may take, and how often they are tried.

    address: of a cluster; None starts one here. workers: tasks at once; None: as many as there is room for.
    memory: bytes a task; None: what its run's own plan asks for. retries: after a worker or a node was lost, or a
    disk failed. timeout: seconds a task, or None.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0
    memory: int | None = None
    retries: int = 2
    timeout: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True)
class Watch:
    """Who watches: told of the count twice a second and at the end, and of each failure as (id, reason)."""

    tally: Callable[[Tally], None] = lambda _: None
    failed: Callable[[str, str], None] = lambda _id, _reason: None


def require_ray() -> Any:
    """The library. Raises InputError, with the command that installs it."""
    try:
        # What a batch does is nobody's business.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import upath  # noqa: F401
    except ImportError:
        raise InputError(f"a batch needs Ray: {REMEDY}") from None
    return ray


@contextmanager
def connected(resources: Resources) -> Iterator[Any]:
    """Ray, joined where an address is given (or RAY_ADDRESS), else started here; left or ended afterwards.

    Raises InputError where nothing answers.
    """
    ray = require_ray()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    address = resources.address or os.environ.get("RAY_ADDRESS")
    begun = not ray.is_initialized()
    if begun and address:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"no Ray cluster answers at '{address}' ({reason}); see --address") from None
    elif begun:
        workers = resources.workers or max(1, (os.cpu_count() or 1) // resources.cpus)
        ray.init(
            address="local",
            num_cpus=workers * resources.cpus,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            **quiet,
        )
    try:
        yield ray
    finally:
        if begun:
            ray.shutdown()


@dataclass
class Executor:
    """A batch on its way. One use.

    Tasks that a lost worker or node took with it are given out again up to `retries` times, and so is what a disk
    refused; what the row itself is to blame for fails at once.
    """

    ray: Any
    store: Store
    resources: Resources
    watch: Watch
    ledger: Ledger
    tally: Tally
    _flying: dict[Any, Task] = field(default_factory=dict)
    _again: deque[Task] = field(default_factory=deque)
    _plans: deque[int] = field(default_factory=lambda: deque(maxlen=_SEEN))
    _nodes: dict[str, int] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _looked: float = -math.inf
    _window: int = 1
    _largest: float = math.inf

    def run(self, rows: Iterable[Row]) -> Tally:
        """Make every row that has no picture yet; the final count."""
        remote = self.ray.remote(work)
        waiting = self.ledger.looked_up(rows)
        exhausted = False
        try:
            while True:
                self._look()
                while len(self._flying) < self._window and not (exhausted and not self._again):
                    task = self._again.popleft() if self._again else self._next(waiting)
                    if task is None:
                        exhausted = True
                        break
                    self._submit(remote, task)
                if not self._flying:
                    if exhausted and not self._again:
                        break
                    continue
                landed, _ = self.ray.wait(list(self._flying), num_returns=1, timeout=_BEAT)
                for reference in landed:
                    self._land(reference, self._flying.pop(reference))
                if self.resources.fail_fast and self.tally.failed:
                    break
        finally:
            for reference in self._flying:
                self.ray.cancel(reference, force=True)
        self._count(ended=True)
        self.watch.tally(self.tally)
        return self.tally

    def _next(self, waiting: Iterator[tuple[Row, bool]]) -> Task | None:
        for row, finished in waiting:
            if finished:
                self._count(earlier=1)
                self._look()
                continue
            limits = Limits(self.resources.cpus, device=None if self.resources.gpus else "cpu")
            return Task(row, self.store.root, limits, self.resources.timeout)
        return None

    def _submit(self, remote: Any, task: Task) -> None:
        memory = task.limits.memory
        if memory is None and task.row.method == "natural":
            memory = self.resources.memory or self._usual()
        if memory is not None:
            task = dataclasses.replace(task, limits=dataclasses.replace(task.limits, memory=memory))
            if memory > self._largest:
                reason = f"it needs {memory / GIB:.2f} GiB, and the largest node has {self._largest / GIB:.2f}"
                self._fail(task, reason + "; give a smaller ss or ts, or larger nodes")
                return
        options: dict[str, Any] = {"num_cpus": self.resources.cpus, "max_retries": 0}
        if self.resources.gpus:
            options["num_gpus"] = self.resources.gpus
        if memory is not None:
            options["memory"] = memory
        self._flying[remote.options(**options).remote(task)] = task

    def _usual(self) -> int | None:
        """What nine in ten of the last plans would fit into; a task that needs more says so, and comes again.

        The first tasks have it from the plan that the first row has made.
        """
        if not self._plans:
            return _ROUND
        ordered = sorted(self._plans)
        return _rounded(ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)] * 9 // 8)

    def _land(self, reference: Any, task: Task) -> None:
        exceptions = self.ray.exceptions
        try:
            report: Report = self.ray.get(reference)
        except exceptions.RayTaskError as error:
            self._fail(task, f"{type(error).__name__}: {error}".splitlines()[0])
            return
        except exceptions.RayError as error:
            self._repeat(task, _lost(error))
            return
        if report.peak:
            self._plans.append(report.peak)
        if report.ending == "more memory":
            if self.resources.memory is not None:
                needed, given = report.peak / GIB, self.resources.memory / GIB
                self._fail(task, f"it needs {needed:.2f} GiB; --memory-per-task is {given:.2f}")
                return
            # A worker that has grown since asks for a little more than it did.
            limits = dataclasses.replace(task.limits, memory=_rounded(report.peak * 9 // 8))
            self._again.append(dataclasses.replace(task, limits=limits))
        elif report.ending == "again":
            self._repeat(task, report.reason)
        elif report.ending == "failed":
            self._fail(task, report.reason)
        else:
            self._nodes[report.node] = self._nodes.get(report.node, 0) + 1
            if self.ledger.has_failed(task.row):
                self.store.delete(record_name(task.row.id, failed=True))
            self._count(done=1)

    def _repeat(self, task: Task, reason: str) -> None:
        if task.attempt > self.resources.retries:
            self._fail(task, f"{reason}, {task.attempt} times" if task.attempt > 1 else reason)
            return
        self._count(repeated=1)
        self._again.append(dataclasses.replace(task, attempt=task.attempt + 1))

    def _fail(self, task: Task, reason: str) -> None:
        entries = {"row": task.row.content, "status": "failed", "reason": reason, "attempt": task.attempt}
        write_record(self.store, task.row.id, entries, failed=True)
        self.watch.failed(task.row.id, reason)
        self._count(failed=1)

    def _look(self) -> None:
        """How large the cluster is now."""
        now = time.monotonic()
        if now - self._looked < _BEAT:
            return
        self._looked = now
        nodes = [one for one in self.ray.nodes() if one["Alive"]]
        there = sum(one["Resources"].get("CPU", 0.0) for one in nodes)
        self._largest = max((one["Resources"].get("memory", 0.0) for one in nodes), default=math.inf) or math.inf
        slots = there / self.resources.cpus
        if self.resources.gpus:
            gpus = sum(one["Resources"].get("GPU", 0.0) for one in nodes)
            slots = min(slots, gpus / self.resources.gpus)
        if self.resources.workers is not None and self.resources.workers < slots:
            self._window = self.resources.workers
        else:
            # One more for each slot waits at its node, so that none is ever idle.
            self._window = max(1, 2 * math.floor(slots))
        free = self.ray.available_resources().get("CPU", 0.0)
        self._count(cores=(max(0.0, there - free), there), alive=len(nodes))
        self.watch.tally(self.tally)

    def _count(self, **more: Any) -> None:
        grown = {
            name: getattr(self.tally, name) + value if name in ("earlier", "done", "failed", "repeated") else value
            for name, value in more.items()
        }
        seconds = time.monotonic() - self._begun
        flying = len(self._flying) + len(self._again)
        self.tally = dataclasses.replace(
            self.tally, **grown, seconds=seconds, nodes=dict(self._nodes), in_flight=flying
        )


def _rounded(memory: int) -> int:
    return -(-memory // _ROUND) * _ROUND


def _lost(error: Exception) -> str:
    """What a crash is called."""
    kinds = {
        "WorkerCrashedError": "its worker was killed",
        "NodeDiedError": "its node was lost",
        "LocalRayletDiedError": "its node was lost",
        "OutOfMemoryError": "its worker took more memory than there was",
        "TaskUnschedulableError": "no node can take it",
    }
    return kinds.get(type(error).__name__, type(error).__name__)
