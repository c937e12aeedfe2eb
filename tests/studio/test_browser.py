"""The whole way in Chromium, as people go it: by files, strokes, drags and keys."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.app import run_command

pytest.importorskip("starlette", reason="needs the extra studio")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

CHROMIUM = os.environ.get("DIB_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]

LONG = 120_000


class Served:
    """A studio in a process of its own."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/"
        began = time.monotonic()
        words = [
            sys.executable,
            "-m",
            "deep_image_blending.cli",
            "studio",
            "--runs",
            str(runs),
            "--port",
            str(port),
        ]
        self.process = subprocess.Popen([*words, "--no-browser"], stdout=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                assert time.monotonic() - began < 60
                time.sleep(0.05)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    studio = Served(tmp_path_factory.mktemp("studio") / "runs")
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened = opened_page(context, served)
    yield opened
    assert opened.faults == []
    context.close()


def opened_page(context: Any, served: Served) -> Any:
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(served.address)
    page.locator("body[data-ready=yes]").wait_for()
    return page


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A disc on plain ground, and a ground of another colour with a texture."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:120, :160]
    source = np.full((120, 160, 3), (60, 120, 60), np.int64)
    source[np.hypot(rows - 60, columns - 80) < 35] = (220, 60, 50)
    target = np.full((200, 260, 3), (90, 110, 170), np.int64)
    for name, picture in {"disc": source, "ground": target}.items():
        noisy = (picture + rng.integers(-12, 13, picture.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in ("disc", "ground")}


def bring(page: Any, pictures: dict[str, Path]) -> None:
    """Both files dropped on the page at once."""
    names = [pictures["disc"], pictures["ground"]]
    page.set_input_files("#source", names[0])
    page.locator("#status", has_text="Now the picture").wait_for()
    page.set_input_files("#target", names[1])
    page.locator("#box-0").wait_for()


def spot(page: Any, row: float, column: float, shape: tuple[int, int]) -> tuple[float, float]:
    """Where on the screen a place of a picture is that fills the stage, as the page fits it."""
    box = page.locator("#canvas").bounding_box()
    scale = min(16, (box["width"] - 48) / shape[1], (box["height"] - 48) / shape[0])
    left, top = (box["width"] - scale * shape[1]) / 2, (box["height"] - scale * shape[0]) / 2
    return box["x"] + left + scale * column, box["y"] + top + scale * row


def drag(page: Any, *places: tuple[float, float]) -> None:
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def cut_out(page: Any) -> None:
    drag(page, spot(page, 15, 35, (120, 160)), spot(page, 105, 125, (120, 160)))
    page.locator("#mask-file").wait_for()


def number(page: Any, name: str) -> float:
    return float(page.locator(f"#{name}").input_value())


def few_evaluations(page: Any, count: int) -> None:
    page.locator("#option-num_steps").fill(str(count))
    page.locator("#option-num_steps").press("Tab")


def test_from_two_files_to_a_picture_that_the_command_makes_too(
    page: Any, served: Served, pictures: dict[str, Path], tmp_path: Path
) -> None:
    bring(page, pictures)
    cut_out(page)
    page.locator("label", has_text="Background").click()
    drag(page, spot(page, 97, 45, (120, 160)), spot(page, 100, 60, (120, 160)))
    page.locator("#mask-said", has_text="of the picture").wait_for()
    page.locator("#to-place").click()
    page.locator("#auto").uncheck()
    few_evaluations(page, 3)
    before = number(page, "x"), number(page, "y")
    middle, further = spot(page, 100, 130, (200, 260)), spot(page, 80, 160, (200, 260))
    drag(page, middle, further)
    page.wait_for_timeout(200)
    assert (number(page, "x") - before[0], number(page, "y") - before[1]) == pytest.approx((-20, 30), abs=1)
    page.locator("#blend").click()
    page.locator("#kept").wait_for(timeout=LONG)
    with page.expect_download() as download:
        page.locator("#get-picture").click()
    words = shlex.split(page.locator("#command").input_value())
    assert words[:2] == ["blend", "run"]
    assert run_command([*words[1:], "--output-dir", str(tmp_path / "again"), "--quiet"]) == 0
    kept = Path(download.value.path())
    assert kept.read_bytes() == (tmp_path / "again" / "second_pass.png").read_bytes()
    mask = np.asarray(Image.open(tmp_path / "again" / "mask.png"))
    # The disc, to a share of its area, at the size that it was placed at.
    ratio = number(page, "ss") / 160
    assert (mask > 127).sum() == pytest.approx(np.pi * (35 * ratio) ** 2, rel=0.05)


def test_undo_and_redo(page: Any, pictures: dict[str, Path]) -> None:
    bring(page, pictures)
    assert page.locator("#undo").is_disabled()
    cut_out(page)
    whole = page.locator("#mask-said").inner_text()
    page.locator("#grow").fill("6")
    page.locator("#mask-said", has_text="of the picture").wait_for()
    playwright.expect(page.locator("#mask-said")).not_to_have_text(whole)
    page.locator("#undo").click()
    playwright.expect(page.locator("#grow")).to_have_value("0")
    page.locator("#undo").click()
    playwright.expect(page.locator("#box-0")).to_have_value("")
    page.locator("#redo").click()
    playwright.expect(page.locator("#box-0")).not_to_have_value("")
    page.locator("#mask-file").wait_for()


def test_moving_the_object_begins_anew(page: Any, served: Served, pictures: dict[str, Path]) -> None:
    known = set(served.runs.glob("*/run.json"))
    bring(page, pictures)
    cut_out(page)
    page.locator("#to-place").click()
    few_evaluations(page, 400)
    page.locator("#progress-said", has_text="pass,").wait_for(timeout=LONG)
    assert set(served.runs.glob("*/run.json")) - known
    page.locator("#canvas").press("ArrowRight")
    few_evaluations(page, 2)
    page.locator("#kept").wait_for(timeout=LONG)
    words = shlex.split(page.locator("#command").input_value())
    assert float(words[words.index("--y") + 1]) == number(page, "y")
    # Of the blend that was left off there is nothing; the new one may have its folder's name.
    kept = [json.loads(path.read_text()) for path in set(served.runs.glob("*/run.json")) - known]
    assert [run["options"]["first"]["num_steps"] for run in kept] == [2]
    assert kept[0]["options"]["placement"]["y"] == number(page, "y")


def test_a_reload_finds_the_blend_again(page: Any, pictures: dict[str, Path]) -> None:
    bring(page, pictures)
    cut_out(page)
    page.locator("#to-place").click()
    few_evaluations(page, 300)
    page.locator("#progress-said", has_text="pass,").wait_for(timeout=LONG)
    place = number(page, "x"), number(page, "y"), number(page, "ss")
    page.reload()
    page.locator("body[data-ready=yes]").wait_for()
    page.locator("#progress-said", has_text="pass,").wait_for(timeout=LONG)
    assert (number(page, "x"), number(page, "y"), number(page, "ss")) == place
    page.locator("#stop").click()
    page.locator("#progress-said", has_text="Stopped").wait_for(timeout=LONG)


def test_two_pages_blend_at_once(browser: Any, served: Served, pictures: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    pages = [opened_page(context, served) for _ in range(2)]
    for page in pages:
        bring(page, pictures)
        cut_out(page)
        page.locator("#to-place").click()
        few_evaluations(page, 20)
    commands = []
    for page in pages:
        page.locator("#kept").wait_for(timeout=LONG)
        commands.append(page.locator("#command").input_value())
        assert page.faults == []
    assert commands[0] == commands[1]
    context.close()


def test_the_keyboard_alone(page: Any, pictures: dict[str, Path]) -> None:
    bring(page, pictures)
    canvas = page.locator("#canvas")
    canvas.focus()
    page.keyboard.press("b")
    for key, times in (("ArrowUp", 45), ("ArrowLeft", 45)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    for key, times in (("Shift+ArrowDown", 9), ("Shift+ArrowRight", 9)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator("#mask-file").wait_for()
    assert [number(page, f"box-{side}") for side in range(4)] == pytest.approx([15, 35, 106, 126], abs=1)
    page.keyboard.press("3")
    page.locator("#x").wait_for()
    page.locator("#auto").focus()
    page.keyboard.press("Space")
    few_evaluations(page, 2)
    before = number(page, "y")
    canvas.focus()
    page.keyboard.press("Shift+ArrowRight")
    playwright.expect(page.locator("#y")).to_have_value(f"{before + 10:g}")
    page.keyboard.press("r")
    playwright.expect(page.locator("#rotate")).to_have_value("5")
    page.keyboard.press("Enter")
    page.locator("#kept").wait_for(timeout=LONG)
    page.keyboard.press("?")
    page.locator("#help").wait_for()
    page.keyboard.press("Escape")
    # Every control is reached by Tab, and none holds it.
    seen: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(
            str(page.locator(":focus").first.get_attribute("id") if page.locator(":focus").count() else None)
        )
    for wanted in ("undo", "canvas", "blend", "preset", "get-picture", "compare"):
        assert wanted in seen


def test_a_run_is_opened_again_with_its_settings(page: Any, pictures: dict[str, Path]) -> None:
    bring(page, pictures)
    cut_out(page)
    page.locator("#to-place").click()
    page.locator("#auto").uncheck()
    few_evaluations(page, 4)
    page.locator("#rotate").fill("20")
    page.locator("#rotate").press("Tab")
    page.locator("#blend").click()
    page.locator("#kept").wait_for(timeout=LONG)
    command = page.locator("#command").input_value()
    place = [number(page, name) for name in ("x", "y", "ss", "rotate")]
    page.locator("#open-runs").click()
    page.locator("#run-list button").first.click()
    page.locator("#status", has_text="is open").wait_for()
    assert page.locator("#command").input_value() == command
    assert [number(page, name) for name in ("x", "y", "ss", "rotate")] == place
    assert page.locator("#option-num_steps").input_value() == "4"


def test_a_damaged_file_is_one_line_and_the_page_goes_on(
    page: Any, pictures: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures["disc"].read_bytes()[:500])
    page.set_input_files("#source", broken)
    status = page.locator("#status.wrong")
    status.wait_for()
    assert "broken.png" in status.inner_text()
    bring(page, pictures)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_axe_finds_nothing(
    browser: Any, served: Served, pictures: dict[str, Path], scheme: str, size: tuple[int, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    viewport = {"width": size[0], "height": size[1]}
    # The checks come from outside the page, which its policy would refuse.
    context = browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=True)
    page = opened_page(context, served)
    found = [axe.Axe().run(page)]
    bring(page, pictures)
    cut_out(page) if size[0] > 1000 else page.locator("#box-0").fill("15")
    found.append(axe.Axe().run(page))
    if size[0] > 1000:
        page.locator("#to-place").click()
        page.locator("#x").wait_for()
        found.append(axe.Axe().run(page))
        page.locator("#open-help").click()
        found.append(axe.Axe().run(page))
    for one in found:
        assert one.violations_count == 0, one.generate_report()
    context.close()


def test_fingers_draw_and_two_of_them_zoom(browser: Any, served: Served, pictures: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 700}, has_touch=True)
    page = opened_page(context, served)
    bring(page, pictures)
    hand = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        hand.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    touch("Start", spot(page, 15, 35, (120, 160)))
    for place in ((60, 80), (105, 125)):
        touch("Move", spot(page, *place, (120, 160)))
    touch("End")
    page.locator("#mask-file").wait_for()
    assert [number(page, f"box-{side}") for side in range(4)] == pytest.approx([15, 35, 106, 126], abs=2)
    level = page.locator("#zoom-level").inner_text()
    touch("Start", (300, 300), (400, 300))
    for apart in (20, 60, 100):
        touch("Move", (300 - apart / 2, 300), (400 + apart / 2, 300))
    touch("End")
    playwright.expect(page.locator("#zoom-level")).not_to_have_text(level)
    grown = float(page.locator("#zoom-level").inner_text().split()[0]) / float(level.split()[0])
    assert grown == pytest.approx(2, rel=0.1)
    assert page.faults == []
    context.close()
