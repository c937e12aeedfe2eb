"""Who has the engine: one blend at a time, and by turns where several wait."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deep_image_blending.studio.engine import PAUSE, STOP, Engine, Order

TURN = 8.0
"""Seconds after which a blend lets another go on."""
_ENDINGS = ("done", "failed", "stopped")
Told = Mapping[str, Any]


@dataclass
class Blend:
    """A blend of a page. tell: receives what becomes of it. discard: its folder goes once it is stopped.

    history: what a page that comes back has to be told again. ended: nothing more will be told.
    """

    order: Order
    tell: Callable[[Told], None]
    history: list[Told] = field(default_factory=list)
    stopping: bool = False
    discard: bool = False
    ended: bool = False

    @property
    def name(self) -> str:
        return self.order.folder.name

    def report(self, told: Told) -> None:
        """Keep it and tell it."""
        told = {**told, "run": self.name}
        self.ended = self.ended or told["kind"] in _ENDINGS
        self.history.append(told)
        self.tell(told)


class Turns:
    """The queue. All its methods belong to the event loop's thread."""

    def __init__(self, turn: float = TURN) -> None:
        self.turn = turn
        self.waiting: deque[Blend] = deque()
        self.running: Blend | None = None
        self._engine: Engine | None = None
        self._come = asyncio.Event()
        self._told: asyncio.Queue[Told | None] = asyncio.Queue()
        self._began = 0.0

    @property
    def process(self) -> int | None:
        """The engine's process, by its number; None while there is none."""
        return None if self._engine is None else self._engine.process.pid

    async def serve(self) -> None:
        """Carry out blends as they come, until cancelled."""
        self._engine = self._started()
        try:
            while True:
                while not self.waiting:
                    self._come.clear()
                    await self._come.wait()
                self.running = self.waiting.popleft()
                self._say_places()
                try:
                    await self._carried_out(self.running)
                finally:
                    self.running = None
        finally:
            engine, self._engine = self._engine, None
            await asyncio.to_thread(engine.close)

    def put(self, blend: Blend) -> None:
        """Take a blend into the queue."""
        self.waiting.append(blend)
        self._say_places()
        self._come.set()

    def stop(self, blend: Blend, discard: bool = False) -> None:
        """End a blend, where it stands. discard: nothing is to be left of it."""
        if blend.ended or blend.stopping:
            blend.discard = blend.discard or (discard and not blend.ended)
            return
        blend.stopping, blend.discard = True, discard
        if blend is self.running:
            self._send(STOP)
        elif blend in self.waiting:
            self.waiting.remove(blend)
            self._ended(blend, {"kind": "stopped"})

    async def _carried_out(self, blend: Blend) -> None:
        if self._engine is None or not self._engine.process.is_alive():
            self._engine = self._started()
        self._began, paused = time.monotonic(), False
        self._send(blend.order)
        while True:
            try:
                told = await asyncio.wait_for(self._told.get(), 0.5)
            except TimeoutError:
                told = {}
            if told is None:
                # Killed by the system for its memory, most likely.
                self._engine = self._started()
                reason = (
                    "the engine ended, perhaps for want of memory; make the object smaller and blend once more"
                )
                self._ended(blend, {"kind": "failed", "message": reason})
                return
            if not paused and not blend.stopping and self.waiting and time.monotonic() - self._began > self.turn:
                paused = True
                self._send(PAUSE)
            if told.get("kind") == "stopped" and paused and not blend.stopping:
                blend.order = replace(blend.order, mode="resume")
                self.put(blend)
                return
            if told.get("kind") in _ENDINGS:
                self._ended(blend, told)
                return
            if told:
                blend.report(told)

    def _ended(self, blend: Blend, told: Told) -> None:
        if blend.discard and told["kind"] != "done" and blend.order.mode != "again":
            shutil.rmtree(blend.order.folder, ignore_errors=True)
        blend.report(told)

    def _say_places(self) -> None:
        for place, blend in enumerate(self.waiting, 1 if self.running is not None else 0):
            blend.report({"kind": "waiting", "before": place})

    def _send(self, what: object) -> None:
        assert self._engine is not None
        with contextlib.suppress(OSError):
            self._engine.connection.send(what)

    def _started(self) -> Engine:
        engine = Engine()
        self._told = asyncio.Queue()
        args = (engine.connection, asyncio.get_running_loop(), self._told)
        threading.Thread(target=_forwarded, args=args, daemon=True).start()
        return engine


def _forwarded(connection: Connection, loop: asyncio.AbstractEventLoop, told: asyncio.Queue[Told | None]) -> None:
    """What the engine says, into the event loop; None at its end."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError, TypeError):
            message = None
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(told.put_nowait, message)
        if message is None:
            return


def free_folder(runs: Path, name: str, taken: set[str]) -> Path:
    """A folder that is not there yet: `name`, `name-2` and so on."""
    path, number = runs / name, 2
    while path.exists() or path.name in taken:
        path, number = runs / f"{name}-{number}", number + 1
    return path
