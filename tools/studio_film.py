"""The film of the studio on the README's first screen: `python -m tools.studio_film [--output-file FILE.gif]`.

Chromium goes the whole way, from two files to a painted cup of coffee; every moment is a screenshot of the page.
Needs the extra `studio`, Playwright, and Chromium on the path.
"""

from __future__ import annotations

import argparse
import io
import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

DATA = Path(__file__).parents[1] / "deep_image_blending" / "data"
SIZE = (1120, 700)
SHOWN = (640, 400)


class Film:
    """Screenshots of a page and how long each is seen, in milliseconds."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.lasting: list[int] = []

    def shot(self, lasts: int) -> None:
        image = (
            Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
        )
        if self.frames and image.tobytes() == self.frames[-1].tobytes():
            self.lasting[-1] += lasts
            return
        self.frames.append(image)
        self.lasting.append(lasts)

    def drag(self, *places: tuple[float, float], moments: int = 6) -> None:
        """Press at the first place, draw to the others, let go."""
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for start, end in itertools.pairwise(places):
            for step in range(1, moments + 1):
                share = step / moments
                self.page.mouse.move(*(a + share * (b - a) for a, b in zip(start, end, strict=True)))
                self.shot(70)
        self.page.mouse.up()

    def while_hidden(self, selector: str, every: float, lasts: int) -> None:
        """A moment so many seconds until something appears."""
        while not self.page.locator(selector).is_visible():
            self.shot(lasts)
            time.sleep(every)

    def save(self, path: Path) -> None:
        """One palette for all, so that only what changes is stored anew."""
        width, height = SHOWN
        strip = Image.new("RGB", (width, height * 4))
        for index in range(4):
            strip.paste(self.frames[index * (len(self.frames) - 1) // 3], (0, index * height))
        palette = strip.quantize(144, method=Image.Quantize.FASTOCTREE)
        small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames]
        small[0].save(path, save_all=True, append_images=small[1:], duration=self.lasting, loop=0, optimize=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-file", type=Path, default=Path("demo_imgs/studio.gif"))
    output = parser.parse_args().output_file
    with socket.socket() as free, tempfile.TemporaryDirectory() as runs:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        words = [sys.executable, "-m", "deep_image_blending.cli", "studio", "--no-browser"]
        server = subprocess.Popen([*words, "--runs", runs, "--port", str(port)])
        try:
            film = _played(f"http://127.0.0.1:{port}/")
        finally:
            server.terminate()
            server.wait(20)
    film.save(output)
    print(f"{output}: {len(film.frames)} frames, {output.stat().st_size / 1e6:.2f} MB")


def _played(address: str) -> Film:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        for _ in range(60):
            try:
                page.goto(address)
                break
            except Exception:
                time.sleep(0.1)
        page.locator("body[data-ready=yes]").wait_for()
        film = Film(page)
        film.shot(900)
        page.set_input_files("#source", DATA / "coffee" / "source.jpg")
        page.locator("#status", has_text="Now the picture").wait_for()
        film.shot(500)
        page.set_input_files("#target", DATA / "paintings" / "starry_night.jpg")
        page.locator("#box-0").wait_for()
        time.sleep(0.5)
        film.shot(500)
        stage: Any = page.locator("#canvas").bounding_box()

        def spot(down: float, across: float) -> tuple[float, float]:
            return stage["x"] + across * stage["width"], stage["y"] + down * stage["height"]

        film.drag(spot(0.04, 0.12), spot(0.97, 0.9))
        page.locator("#mask-file").wait_for()
        film.shot(1200)
        page.locator("#to-place").click()
        page.locator("#x").wait_for()
        page.locator("#preset").select_option("painterly")
        page.locator("#hint").hover()
        time.sleep(0.6)
        film.shot(500)
        film.drag(spot(0.5, 0.5), spot(0.36, 0.6))
        page.locator("#hint").hover()
        film.while_hidden("#kept", 0.7, 160)
        time.sleep(0.4)
        film.shot(1600)
        page.locator("#zoom-object").click()
        page.locator("#compare").select_option("paste")
        page.locator("#hint").hover()
        for share in (50, 42, 34, 42, 50, 58, 66, 74, 66, 58, 50):
            page.locator("#wipe-at").fill(str(share))
            time.sleep(0.1)
            film.shot(120)
        page.locator("#compare").select_option("")
        page.locator("#zoom-fit").click()
        time.sleep(0.3)
        film.shot(2500)
        browser.close()
    return film


if __name__ == "__main__":
    main()
