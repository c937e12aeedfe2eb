"""The studio answers its own page alone, bounds what is brought, and blends as the command line does."""

from __future__ import annotations

import io
import json
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra studio")
pytest.importorskip("httpx", reason="Starlette's test client needs httpx")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from deep_image_blending.cli.app import run_command
from deep_image_blending.studio import pages, server
from deep_image_blending.studio.declared import command_of
from deep_image_blending.studio.safety import Guard
from deep_image_blending.studio.server import Studio
from tests.conftest import Case

HERE = "http://127.0.0.1:8790"
OWN = {"origin": HERE}
PAGE = "0123456789abcdef"
LIVE = f"ws://127.0.0.1:8790/live/{PAGE}"


def client(runs: Path, token: str | None = None) -> TestClient:
    return TestClient(Guard(Studio(runs).app(), token), base_url=HERE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "runs"


@pytest.fixture(scope="module")
def page(runs: Path) -> Iterator[TestClient]:
    """One studio for all tests: its engine loads torch once. A page lets another go on after half a second."""
    studio = Studio(runs)
    studio.pages.turns.turn = 0.5
    with TestClient(Guard(studio.app()), base_url=HERE) as opened:
        yield opened


def brought(page: TestClient, path: Path) -> str:
    answer = page.post("/pictures", content=path.read_bytes(), headers={**OWN, "x-name": path.name})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def ids(page: TestClient, case: Case) -> dict[str, str]:
    return {name.removesuffix("_file"): brought(page, path) for name, path in case.files().items()}


def until(socket: Any, *kinds: str) -> dict[str, Any]:
    """What is told next of these kinds."""
    while True:
        told: dict[str, Any] = json.loads(socket.receive_text())
        if told["kind"] in kinds:
            return told


def say(socket: Any, **message: Any) -> None:
    socket.send_text(json.dumps(message))


def test_a_rebound_host_a_foreign_origin_and_a_missing_token_are_refused(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.get("/").status_code == 200
    assert page.get("/", headers={"host": "evil.example:8790"}).status_code == 403
    assert page.post("/pictures", content=b"x", headers={"origin": "http://evil.example"}).status_code == 403
    assert page.post("/pictures", content=b"x").status_code == 403
    with pytest.raises(WebSocketDisconnect), page.websocket_connect(LIVE, headers={"origin": "http://evil"}):
        pass
    guarded = client(tmp_path, "secret")
    assert guarded.get("/").status_code == 403
    assert guarded.get("/?token=other").status_code == 403
    assert guarded.get("/?token=secret").status_code == 200
    assert "default-src 'none'" in page.get("/").headers["content-security-policy"]


def test_a_damaged_picture_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    page = client(tmp_path)
    whole = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(whole, "PNG")
    for data in (b"\x89PNG\r\n\x1a\nbroken", whole.getvalue()[:60], b""):
        answer = page.post("/pictures", content=data, headers={**OWN, "x-name": "../cat.png"})
        assert answer.status_code == 400
        assert "cat.png" in answer.json()["message"]
        assert "\n" not in answer.json()["message"]
        assert str(tmp_path) not in answer.json()["message"]
        assert list((tmp_path / ".studio").iterdir()) == []
    assert stat.S_IMODE((tmp_path / ".studio").stat().st_mode) == 0o700


def test_uploads_are_bounded_in_bytes_and_in_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = client(tmp_path)
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answer = page.post("/pictures", content=bomb.getvalue(), headers={**OWN, "x-name": "bomb.png"})
    assert answer.status_code == 400
    assert "bomb.png" in answer.json()["message"]
    monkeypatch.setattr(server, "MAX_BYTES", 1000)
    answer = page.post("/pictures", content=b"0" * 1001, headers={**OWN, "x-name": "long.png"})
    assert answer.status_code == 400
    assert "long.png" in answer.json()["message"]
    assert list((tmp_path / ".studio").iterdir()) == []


@pytest.mark.parametrize("key", ["../../etc/passwd", "x" * 24, "%2e%2e%2fetc", "0" * 24, ".studio"])
def test_files_are_reached_by_ids_alone(page: TestClient, key: str) -> None:
    assert page.get(f"/pictures/{key}").status_code in (400, 404)
    assert page.get(f"/runs/{key}/second").status_code in (400, 404)
    assert page.get(f"/runs/{key}/frames/run.json").status_code in (400, 404)
    assert page.get(f"/page/{key}").status_code == 404
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        say(socket, kind="blend", source=key, mask=key, target=key)
        assert "not in the studio" in until(socket, "failed")["message"]


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "{}",
        '{"kind": "blend"}',
        '{"kind": "again", "run": "../x"}',
        "[" * 100_000,
        '{"kind": "blend", "source": {}, "target": 3}',
    ],
)
def test_nonsense_is_one_line_and_the_socket_lives(page: TestClient, message: str) -> None:
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        socket.send_text(message)
        told = until(socket, "failed")
        assert "\n" not in told["message"]
        say(socket, kind="stop")
        socket.send_text("x")
        assert until(socket, "failed")["message"] == "the message is no JSON"


