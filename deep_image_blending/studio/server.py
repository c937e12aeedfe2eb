"""The studio's server: the page, pictures, cut-outs, blends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from deep_image_blending.errors import InputError
from deep_image_blending.studio.engine import Engine
from deep_image_blending.studio.pictures import MAX_BYTES, MAX_PIXELS, PictureStore

PAGE = Path(__file__).parent / "page"
SHOWN = 1600
"""The longer side, in pixels, at which a picture is shown."""


class Studio:
    """What every page shares: the pictures, the runs' folder, the engine and its turn."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self.store = PictureStore(self.runs / ".studio")
        self.turn = asyncio.Lock()
        self.engine: Engine | None = None

    def app(self) -> Starlette:
        routes = [
            Route("/", lambda _: FileResponse(PAGE / "index.html")),
            Route("/pictures", self.bring, methods=["POST"]),
            Route("/pictures/{key}", self.show),
            Route("/pictures/{key}", self.forget, methods=["DELETE"]),
            Route("/cut-outs", self.cut, methods=["POST"]),
            Route("/runs/{name}/{which}", self.download),
            WebSocketRoute("/blend", self.blend),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        return Starlette(routes=routes, lifespan=self.open, exception_handlers={InputError: _refused})

    @contextlib.asynccontextmanager
    async def open(self, _: Starlette) -> AsyncIterator[None]:
        self.engine = Engine()
        try:
            yield
        finally:
            await run_in_threadpool(self.engine.close)

    async def bring(self, request: Request) -> Response:
        """Keep the body as a picture; it is counted as it comes, and refused before it is decoded."""
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > MAX_BYTES:
                raise InputError(f"this file is over {MAX_BYTES // 2**20} MiB; give a smaller one")
            pieces.append(piece)
        name = unquote(request.headers.get("x-name", "picture"))
        return JSONResponse({"id": await run_in_threadpool(self.store.add, b"".join(pieces), name)})

    async def show(self, request: Request) -> Response:
        path = self.store.path(request.path_params["key"])
        data, size = await run_in_threadpool(_shown, path)
        return Response(data, media_type="image/png", headers={"x-size": f"{size[1]}x{size[0]}"})

    async def forget(self, request: Request) -> Response:
        self.store.remove(request.path_params["key"])
        return Response(status_code=204)

    async def cut(self, request: Request) -> Response:
        """A cut-out by a box; its mask is a picture of the store."""
        asked = await _json(request)
        key = await run_in_threadpool(self._cut, self.store.path(str(asked.get("source"))), asked.get("box"))
        return JSONResponse({"id": key})

    def _cut(self, path: Path, box: Any) -> str:
        import numpy as np
        from PIL import Image

        from deep_image_blending.pictures import load_picture
        from deep_image_blending.pictures.cutting.cut_out import Start, cut_out

        if not (isinstance(box, list) and len(box) == 4 and all(type(one) is int for one in box)):
            raise InputError("a box is four whole numbers: top, left, bottom, right")
        found = cut_out(load_picture(path, max_pixels=MAX_PIXELS).pixels, Start(box=tuple(box)))
        stream = io.BytesIO()
        Image.fromarray(np.rint(found.alpha * 255).astype(np.uint8)).save(stream, "PNG")
        return self.store.add(stream.getvalue(), "mask.png")

    async def download(self, request: Request) -> Response:
        name, which = request.path_params["name"], request.path_params["which"]
        known = {"picture": "second_pass.png", "first": "first_pass.png", "mask": "mask.png"}
        runs = {path.parent.name for path in self.runs.glob("*/run.json")}
        if name not in runs or which not in known or not (self.runs / name / known[which]).is_file():
            raise InputError("this picture of a run is not there")
        return FileResponse(self.runs / name / known[which], filename=f"{name}-{known[which]}")

    async def blend(self, socket: WebSocket) -> None:
        """One blend after another for a page; where it closes, its blend stops."""
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                try:
                    given = self._given(await socket.receive_json())
                    await self._blended(socket, given)
                except (InputError, json.JSONDecodeError) as error:
                    await socket.send_json({"kind": "failed", "message": str(error)})

    def _given(self, asked: Any) -> dict[str, Any]:
        if not isinstance(asked, dict):
            raise InputError("a blend is a table of options")
        files = {f"{name}_file": self.store.path(str(asked.get(name))) for name in ("source", "target", "mask")}
        allowed = ("x", "y", "ss", "preset", "strength", "num_steps")
        if str(asked.get("preset", "natural")) not in ("natural", "painterly", "wacv2020", "resnet"):
            raise InputError("there is no such preset")
        return {**files, **{name: asked[name] for name in allowed if asked.get(name) is not None}}

    async def _blended(self, socket: WebSocket, given: dict[str, Any]) -> None:
        assert self.engine is not None
        name = f"{given['source_file'].stem}-{secrets.token_hex(4)}"
        await socket.send_json({"kind": "waiting"})
        async with self.turn:
            if not self.engine.process.is_alive():
                self.engine = Engine()
            connection = self.engine.connection
            connection.send({**given, "output_dir": self.runs / name})
            closed = asyncio.ensure_future(socket.receive())
            stopped = False
            while True:
                if closed.done() and not stopped:
                    connection.send(None)
                    stopped = True
                try:
                    if not await run_in_threadpool(connection.poll, 0.1):
                        continue
                    message = connection.recv()
                except (EOFError, OSError):
                    message = {"kind": "failed", "message": "the engine ended; blend once more"}
                if message["kind"] == "done":
                    message = {**message, "run": name, "command": command(given)}
                if not stopped:
                    await socket.send_json(message)
                if message["kind"] in ("done", "failed", "stopped"):
                    break
            closed.cancel()
            if stopped:
                raise WebSocketDisconnect


def command(given: dict[str, Any]) -> str:
    """The `blend run` that makes the same picture."""
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["blend", "run", *words])


def _shown(path: Path) -> tuple[bytes, tuple[int, ...]]:
    from PIL import Image

    from deep_image_blending.pictures import as_bytes, load_picture

    pixels = load_picture(path, max_pixels=MAX_PIXELS).pixels
    image = Image.fromarray(as_bytes(pixels))
    image.thumbnail((SHOWN, SHOWN))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue(), pixels.shape


async def _json(request: Request) -> dict[str, Any]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 2**20:
            raise InputError("the request is over 1 MiB")
    try:
        asked = json.loads(body)
    except ValueError:
        raise InputError("the request is no JSON") from None
    if not isinstance(asked, dict):
        raise InputError("the request is no table")
    return asked


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 400)
