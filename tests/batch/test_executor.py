"""Who is asked for what, and what becomes of what is lost: without a cluster, by a stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from deep_image_blending.batch.executor import GIB, Executor, Resources, Watch
from deep_image_blending.batch.manifest import short
from deep_image_blending.batch.progress import Tally
from deep_image_blending.batch.records import Ledger, ledger
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.batch.task import Report, Task

MIB = 2**20


class RayError(Exception):
    pass


class WorkerCrashedError(RayError):
    pass


class NodeDiedError(RayError):
    pass


class RayTaskError(RayError):
    pass


@dataclass
class Stand:
    """As much of Ray as the executor asks: tasks end in the order in which they were given out."""

    outcome: Callable[[Task], Report]
    cores: float = 2.0
    gpus: float = 0.0
    memory: float = 8 * GIB
    exceptions: ClassVar[Any] = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    given: list[tuple[Task, dict[str, Any]]] = field(default_factory=list)
    flying: set[int] = field(default_factory=set)
    cancelled: list[int] = field(default_factory=list)
    most: int = 0

    def remote(self, function: Any) -> Any:
        return SimpleNamespace(options=lambda **asked: SimpleNamespace(remote=lambda task: self._out(task, asked)))

    def _out(self, task: Task, asked: dict[str, Any]) -> int:
        self.given.append((task, asked))
        self.flying.add(len(self.given) - 1)
        self.most = max(self.most, len(self.flying))
        return len(self.given) - 1

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        return references[:1], references[1:]

    def get(self, reference: int) -> Report:
        self.flying.remove(reference)
        return self.outcome(self.given[reference][0])

    def cancel(self, reference: int, force: bool) -> None:
        assert force
        self.cancelled.append(reference)

    def nodes(self) -> list[dict[str, Any]]:
        resources = {"CPU": self.cores, "GPU": self.gpus, "memory": self.memory}
        return [{"Alive": True, "Resources": resources}, {"Alive": False, "Resources": {"CPU": 64.0}}]

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self.cores}


def _rows(count: int) -> list[Row]:
    return [Row(f"p{i}", f"p{i}", "natural", (), f"content {i}", made_up=True) for i in range(count)]


def _done(task: Task) -> Report:
    return Report("done", task.row.id, node="here")


def _run(tmp_path: Path, ray: Stand, rows: Any, told: list[Tally] | None = None, **resources: Any) -> Tally:
    store, listed = Store(str(tmp_path / "out")), list(rows) if isinstance(rows, list) else rows
    watch = Watch() if told is None else Watch(told.append)
    planned = len(listed) if isinstance(listed, list) else 0
    executor = Executor(ray, store, Resources(**resources), watch, ledger(store), Tally(planned))
    return executor.run(iter(listed))


def _failure(tmp_path: Path, id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / f"out/records/{id}.failed.json").read_text())
    return found


@pytest.mark.parametrize("retries", [0, 2])
def test_what_is_killed_more_often_than_retries_is_a_record(tmp_path: Path, retries: int) -> None:
    def outcome(task: Task) -> Report:
        if task.row.id == "p1":
            raise WorkerCrashedError
        return _done(task)

    ray = Stand(outcome)
    tally = _run(tmp_path, ray, _rows(4), retries=retries)
    assert (tally.done, tally.failed, tally.repeated) == (3, 1, retries)
    assert [task.attempt for task, _ in ray.given if task.row.id == "p1"] == list(range(1, retries + 2))
    found = _failure(tmp_path, "p1")
    assert found["attempt"] == retries + 1
    assert found["reason"] == "its worker was killed" + (f", {retries + 1} times" if retries else "")


def test_what_was_lost_once_is_given_out_again(tmp_path: Path) -> None:
    lost: dict[str, type[RayError]] = {"p0": WorkerCrashedError, "p2": NodeDiedError}

    def outcome(task: Task) -> Report:
        if task.row.id in lost and task.attempt == 1:
            raise lost[task.row.id]
        if task.row.id == "p3" and task.attempt == 1:
            return Report("again", "p3", reason="No space left on device: /x")
        return _done(task)

    tally = _run(tmp_path, Stand(outcome), _rows(5))
    assert (tally.done, tally.failed, tally.repeated, tally.in_flight) == (5, 0, 3, 0)
    assert not (tmp_path / "out/records").exists()


def test_the_window_is_bounded_and_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    read = 0

    def rows() -> Iterator[Row]:
        nonlocal read
        for row in _rows(3000):
            read += 1
            yield row

    ahead = 0

    def outcome(task: Task) -> Report:
        nonlocal ahead
        ahead = max(ahead, read - int(task.row.id[1:]))
        return _done(task)

    ray = Stand(outcome, cores=3.0)
    assert _run(tmp_path, ray, rows()).done == 3000
    assert ray.most == 6
    assert ahead < 200


def test_workers_bound_what_is_in_flight(tmp_path: Path) -> None:
    ray = Stand(_done, cores=16.0)
    assert _run(tmp_path, ray, _rows(20), workers=3).done == 20
    assert ray.most == 3


def test_the_first_failure_stops_a_batch_that_fails_fast(tmp_path: Path) -> None:
    def outcome(task: Task) -> Report:
        return Report("failed", task.row.id, reason="diverged") if task.row.id == "p5" else _done(task)

    ray = Stand(outcome)
    tally = _run(tmp_path, ray, _rows(1000), fail_fast=True)
    assert (tally.failed, tally.ended) == (1, True)
    assert len(ray.given) < 16
    assert sorted(ray.cancelled) == sorted(ray.flying)
    assert _failure(tmp_path, "p5")["reason"] == "diverged"


def test_a_task_asks_for_what_its_plan_says(tmp_path: Path) -> None:
    needed = 1000 * MIB

    def outcome(task: Task) -> Report:
        assert task.limits.memory is not None
        if task.limits.memory < needed:
            return Report("more memory", task.row.id, peak=needed)
        return Report("done", task.row.id, peak=needed)

    ray = Stand(outcome)
    assert _run(tmp_path, ray, _rows(40)).done == 40
    # 9/8 of the plan, in whole 64 MiB: 1125 MiB make 18 of them.
    assert {asked["memory"] for _, asked in ray.given} == {64 * MIB, 1152 * MIB}
    assert sum(asked["memory"] == 64 * MIB for _, asked in ray.given) <= 4
    assert all(asked["num_cpus"] == 1 and asked["max_retries"] == 0 for _, asked in ray.given)


def test_what_no_node_can_hold_fails_with_the_numbers(tmp_path: Path) -> None:
    def outcome(task: Task) -> Report:
        return Report("more memory", task.row.id, peak=3 * GIB)

    assert _run(tmp_path, Stand(outcome, memory=2 * GIB), _rows(1)).failed == 1
    assert "it needs 3.38 GiB, and the largest node has 2.00" in _failure(tmp_path, "p0")["reason"]
    assert _run(tmp_path, Stand(outcome), _rows(1), memory=GIB).failed == 1
    assert _failure(tmp_path, "p0")["reason"] == "it needs 3.00 GiB; --memory-per-task is 1.00"


def test_a_quarter_of_a_gpu_is_asked_for(tmp_path: Path) -> None:
    ray = Stand(_done, cores=64.0, gpus=1.0)
    assert _run(tmp_path, ray, _rows(20), gpus=0.25).done == 20
    assert {asked["num_gpus"] for _, asked in ray.given} == {0.25}
    assert all(task.limits.device is None for task, _ in ray.given)
    assert ray.most == 8
    ray = Stand(_done)
    _run(tmp_path, ray, _rows(2))
    assert all(task.limits.device == "cpu" and "num_gpus" not in asked for task, asked in ray.given)


def test_watchers_are_told_now_and_then_however_many_rows_are_there(tmp_path: Path) -> None:
    rows, told, ray = _rows(5000), [], Stand(_done)
    names = np.unique(np.array([short(row.id) for row in rows[:-3]], np.uint64))
    known = Ledger(Store(str(tmp_path / "out")), names, np.empty(0, np.uint64))
    executor = Executor(ray, known.store, Resources(), Watch(told.append), known, Tally(len(rows)))
    tally = executor.run(iter(rows))
    assert (tally.earlier, tally.done, tally.left) == (4997, 3, 0)
    assert [task.row.id for task, _ in ray.given] == ["p4997", "p4998", "p4999"]
    assert len(told) <= 4 + 2 * tally.seconds
    assert told[-1] == tally
    assert tally.ended
