"""The engine: a process of its own that stays warm and carries out one blend after another.

So the server never holds torch: it answers while a pass computes, and a blend that runs out of memory ends the
engine, not the studio.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deep_image_blending.options.pass_options import PassName
    from deep_image_blending.runs.job import Hooks
    from deep_image_blending.solve.loop import Evaluation

Say = Callable[[Mapping[str, Any]], None]


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
        self.process.join(3)
        self.process.kill()


def serve(connection: Connection) -> None:
    """Carry out blends until the other end closes: a message is the options of one, or None, which stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import deep_image_blending.runs.execution  # noqa: F401

    while True:
        try:
            given = connection.recv()
            if given is not None:
                _carried_out(connection, given)
        except (EOFError, OSError):
            return


def _carried_out(connection: Connection, given: Mapping[str, Any]) -> None:
    from deep_image_blending.errors import BlendError, is_out_of_memory
    from deep_image_blending.runs.execution import execute
    from deep_image_blending.runs.job import new_job
    from deep_image_blending.runs.recorder import Interrupted

    try:
        execute(new_job(given), _hooks(connection))
        connection.send({"kind": "done"})
    except Interrupted:
        connection.send({"kind": "stopped"})
    except BlendError as error:
        connection.send({"kind": "failed", "message": str(error)})
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        connection.send({"kind": "failed", "message": "not enough memory; make the object smaller"})


def _hooks(connection: Connection) -> Hooks:
    import dataclasses

    from deep_image_blending.runs.job import Hooks
    from deep_image_blending.runs.recorder import Interrupted

    asked = False

    def stop() -> bool:
        nonlocal asked
        while not asked and connection.poll():
            asked = connection.recv() is None
        return asked

    def phase(what: str) -> None:
        if stop():
            raise Interrupted
        connection.send({"kind": "phase", "text": what})

    hooks = Hooks(phase=phase, stop=stop, say=lambda text: connection.send({"kind": "said", "text": text}))

    @contextmanager
    def around(name: PassName) -> Iterator[Hooks]:
        def observe(record: Evaluation) -> None:
            left = record.seconds / record.index * (record.budget - record.index)
            connection.send(
                {
                    "kind": "evaluation",
                    "pass": name,
                    "index": record.index,
                    "budget": record.budget,
                    "total": record.total,
                    "left": left,
                }
            )

        yield dataclasses.replace(hooks, observers=(observe,))

    return dataclasses.replace(hooks, around=around)
