"""The studio's server: what a page may ask for, by address."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from deep_image_blending.errors import BlendError, InputError
from deep_image_blending.studio.pages import Pages
from deep_image_blending.studio.pictures import MAX_BYTES, PictureStore

PAGE = Path(__file__).parent / "page"
SHOWN = 16_000_000
"""The most pixels at which a picture is shown; it is blended at full size."""
AT_ONCE = 2
"""Requests that compute at the same time; the others wait."""
MAX_REQUEST = 4 * 2**20
T = TypeVar("T")


class Studio:
    """What every page shares: the pictures, the runs' folder, the engine and its turns."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs.absolute()
        self.store = PictureStore(self.runs / ".studio")
        self.pages = Pages(self.runs, self.store)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._newest: dict[str, int] = {}

    def app(self) -> Starlette:
        routes = [
            Route("/", lambda _: FileResponse(PAGE / "index.html")),
            Route("/options", self.options),
            Route("/pictures", self.bring, methods=["POST"]),
            Route("/pictures/{key}", self.show),
            Route("/pictures/{key}", self.forget, methods=["DELETE"]),
            Route("/demos/{name}", self.bring_demo, methods=["POST"]),
            Route("/masks", self.cut, methods=["POST"]),
            Route("/paths", self.path, methods=["POST"]),
            Route("/poisson", self.poisson, methods=["POST"]),
            Route("/runs", self.list_runs),
            Route("/runs/{name}", self.open_run),
            Route("/runs/{name}/thumbnail", self.thumbnail),
            Route("/runs/{name}/frames/{frame}", self.frame),
            Route("/runs/{name}/{which}", self.download),
            WebSocketRoute("/live/{page}", self.live),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
        return Starlette(routes=routes, lifespan=self.open, exception_handlers={BlendError: _refused})

    @contextlib.asynccontextmanager
    async def open(self, _: Starlette) -> AsyncIterator[None]:
        serving = asyncio.create_task(self.pages.turns.serve())
        warming = asyncio.create_task(_warm())
        try:
            yield
        finally:
            warming.cancel()
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    async def options(self, _: Request) -> Response:
        """The options that a page offers, the presets' values and the demos."""
        return JSONResponse(await asyncio.to_thread(_offer))

    async def bring(self, request: Request) -> Response:
        """Keep the body as a picture; it is counted as it comes, and refused before it is decoded."""
        name = unquote(request.headers.get("x-name", "picture"))
        data = await _body(request, MAX_BYTES, f"'{name}' is over {MAX_BYTES // 2**20} MiB; give a smaller file")
        return await self._computed(lambda: JSONResponse(self._brought(data, name)))

    async def bring_demo(self, request: Request) -> Response:
        """Take a bundled case into the store."""
        name = request.path_params["name"]

        def brought() -> Response:
            from deep_image_blending.pictures.demo import demo_named

            case = demo_named(name)
            pictures = {
                which: self._brought(path.read_bytes(), path.name)
                for which, path in (("source", case.source), ("target", case.target), ("mask", case.mask))
            }
            place = {"ss": case.ss, "x": case.x, "y": case.y}
            return JSONResponse({**pictures, "place": place, "title": case.title})

        return await self._computed(brought)

    async def show(self, request: Request) -> Response:
        key = request.path_params["key"]
        return await self._computed(lambda: Response(_shown(self.store, key), media_type="image/png"))

    async def forget(self, request: Request) -> Response:
        self.store.remove(request.path_params["key"])
        return Response(status_code=204)

    async def cut(self, request: Request) -> Response:
        """A mask of a sketch: `at_once` a grey picture, coarse; else its id, at full size, and what is unsure."""
        asked = await _json(request)
        at_once = asked.get("at_once") is True
        page, serial = str(asked.get("page"))[:64], asked.get("serial")

        def made() -> Response:
            from deep_image_blending.studio.cutting import refined, shown_at_once, sketch_of

            if not at_once and self._newest.get(page) != serial:
                return JSONResponse({"superseded": True})
            source = self.store.picture(str(asked.get("source")))
            base = source.alpha if asked.get("alpha") is True else None
            if asked.get("mask") is not None:
                base = self.store.mask(str(asked["mask"]))
            sketch = sketch_of(asked, source, base)
            if at_once:
                return Response(_grey(shown_at_once(source, sketch)), media_type="image/png")
            mask, unsure = refined(source, sketch)
            if not (mask > 0).any():
                raise InputError("nothing of the object is left; paint some of it, or undo")
            name = f"{Path(self.store.path(str(asked['source']))).stem}_mask.png"
            return JSONResponse(
                {"id": self.store.add(_grey(mask), name), "share": float(mask.mean()), "unsure": unsure}
            )

        if isinstance(serial, int):
            self._newest[page] = serial
            while len(self._newest) > 256:
                self._newest.pop(next(iter(self._newest)))
        return await self._computed(made)

    async def path(self, request: Request) -> Response:
        """A path along the source's edges between two points, (row, column) each."""
        asked = await _json(request)

        def found() -> Response:
            from deep_image_blending.studio.edges import path_along_edges

            return JSONResponse({"points": path_along_edges(self.store, str(asked.get("source")), asked)})

        return await self._computed(found)

    async def poisson(self, request: Request) -> Response:
        """Poisson's clone of the object, in its window of the target."""
        asked = await _json(request)

        def solved() -> Response:
            from deep_image_blending.declaration import chosen
            from deep_image_blending.pictures.placement import Placement
            from deep_image_blending.studio.declared import placed
            from deep_image_blending.studio.placing import quick_poisson

            place = chosen(Placement, placed(asked))
            source, target = (self.store.picture(str(asked.get(name))) for name in ("source", "target"))
            patch = quick_poisson(source, self.store.mask(str(asked.get("mask"))), target, place)
            where = {"x-top": str(patch.top), "x-left": str(patch.left)}
            return Response(_png(patch.pixels), media_type="image/png", headers=where)

        return await self._computed(solved)

    async def list_runs(self, _: Request) -> Response:
        from deep_image_blending.studio.runs import listed

        return JSONResponse(await asyncio.to_thread(listed, self.runs))

    async def open_run(self, request: Request) -> Response:
        from deep_image_blending.studio.runs import run_folder, settings

        name = request.path_params["name"]

        def opened() -> Response:
            found = settings(run_folder(self.runs, name), self.store)
            pictures = {which: self._described(key) for which, key in found["pictures"].items()}
            return JSONResponse({**found, "pictures": pictures})

        return await self._computed(opened)

    async def thumbnail(self, request: Request) -> Response:
        from deep_image_blending.studio.runs import run_folder, thumbnail

        name = request.path_params["name"]
        return await self._computed(
            lambda: Response(thumbnail(run_folder(self.runs, name)), media_type="image/jpeg")
        )

    async def frame(self, request: Request) -> Response:
        """A moment of a pass that is under way: the object's box."""
        from deep_image_blending.studio.runs import run_folder

        folder = run_folder(self.runs, request.path_params["name"]) / "frames"
        name = request.path_params["frame"]
        if name not in {path.name for path in folder.glob("*.jpg")}:
            raise InputError("this moment of the run is not there")
        return FileResponse(folder / name)

    async def download(self, request: Request) -> Response:
        """A file of a run; a film and a report are made where they are not there."""
        from deep_image_blending.studio.runs import made, run_folder

        name, which = request.path_params["name"], request.path_params["which"]
        path = await self._computed(lambda: made(run_folder(self.runs, name), which))
        if which in ("video", "report") or "download" in request.query_params:
            return FileResponse(path, filename=f"{name}-{path.name}")
        return FileResponse(path)

    async def live(self, socket: WebSocket) -> None:
        await self.pages.attend(socket.path_params["page"], socket)

    def _brought(self, data: bytes, name: str) -> dict[str, Any]:
        return self._described(self.store.add(data, name))

    def _described(self, key: str) -> dict[str, Any]:
        """A picture's id, name, size, and whether it has transparency. Raises InputError for a damaged one."""
        try:
            picture = self.store.picture(key)
        except InputError:
            with contextlib.suppress(InputError):
                self.store.remove(key)
            raise
        rows, columns = picture.pixels.shape[:2]
        alpha = picture.alpha is not None and float(picture.alpha.min()) < 1
        return {"id": key, "name": picture.path.name, "rows": rows, "columns": columns, "alpha": alpha}

    async def _computed(self, action: Callable[[], T]) -> T:
        """What an action gives that takes time, in a thread, `AT_ONCE` at the same time."""
        async with self._room:
            return await asyncio.to_thread(action)


async def _warm() -> None:
    """What the first stroke and the first placing need, loaded once the page is there."""
    await asyncio.sleep(0.5)
    for name in ("declared", "cutting", "placing", "edges"):
        await asyncio.to_thread(importlib.import_module, f"deep_image_blending.studio.{name}")


def _offer() -> dict[str, Any]:
    from deep_image_blending.pictures.demo import demos
    from deep_image_blending.studio.declared import described

    return {**described(), "demos": [{"name": one.name, "title": one.title} for one in demos()]}


def _shown(store: PictureStore, key: str) -> bytes:
    """A picture as PNG, in 8 bits, its alpha with it, at up to `SHOWN` pixels."""
    import numpy as np
    from PIL import Image

    from deep_image_blending.pictures import as_bytes

    picture = store.picture(key)
    pixels = as_bytes(picture.pixels)
    if picture.alpha is not None and picture.alpha.min() < 1:
        alpha = np.rint(picture.alpha * 255).astype(np.uint8)
        pixels = np.concatenate([pixels, alpha[..., None]], -1)
    image = Image.fromarray(pixels)
    if image.width * image.height > SHOWN:
        factor = (SHOWN / (image.width * image.height)) ** 0.5
        image.thumbnail((int(image.width * factor), int(image.height * factor)))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _grey(mask: Any) -> bytes:
    import numpy as np

    return _png(np.rint(mask * 255).astype(np.uint8))


def _png(pixels: Any) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


async def _body(request: Request, most: int, message: str) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise InputError(message)
        pieces.append(piece)
    return b"".join(pieces)


async def _json(request: Request) -> dict[str, Any]:
    body = await _body(request, MAX_REQUEST, f"the request is over {MAX_REQUEST // 2**20} MiB")
    try:
        asked = json.loads(body)
    except ValueError:
        raise InputError("the request is no JSON") from None
    if not isinstance(asked, dict):
        raise InputError("the request is no table")
    return asked


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 400)