def test_a_page_sets_what_is_offered_and_no_paths(page: TestClient, case: Case) -> None:
    pictures = ids(page, case)
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        for name, value in {"weights": "/etc/passwd", "init": "/etc/passwd", "output_dir": "/tmp/x"}.items():
            say(socket, kind="blend", **pictures, options={name: value})
            assert name in until(socket, "failed")["message"]
        say(socket, kind="blend", **pictures, preset="/etc/passwd.toml")
        assert "preset" in until(socket, "failed")["message"]
        say(socket, kind="blend", **pictures, options={"num_steps": -1})
        assert "--num-steps" in until(socket, "failed")["message"]
        say(socket, kind="blend", **pictures, place={"x": "nowhere"})
        assert "--x" in until(socket, "failed")["message"]


def test_a_blend_equals_the_command_that_is_shown(
    page: TestClient, case: Case, runs: Path, tmp_path: Path
) -> None:
    pictures = ids(page, case)
    with page.websocket_connect(f"{LIVE}01", headers=OWN) as socket:
        place = {"x": 20, "y": 30, "rotate": 12, "flip": True}
        say(socket, kind="blend", **pictures, place=place, options={"num_steps": 3, "style_weight": "0.1,1"})
        began = until(socket, "began", "failed")
        assert began["kind"] == "began", began
        told = until(socket, "done", "failed")
        assert told["kind"] == "done", told
    downloaded = page.get(f"/runs/{told['run']}/second").content
    opened = page.get(f"/runs/{told['run']}").json()
    words = shlex.split(began["command"])
    assert run_command([*words[1:], "--output-dir", str(tmp_path / "again"), "--quiet"]) == 0
    assert (tmp_path / "again" / "second_pass.png").read_bytes() == downloaded
    assert json.loads((runs / told["run"] / "run.json").read_text())["command"] == words
    assert opened["pictures"]["source"]["id"] == pictures["source"]
    assert {name: opened["place"][name] for name in place} == place
    assert opened["options"] == {"num_steps": 3, "style_weight": "0.1,1"}


def test_a_reload_finds_its_blend_and_a_page_that_stays_away_ends_it(
    page: TestClient, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "GRACE", 0.5)
    pictures = ids(page, case)
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        say(socket, kind="blend", **pictures, options={"num_steps": 2000})
        run = until(socket, "began")["run"]
        until(socket, "evaluation")
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        assert until(socket, "began")["run"] == run
        until(socket, "evaluation")
    with page.websocket_connect(f"{LIVE}00", headers=OWN) as other:
        # The engine is free once the first page has stayed away.
        say(other, kind="blend", **pictures, options={"num_steps": 2})
        assert until(other, "done", "failed")["kind"] == "done"
    with page.websocket_connect(LIVE, headers=OWN) as socket:
        assert until(socket, "stopped")["run"] == run


