"""The engine: a process of its own that stays warm and carries out one blend after another.

So the server never holds torch: it answers while a pass computes, and a blend that runs out of memory ends the
engine, not the studio.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from deep_image_blending.options.pass_options import PassName
    from deep_image_blending.runs.job import Hooks, Job
    from deep_image_blending.solve.loop import Evaluation

Mode = Literal["new", "resume", "again"]
STOP, PAUSE = "stop", "pause"
"""What may be sent while a blend is carried out: end it, or end it where it can go on."""


@dataclass(frozen=True)
class Order:
    """A blend to carry out. given: options by their names. command: what is recorded as the run's."""

    mode: Mode
    folder: Path
    given: Mapping[str, Any]
    command: tuple[str, ...]


class Engine:
    """The process, started at once; torch loads in it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def close(self) -> None:
        """End it."""
        self.connection.close()
        self.process.join(2)
        self.process.kill()
        self.process.join(2)


def serve(connection: Connection) -> None:
    """Carry out orders until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import deep_image_blending.runs.execution  # noqa: F401

    while True:
        try:
            order = connection.recv()
            # A word that came too late for its blend is no order.
            if isinstance(order, Order):
                _carried_out(connection, order)
        except (EOFError, OSError):
            return


def _carried_out(connection: Connection, order: Order) -> None:
    from deep_image_blending.errors import BlendError, is_out_of_memory
    from deep_image_blending.runs.devices import arithmetic
    from deep_image_blending.runs.execution import carry_out, prepare
    from deep_image_blending.runs.recorder import Interrupted

    sys.argv = list(order.command)
    hooks = _hooks(connection)
    try:
        job = _job(order)
        with arithmetic(job.machine.threads, job.options.precision):
            ready = prepare(job, hooks)
            connection.send({"kind": "plan", "text": _planned(ready), "region": list(ready.scene.region())})
            carry_out(ready, hooks)
        connection.send({"kind": "done"})
    except Interrupted:
        connection.send({"kind": "stopped"})
    except BlendError as error:
        connection.send({"kind": "failed", "message": str(error)})
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        connection.send({"kind": "failed", "message": "not enough memory; make the object or the picture smaller"})


def _job(order: Order) -> Job:
    from deep_image_blending.options.pass_options import PASSES
    from deep_image_blending.runs.job import again_job, new_job, resumed_job

    if order.mode == "new":
        return new_job({**order.given, "output_dir": order.folder})
    if order.mode == "again":
        return again_job(order.folder, order.given)
    return resumed_job(order.folder, {}, PASSES)


def _planned(ready: Any) -> str:
    from deep_image_blending.runs import plan

    decision = ready.decision
    way = "" if decision.plan.way == "full" else ", tile by tile"
    return (
        f"on {decision.plan.device}, {decision.plan.precision}; about {plan.shown(decision.plan)} of memory{way}, "
        f"and {plan.shown_bytes(decision.hand)} are at hand"
    )


def _hooks(connection: Connection) -> Hooks:
    import dataclasses

    from deep_image_blending.runs.job import Hooks
    from deep_image_blending.runs.recorder import Interrupted

    asked: set[str] = set()

    def heard() -> set[str]:
        while not asked and connection.poll():
            word = connection.recv()
            if word in (STOP, PAUSE):
                asked.add(word)
        return asked

    def phase(what: str) -> None:
        if STOP in heard():
            raise Interrupted
        connection.send({"kind": "phase", "text": what})

    def say(text: str) -> None:
        connection.send({"kind": "said", "text": text})

    hooks = Hooks(phase=phase, stop=lambda: bool(heard()), say=say)

    @contextmanager
    def around(name: PassName) -> Iterator[Hooks]:
        def observe(record: Evaluation) -> None:
            left = record.seconds / record.index * (record.budget - record.index)
            told = {"pass": name, "index": record.index, "budget": record.budget}
            terms = {key: round(value, 4) for key, value in record.terms.items()}
            connection.send({"kind": "evaluation", **told, "total": record.total, "terms": terms, "left": left})

        yield dataclasses.replace(hooks, observers=(observe,))

    return dataclasses.replace(hooks, around=around)
