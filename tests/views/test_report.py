"""The report is one valid page that holds all it shows."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from deep_image_blending.api import poisson_blend
from deep_image_blending.errors import InputError
from deep_image_blending.pictures import write_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.execution import begin_run, prepare
from deep_image_blending.runs.job import new_job
from deep_image_blending.views.curves import curves_svg
from deep_image_blending.views.report import boundary_box, palette, write_report
from deep_image_blending.views.report.html import element
from tests.conftest import Case, smooth_picture

VOID = {"meta", "input", "br", "img", "link", "hr"}
PICTURES = ("composite.png", "first_pass.png", "second_pass.png")


class Page(HTMLParser):
    """Checks that elements close in order, and keeps what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.used: list[str] = []
        self.fetched: list[str] = []
        self.policy = ""
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag == "image":
            self.ids.append(found["id"] or "")
        link = found.get("href") or found.get("src")
        if link and link.startswith("#") and tag == "use":
            self.used.append(link[1:])
        elif link and not link.startswith("#"):
            self.fetched.append(link)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def made_run(path: Path, pictures: list[np.ndarray], **manifest: object) -> RunDirectory:
    """A run directory as a finished run leaves it, without its inputs."""
    height, width = pictures[0].shape[:2]
    with RunDirectory.create(path) as run:
        run.update(
            placement={"region": [8, 10, 30, 40], "canvas": [height, width]},
            options={"preset": "natural", "first": {"weights": {"style": 1.0}}},
            passes={"first_pass": {"status": "done", "evaluations": 8, "seconds": 2.0}},
            command=["blend", "run"],
            **manifest,
        )
        for name, pixels in zip(PICTURES, pictures, strict=True):
            write_picture(run.path / name, pixels)
        rows = [{"evaluation": i, "seconds": i / 4, "total": 2.0 / i, "style": 1.0 / i} for i in range(1, 9)]
        run.write_losses("first_pass", rows)
    return RunDirectory.open(path, write=False)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Three pictures that differ in the region alone."""
    found = [smooth_picture(3, 48, 56) for _ in PICTURES]
    for seed, picture in enumerate(found, 4):
        picture[8:30, 10:40] = smooth_picture(seed, 22, 30)
    return found


def embedded_pictures(text: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_page_closes_every_element_and_holds_each_picture_once(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write_report([made_run(tmp_path / "run", pictures)], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    shown = embedded_pictures(text)
    assert len(shown) == len(page.ids) == 3
    assert all((a == b).all() for a, b in zip(shown, pictures, strict=True))


def test_each_picture_is_used_in_the_wipe_and_every_zoom(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write_report([made_run(tmp_path / "run", pictures)], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    # Wipe, whole, object, boundary.
    assert [page.used.count(identifier) for identifier in page.ids] == [4, 4, 4]
    assert all(f'id="{identifier}"' in text for identifier in page.used)


def test_page_fetches_nothing(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write_report([made_run(tmp_path / "run", pictures)], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?:", text)
    policy = dict(part.split(maxsplit=1) for part in Page(text).policy.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'sha256-{_digest(_script(text))}'"
    assert all(link.startswith("data:") for link in Page(text).fetched)


def test_text_of_a_run_is_escaped(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    bad = "<script>alert(1)</script>"
    run = made_run(
        tmp_path / "a<b>",
        pictures,
        decisions=[bad],
        device={"name": bad, bad: bad},
    )
    # What is refused when a run is opened is escaped all the same.
    run.manifest["metrics"] = {bad: {bad: 1.0}, "paste": {"seam": 1.0, bad: bad}}
    run.manifest["inputs"] = {bad: bad}
    run.manifest["options"] = {"preset": bad, bad: bad}
    run.manifest["passes"] = {bad: {"status": bad, "ended": bad}}
    run.manifest["command"] = [bad]
    run.manifest["backbone"] = {bad: {"name": bad}}
    run.losses_path("first_pass").write_text(f"evaluation,total,{bad},$\\frac$\n1,2.0,1.0,3.0\n2,1.0,0.5,2.0\n")
    write_report([run], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("<script>") == text.count("alert(1)</script>") + 1 == 1
    assert "a<b>" not in text
    assert "a<b>" in Page(text).words
    assert Page(text).words.count(bad) > 15


def test_an_element_escapes_its_text_and_attributes_and_no_element_in_it() -> None:
    assert element("td", '<"&>', title='a"b<') == '<td title="a&quot;b&lt;">&lt;&quot;&amp;&gt;</td>'
    assert element("p", ["<", element("b", ">")]) == "<p>&lt;<b>&gt;</b></p>"
    assert element("input", checked=True, disabled=False, aria_label="x", class_=None) == (
        '<input checked aria-label="x">'
    )


def test_measures_timings_and_options_are_shown(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    metrics = {"paste": {"seam": 3.25}, "second_pass": {"seam": 1.125}}
    write_report([made_run(tmp_path / "run", pictures, metrics=metrics)], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    row = re.search(r'<th scope="row" title="[^"]*">seam</th>(.*?)</tr>', text)
    assert row
    assert row[1] == '<td>3.25</td><td class="best">1.125</td><td>near 1</td>'
    assert "<td>8</td><td>2</td><td>250 ms</td>" in text
    assert '<th scope="row">first.weights.style</th><td>1</td>' in text


def test_options_in_which_runs_differ_are_marked(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    runs = [made_run(tmp_path / name, pictures) for name in "ab"]
    runs[1].manifest["options"] = {"preset": "natural", "first": {"weights": {"style": 2.0}}}
    write_report(runs, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert re.findall(r'<tr class="differs"><th scope="row">([^<]*)', text) == ["first.weights.style"]
    assert len(embedded_pictures(text)) == 6


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    runs = [made_run(tmp_path / name / "run", pictures) for name in "ab"]
    write_report(runs, tmp_path / "report.html")
    assert "<h1>a/run</h1>" in (tmp_path / "report.html").read_text()


def test_poisson_is_recomputed_from_the_inputs(case: Case, tmp_path: Path) -> None:
    placement = Placement(x=20, y=30)
    ready = prepare(new_job({**case.files(), "x": 20, "y": 30, "backbone": "random"}))
    with RunDirectory.create(tmp_path / "run") as run:
        begin_run(run, ready)
        write_report([run], tmp_path / "report.html")
    shown = embedded_pictures((tmp_path / "report.html").read_text())
    assert len(shown) == 2
    assert (shown[1] == poisson_blend(case.source, case.mask, case.target, placement=placement)).all()


def test_poisson_is_left_out_with_a_note_where_an_input_is_gone(case: Case, tmp_path: Path) -> None:
    ready = prepare(new_job({**case.files(), "backbone": "random"}))
    with RunDirectory.create(tmp_path / "run") as run:
        begin_run(run, ready)
        case.source.unlink()
        write_report([run], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert len(embedded_pictures(text)) == 1
    assert "Poisson is left out" in text
    assert "source.png" in text


def test_pictures_of_sixteen_bits_are_shown_in_eight(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    deep = [picture.astype(np.uint16) * 257 for picture in pictures]
    write_report([made_run(tmp_path / "run", deep)], tmp_path / "report.html")
    shown = embedded_pictures((tmp_path / "report.html").read_text())
    assert all((a == b).all() for a, b in zip(shown, pictures, strict=True))


def test_nothing_to_report_and_nowhere_to_write_are_errors(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="nothing to report"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(InputError, match="missing' does not exist"):
        write_report([made_run(tmp_path / "run", pictures)], tmp_path / "missing" / "report.html")


def test_palette_holds_colours_by_their_share_of_the_area() -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[:, :12], picture[:, 12:] = (200, 40, 30), (20, 60, 180)
    where = np.zeros((10, 20), bool)
    where[:, 4:14] = True
    assert palette(picture, where) == [(0.8, (200, 40, 30)), (0.2, (20, 60, 180))]
    assert palette(picture, where & (picture[..., 0] > 100)) == [(1.0, (200, 40, 30))]
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    found = palette(noise, np.ones((300, 300), bool))
    assert len(found) == 7
    assert sum(share for share, _ in found) == pytest.approx(1)


def test_the_best_of_each_measure_is_marked_and_ties_are_not(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    metrics = {
        "first_pass": {"seam": 0.5, "colour_bleed": 3.0, "background_difference": 0.0, "contrast_kept": 0.9},
        "second_pass": {"seam": 1.5, "colour_bleed": 2.0, "background_difference": 0.0, "contrast_kept": 1.2},
    }
    write_report([made_run(tmp_path / "run", pictures, metrics=metrics)], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    rows = {m[1]: m[2] for m in re.finditer(r"<th scope=\"row\" title=\"[^\"]*\">([^<]*)</th>(.*?)</tr>", text)}
    # 1.5 is nearer to 1 than 0.5 is: half as much is as far as twice.
    assert rows["seam"] == '<td>0.5</td><td class="best">1.5</td><td>near 1</td>'
    assert rows["colour bleed"] == '<td>3</td><td class="best">2</td><td>lower</td>'
    assert rows["background difference"] == "<td>0</td><td>0</td><td>lower</td>"
    assert rows["contrast kept"] == '<td class="best">0.9</td><td>1.2</td><td>near 1</td>'


def test_boundary_box_lies_where_the_edge_is_strongest() -> None:
    paste = np.full((200, 300, 3), 100, np.uint8)
    inside = np.zeros((200, 300), bool)
    inside[60:140, 90:210] = True
    paste[60:140, 150:210] = 104
    paste[95:105, 200:210] = 250
    top, left, bottom, right = boundary_box(paste, inside)
    assert (bottom - top, right - left) == (39, 39)
    assert top <= 95
    assert bottom >= 105
    assert left <= 209 < right


def test_boundary_box_stays_on_the_canvas() -> None:
    inside = np.zeros((20, 50), bool)
    inside[:5, :5] = True
    paste = np.zeros((20, 50, 3), np.uint8)
    paste[:5, :5] = 200
    assert boundary_box(paste, inside) == (0, 0, 20, 32)


def test_loss_curves_are_one_svg_element_with_a_line_for_each_term() -> None:
    rows = [{"evaluation": i, "seconds": 0.0, "total": 3.0 / i, "style": 1.0 / i, "tv": 0.0} for i in range(1, 5)]
    svg = curves_svg([("first_pass", rows), ("second_pass", rows)])
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    assert root.tag == "svg"
    assert root.get("viewBox")
    assert root.get("width") is None
    words = [element.text for element in root.iter("text")]
    assert words.count("total") == words.count("style") == 1
    assert words.count("tv") == 0
    assert {"first pass", "second pass"} <= set(words)


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("no Chromium: apt-get install chromium")


def _screenshot(page: Path, folder: Path, width: int = 1000, height: int = 700) -> np.ndarray:
    """(height, width, 3) uint8, as Chromium shows the page."""
    picture = folder / f"{page.stem}.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    profile = f"--user-data-dir={folder / 'profile'}"
    subprocess.run(
        [
            _chromium(),
            *flags,
            profile,
            f"--window-size={width},{height}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return np.asarray(Image.open(picture).convert("RGB"))


def _script(text: str) -> str:
    found = re.search(r"<script>(.*)</script>", text, flags=re.DOTALL)
    assert found
    return found[1]


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _with_script(text: str, more: str) -> str:
    """The page with more at the end of its script, which its policy allows."""
    script = _script(text)
    return text.replace(script, script + more).replace(_digest(script), _digest(script + more))


def _largest(shown: np.ndarray, colour: tuple[int, int, int]) -> tuple[slice, slice]:
    labels, count = ndimage.label((shown == colour).all(-1))
    assert count
    sizes = ndimage.sum_labels(labels > 0, labels, np.arange(1, count + 1))
    return ndimage.find_objects(labels)[int(np.argmax(sizes))]


@pytest.mark.browser
def test_slider_wipes_between_paste_and_result(tmp_path: Path) -> None:
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    flat = [np.full((48, 56, 3), colour, np.uint8) for colour in (red, green, blue)]
    run = made_run(tmp_path / "run", flat)
    run.manifest["placement"]["region"] = [8, 14, 30, 28]
    page = tmp_path / "report.html"
    write_report([run], page)
    first = _screenshot(page, tmp_path)
    paste, result = _largest(first, red)[1], _largest(first, blue)[1]
    share = (paste.stop - paste.start) / (result.stop - paste.start)
    assert share == pytest.approx(21 / 56, abs=0.01)

    moved = tmp_path / "moved.html"
    move = "const s = document.querySelector('.wipe input'); s.value = 80; s.dispatchEvent(new Event('input'));"
    choose = "document.querySelector('.c1').click();"
    moved.write_text(_with_script(page.read_text(), move + choose))
    second = _screenshot(moved, tmp_path)
    paste, result = _largest(second, red)[1], _largest(second, green)[1]
    share = (paste.stop - paste.start) / (result.stop - paste.start)
    assert share == pytest.approx(0.8, abs=0.01)


@pytest.mark.browser
def test_no_other_script_runs(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report([made_run(tmp_path / "run", [np.zeros((48, 56, 3), np.uint8)] * 3)], page)
    text, turn = page.read_text(), "document.documentElement.style.background = '#ff0000'; document.body.remove();"
    added = text.replace("</body>", f'<script>{turn}</script><img src=x onerror="{turn}"></body>')
    page.write_text(added)
    assert not (_screenshot(page, tmp_path) == (255, 0, 0)).all(-1).any()
    page.write_text(_with_script(text, turn))
    assert (_screenshot(page, tmp_path) == (255, 0, 0)).all()


@pytest.mark.browser
def test_page_shows_pictures_without_script(tmp_path: Path) -> None:
    flat = [np.full((48, 56, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    page = tmp_path / "report.html"
    write_report([made_run(tmp_path / "run", flat)], page)
    page.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL))
    shown = _screenshot(page, tmp_path)
    for colour in ((255, 0, 0), (0, 0, 255)):
        rows, _ = _largest(shown, colour)
        assert rows.stop - rows.start > 300


@pytest.mark.browser
def test_buttons_bring_the_object_and_its_boundary_into_the_wipe(tmp_path: Path) -> None:
    # The object is red in the paste and green in the result, on blue.
    pictures = [np.full((96, 112, 3), (0, 0, 255), np.uint8) for _ in PICTURES]
    for picture, colour in zip(pictures, ((255, 0, 0), (0, 255, 0), (0, 255, 0)), strict=True):
        picture[8:30, 10:40] = colour
    page = tmp_path / "report.html"
    write_report([made_run(tmp_path / "run", pictures)], page)
    shares = []
    for index in range(3):
        moved = tmp_path / f"view{index}.html"
        script = f"document.querySelectorAll('.views button')[{index}].click();"
        moved.write_text(_with_script(page.read_text(), script))
        shown = _screenshot(moved, tmp_path)[:600]
        inside = (shown == (255, 0, 0)).all(-1).sum() + (shown == (0, 255, 0)).all(-1).sum()
        shares.append(inside / (inside + (shown == (0, 0, 255)).all(-1).sum()))
    assert shares[0] < 0.12
    assert shares[1] > 3 * shares[0]
    # The boundary's square has its middle on the edge.
    assert 0.2 < shares[2] < 0.8


@pytest.mark.browser
def test_runs_stand_side_by_side_and_below_each_other_on_a_narrow_page(tmp_path: Path) -> None:
    names, flat = "ab", {}
    for name, colour in zip(names, ((255, 0, 0), (0, 255, 0)), strict=True):
        flat[name] = made_run(tmp_path / name, [np.full((48, 56, 3), colour, np.uint8)] * 3)
    page = tmp_path / "report.html"
    write_report(list(flat.values()), page)
    wide = _screenshot(page, tmp_path, 1400)
    red, green = _largest(wide, (255, 0, 0)), _largest(wide, (0, 255, 0))
    assert red[1].stop < green[1].start
    assert red[0].start == green[0].start
    narrow = _screenshot(page, tmp_path, 620, 3000)
    red, green = _largest(narrow, (255, 0, 0)), _largest(narrow, (0, 255, 0))
    assert red[0].stop < green[0].start
    assert red[1].start == green[1].start