def test_a_blend_that_another_takes_the_place_of_leaves_nothing(page: TestClient, case: Case, runs: Path) -> None:
    pictures = ids(page, case)
    with page.websocket_connect(f"{LIVE}02", headers=OWN) as socket:
        say(socket, kind="blend", **pictures, options={"num_steps": 2000})
        first = until(socket, "began")["run"]
        until(socket, "evaluation")
        say(socket, kind="blend", **pictures, options={"num_steps": 2})
        second = until(socket, "began")["run"]
        assert until(socket, "done", "failed") == {"kind": "done", "run": second}
    assert (runs / second / "second_pass.png").is_file()
    assert first == second or not (runs / first).exists()


def test_two_pages_take_turns_and_both_get_what_one_alone_gets(page: TestClient, case: Case, runs: Path) -> None:
    pictures = ids(page, case)
    blends = {"options": {"num_steps": 150, "tolerance": 0}}
    with (
        page.websocket_connect(f"{LIVE}03", headers=OWN) as one,
        page.websocket_connect(f"{LIVE}04", headers=OWN) as two,
    ):
        say(one, kind="blend", **pictures, **blends)
        say(two, kind="blend", **pictures, **blends)
        names = [until(socket, "began")["run"] for socket in (one, two)]
        assert names[0] != names[1]
        # The first one waits for the second before it is done.
        assert until(one, "waiting", "done", "failed") == {"kind": "waiting", "before": 0, "run": names[0]}
        assert until(one, "waiting", "done", "failed")["kind"] == "waiting"
        assert [until(socket, "done", "failed")["kind"] for socket in (one, two)] == ["done", "done"]
    results = [(runs / name / "second_pass.png").read_bytes() for name in names]
    assert results[0] == results[1]


def test_the_second_pass_again_and_what_can_be_kept(page: TestClient, case: Case, runs: Path) -> None:
    pictures = ids(page, case)
    with page.websocket_connect(f"{LIVE}05", headers=OWN) as socket:
        say(socket, kind="blend", **pictures, options={"num_steps": 3})
        run = until(socket, "began")["run"]
        assert until(socket, "done", "failed")["kind"] == "done"
        first, second = ((runs / run / f"{name}_pass.png").read_bytes() for name in ("first", "second"))
        say(socket, kind="again", run=run, options={"num_steps": 5, "content_weight": 0.5})
        assert until(socket, "began")["run"] == run
        assert until(socket, "done", "failed")["kind"] == "done"
        say(socket, kind="again", run=run, options={"init": "noise"})
        assert "init" in until(socket, "failed")["message"]
    assert (runs / run / "first_pass.png").read_bytes() == first
    assert (runs / run / "second_pass.png").read_bytes() != second
    for which, begins in {"video": b"ftyp", "report": b"<!DOCTYPE", "mask": b"PNG", "paste": b"PNG"}.items():
        answer = page.get(f"/runs/{run}/{which}?download")
        assert answer.status_code == 200, answer.text
        assert begins.lower() in answer.content[:20].lower()
        assert "attachment" in answer.headers["content-disposition"]
    assert page.get(f"/runs/{run}/thumbnail").content[:2] == b"\xff\xd8"
    assert run in [one["name"] for one in page.get("/runs").json()]


def test_poisson_at_once_is_poissons(page: TestClient, case: Case) -> None:
    """Where nothing had to be reduced, it is the equation's solution on the same scene."""
    from deep_image_blending.passes import poisson_start
    from deep_image_blending.pictures import load_mask, load_picture
    from deep_image_blending.pictures.placement import Placement
    from deep_image_blending.pictures.scene import compose_scene

    pictures, files = ids(page, case), case.files()
    place = {"x": 22, "y": 31, "rotate": 30}
    answer = page.post("/poisson", content=json.dumps({**pictures, "place": place}), headers=OWN)
    assert answer.status_code == 200, answer.text
    shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(float)
    source, target = (load_picture(files[f"{name}_file"]) for name in ("source", "target"))
    scene = compose_scene(source, load_mask(files["mask_file"]), target, Placement(x=22, y=31, rotate=30))
    window = scene.window(2)
    assert [int(answer.headers[f"x-{side}"]) for side in ("top", "left")] == [window.top, window.left]
    exact = window.target + window.mask[..., None] * (poisson_start(window) - window.target)
    assert np.abs(shown - exact).mean() < 1


