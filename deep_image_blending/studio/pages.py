"""The pages that are open: each has its blend, hears of it, and finds it again after a reload."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from deep_image_blending.errors import InputError
from deep_image_blending.studio.declared import as_text, command_of, given_of, options_of_page
from deep_image_blending.studio.engine import Order
from deep_image_blending.studio.pictures import PictureStore
from deep_image_blending.studio.runs import newest_frame, run_folder
from deep_image_blending.studio.turns import Blend, Told, Turns, free_folder

GRACE = 10.0
"""Seconds that a page may be away, reloading, before its blend stops."""
MOST_PAGES = 64
_ID = re.compile(r"[0-9a-f]{16,64}")
_BEHIND = 500
"""Messages that wait for a slow page; beyond them, evaluations are left out."""


@dataclass
class Page:
    """A page by its id. socket: while it is there. leaving: the task that stops its blend when it stays away."""

    blend: Blend | None = None
    socket: WebSocket | None = None
    outgoing: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    leaving: asyncio.Task[None] | None = None
    frame: str | None = None

    def tell(self, told: Told) -> None:
        if self.socket is not None and (self.outgoing.qsize() < _BEHIND or told["kind"] != "evaluation"):
            self.outgoing.put_nowait(told)


class Pages:
    """All pages, by their ids, and the engine's turns. Its methods belong to the event loop's thread."""

    def __init__(self, runs: Path, store: PictureStore) -> None:
        self.runs, self.store = runs, store
        self.turns = Turns()
        self.pages: dict[str, Page] = {}

    async def attend(self, key: str, socket: WebSocket) -> None:
        """Serve a page until it goes."""
        if not _ID.fullmatch(key):
            await socket.close(1008, "a page has an id")
            return
        await socket.accept()
        page = self._page(key)
        if page.socket is not None:
            with contextlib.suppress(RuntimeError):
                await page.socket.close(4001, "this page was opened elsewhere")
        if page.leaving is not None:
            page.leaving.cancel()
            page.leaving = None
        page.socket, page.outgoing = socket, asyncio.Queue()
        if page.blend is not None:
            page.outgoing.put_nowait({"kind": "again", "run": page.blend.name})
            for told in page.blend.history:
                page.outgoing.put_nowait(told)
        sending = asyncio.create_task(_sent(page.outgoing, socket))
        try:
            while True:
                text = await socket.receive_text()
                try:
                    self._heard(page, json.loads(text))
                except (InputError, ValueError, RecursionError) as error:
                    message = str(error) if isinstance(error, InputError) else "the message is no JSON"
                    page.tell({"kind": "failed", "message": message})
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass
        finally:
            sending.cancel()
            if page.socket is socket:
                page.socket = None
                page.leaving = asyncio.create_task(self._left(page))

    def _page(self, key: str) -> Page:
        if key not in self.pages:
            away = [other for other, page in self.pages.items() if page.socket is None and not _busy(page)]
            while len(self.pages) >= MOST_PAGES and away:
                self.pages.pop(away.pop(0))
            self.pages[key] = Page()
        return self.pages[key]

    async def _left(self, page: Page) -> None:
        await asyncio.sleep(GRACE)
        if page.blend is not None:
            self.turns.stop(page.blend)

    def _heard(self, page: Page, asked: Any) -> None:
        """Do what a page asks. Raises InputError."""
        if not isinstance(asked, Mapping):
            raise InputError("the message is no table")
        kind = asked.get("kind")
        if kind == "blend":
            # Checked before the one that it takes the place of is stopped.
            order = self._order(asked)
            self._stop(page, discard=True)
            self._begin(page, order)
        elif kind == "again":
            folder = run_folder(self.runs, str(asked.get("run")))
            options = asked.get("options", {})
            if not isinstance(options, Mapping):
                raise InputError("options is no table")
            given = options_of_page(options)
            command = ("blend", "second-pass", str(folder), *command_of(given)[2:])
            self._stop(page, discard=False)
            self._begin(page, Order("again", folder, given, command))
        elif kind == "stop":
            self._stop(page, discard=asked.get("discard") is True)
        else:
            raise InputError("the studio does not know this message")

    def _order(self, asked: Mapping[str, Any]) -> Order:
        files = {f"{name}_file": self.store.path(str(asked.get(name))) for name in ("source", "mask", "target")}
        given = given_of(asked, files)
        name = f"{files['source_file'].stem}-{files['target_file'].stem}"
        taken = {page.blend.name for page in self.pages.values() if page.blend is not None}
        return Order("new", free_folder(self.runs, name, taken), given, command_of(given))

    def _begin(self, page: Page, order: Order) -> None:
        def tell(told: Told) -> None:
            if told["kind"] == "evaluation":
                self._tell_frame(page, blend)
            page.tell(told)

        blend = Blend(order, tell)
        page.blend, page.frame = blend, None
        page.tell({"kind": "began", "run": blend.name, "command": as_text(order.command)})
        blend.history.append({"kind": "began", "run": blend.name, "command": as_text(order.command)})
        self.turns.put(blend)

    def _tell_frame(self, page: Page, blend: Blend) -> None:
        """The newest moment that the run has written, where the page has not seen it."""
        frame = newest_frame(blend.order.folder)
        if frame is not None and frame != page.frame:
            page.frame = frame
            page.tell({"kind": "frame", "run": blend.name, "frame": frame})

    def _stop(self, page: Page, discard: bool) -> None:
        if page.blend is not None:
            self.turns.stop(page.blend, discard)


def _busy(page: Page) -> bool:
    return page.blend is not None and not page.blend.ended


async def _sent(outgoing: asyncio.Queue[Told], socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.send_text(json.dumps(await outgoing.get()))
