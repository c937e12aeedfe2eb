"""How long people wait in the studio, in medians of three.

    python -m tests.benchmarks.studio

A picture of 1 megapixel is put into one of 12, over HTTP as the page does it. Needs the extra `studio`, httpx, and
Playwright and Chromium on the path for the first paint.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

DATA = Path(__file__).parents[2] / "deep_image_blending" / "data"
AIMS = {"page there": 3.0, "first paint": 0.5, "stroke, 1 MP": 0.3, "Poisson, 500 px object": 0.3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with _served() as (address, seconds):
        _print("page there", [seconds])
        time.sleep(5)
        paints = _first_paints(address)
        if paints:
            _print("first paint", paints)
        with httpx.Client(base_url=address, headers={"origin": address}, timeout=120) as client:
            _waits(client)


def _waits(client: httpx.Client) -> None:
    def posted(path: str, asked: dict[str, Any]) -> httpx.Response:
        answer = client.post(path, content=json.dumps(asked))
        answer.raise_for_status()
        return answer

    def timed(what: str, action: Callable[[], Any]) -> Any:
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            found = action()
            taken.append(time.perf_counter() - began)
        _print(what, taken)
        return found

    ids = {}
    for name, path, size in (
        ("source", DATA / "portrait" / "source.jpg", (1000, 1000)),
        ("target", DATA / "paintings" / "starry_night.jpg", (4000, 3000)),
    ):
        stream = io.BytesIO()
        Image.open(path).convert("RGB").resize(size).save(stream, "PNG", compress_level=1)
        answer = client.post("/pictures", content=stream.getvalue(), headers={"x-name": f"{name}.png"})
        answer.raise_for_status()
        ids[name] = answer.json()["id"]
    stroke = {"tool": "brush", "thing": "object", "points": [[300, 450], [700, 500]], "radius": 20}
    sketch = {"source": ids["source"], "box": [50, 150, 980, 850], "marks": [stroke], "page": "a", "serial": 1}
    timed("stroke, 1 MP", lambda: posted("/masks", {**sketch, "at_once": True}))
    mask = timed("stroke, 1 MP, refined", lambda: posted("/masks", sketch)).json()["id"]
    ends = {"source": ids["source"], "seed": [300, 300], "to": [350, 380]}
    timed("lasso, a step", lambda: posted("/paths", ends))
    for longer in (500, 1600):
        place = {"x": 1500, "y": 2000, "ss": longer}
        timed(
            f"Poisson, {longer} px object",
            lambda place=place: posted("/poisson", {**ids, "mask": mask, "place": place}),
        )  # type: ignore[misc]


def _first_paints(address: str) -> list[float]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page()
            page.goto(address)
            page.locator("body[data-ready=yes]").wait_for()
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found.append(float(page.evaluate(paint)) / 1000)
            page.close()
        browser.close()
    return found


@contextmanager
def _served() -> Iterator[tuple[str, float]]:
    """A studio's address, and the seconds from its command to its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as runs:
        words = [sys.executable, "-m", "deep_image_blending.cli", "studio", "--no-browser", "--runs", runs]
        began = time.perf_counter()
        server = subprocess.Popen([*words, "--port", str(port)], stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    httpx.get(address).raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.02)
            yield address, time.perf_counter() - began
        finally:
            server.terminate()
            server.wait(20)


def _print(what: str, seconds: list[float]) -> None:
    aim = f", aim {AIMS[what]:g}" if what in AIMS else ""
    print(f"{what:24} {statistics.median(seconds):6.2f} s{aim}", flush=True)


if __name__ == "__main__":
    main()