def test_a_mask_by_box_lasso_and_brush(page: TestClient, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:120, :160]
    disc = np.hypot(rows - 60, columns - 80) < 35
    rng = np.random.default_rng(0)
    picture = np.where(disc[..., None], (220, 60, 50), (60, 120, 60)) + rng.integers(-9, 10, (120, 160, 3))
    path = tmp_path / "disc.png"
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
    source = brought(page, path)

    def mask(**sketch: Any) -> np.ndarray:
        asked = {"source": source, "page": "m", "serial": 1, **sketch}
        answer = page.post("/masks", content=json.dumps(asked), headers=OWN)
        assert answer.status_code == 200, answer.text
        data = answer.content
        if not sketch.get("at_once"):
            data = page.get(f"/pictures/{answer.json()['id']}").content
        return np.asarray(Image.open(io.BytesIO(data)).convert("L"))

    def overlap(one: np.ndarray, other: np.ndarray) -> float:
        return float((one & other).sum() / (one | other).sum())

    box = [15, 35, 105, 125]
    for at_once in (True, False):
        assert overlap(mask(box=box, at_once=at_once) > 127, disc) > 0.97
    square = {"tool": "lasso", "thing": "object", "points": [[20, 20], [20, 60], [50, 60], [50, 20]]}
    drawn = mask(marks=[square]) > 127
    assert overlap(drawn, (rows >= 20) & (rows <= 50) & (columns >= 20) & (columns <= 60)) > 0.95
    hole = {"tool": "brush", "thing": "background", "radius": 6, "points": [[35, 40]]}
    assert drawn.sum() - (mask(marks=[square, hole]) > 127).sum() == pytest.approx(np.pi * 36, rel=0.15)
    assert (mask(box=box, grow=4) > 127).sum() == pytest.approx(np.pi * 39**2, rel=0.03)
    for wrong in (
        {"marks": [{"tool": "brush"}]},
        {"marks": "x"},
        {"box": [1, 2, 3]},
        {"box": box, "grow": 1e9},
        {},
    ):
        answer = page.post("/masks", content=json.dumps({"source": source, "at_once": True, **wrong}), headers=OWN)
        assert answer.status_code == 400
        assert "\n" not in answer.json()["message"]


def test_paths_follow_edges_and_stay_in_the_picture(page: TestClient, tmp_path: Path) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:, 40:] = 200
    path = tmp_path / "edge.png"
    Image.fromarray(picture).save(path)
    source = brought(page, path)

    def asked(seed: Any, to: Any) -> Any:
        body = json.dumps({"source": source, "seed": seed, "to": to})
        return page.post("/paths", content=body, headers=OWN)

    found = asked([5, 39], [55, 40]).json()["points"]
    assert found[0] == [5, 39]
    assert found[-1] == [55, 40]
    assert all(38 <= column <= 41 for _, column in found)
    assert asked([5, 39], [500, 0]).status_code == 400
    assert asked("x", [5, 5]).status_code == 400


def test_a_command_keeps_every_digit_and_what_is_switched_off() -> None:
    given = {"rotate": 12.3456789, "x": 20.0, "flip": True, "smoothing": False, "style_weight": 0.1}
    words = "blend run --rotate 12.3456789 --x 20 --flip --no-smoothing --style-weight 0.1"
    assert command_of(given) == tuple(words.split())


def test_the_page_asks_nobody_else_for_anything() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in server.PAGE.iterdir())
    # The name of SVG's language is no address that is fetched.
    assert set(re.findall(r"https?://[\w.]+", text)) == {"http://www.w3.org"}
