"""The studio answers its own page alone, bounds what is brought, and blends as the command line does."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra studio")
pytest.importorskip("httpx", reason="Starlette's test client needs httpx")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from deep_image_blending.cli.app import run_command
from deep_image_blending.studio.safety import Guard
from deep_image_blending.studio.server import Studio
from tests.conftest import Case

HERE = "http://127.0.0.1:8790"
OWN = {"origin": HERE}


def client(runs: Path, token: str | None = None) -> TestClient:
    return TestClient(Guard(Studio(runs).app(), token), base_url=HERE)


def brought(page: TestClient, path: Path) -> str:
    answer = page.post("/pictures", content=path.read_bytes(), headers={**OWN, "x-name": path.name})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_rebound_host_a_foreign_origin_and_a_missing_token_are_refused(tmp_path: Path) -> None:
    page = client(tmp_path)
    assert page.get("/").status_code == 200
    assert page.get("/", headers={"host": "evil.example:8790"}).status_code == 403
    assert page.post("/pictures", content=b"x", headers={"origin": "http://evil.example"}).status_code == 403
    assert page.post("/pictures", content=b"x").status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        page.websocket_connect("ws://127.0.0.1:8790/blend", headers={"origin": "http://evil"}),
    ):
        pass
    guarded = client(tmp_path, "secret")
    assert guarded.get("/").status_code == 403
    assert guarded.get("/?token=other").status_code == 403
    assert guarded.get("/?token=secret").status_code == 200


def test_a_damaged_picture_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    page = client(tmp_path)
    answer = page.post("/pictures", content=b"\x89PNG\r\n\x1a\nbroken", headers={**OWN, "x-name": "../cat.png"})
    assert answer.status_code == 400
    assert "cat.png" in answer.json()["message"]
    assert str(tmp_path) not in answer.json()["message"]
    assert list((tmp_path / ".studio").iterdir()) == []
    assert stat.S_IMODE((tmp_path / ".studio").stat().st_mode) == 0o700


def test_a_blend_equals_the_command_that_is_shown(case: Case, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with client(runs) as page:
        ids = {name.removesuffix("_file"): brought(page, path) for name, path in case.files().items()}
        with page.websocket_connect("ws://127.0.0.1:8790/blend", headers=OWN) as socket:
            socket.send_json({**ids, "x": 20, "y": 30, "num_steps": 3})
            told = socket.receive_json()
            while told["kind"] not in ("done", "failed"):
                told = socket.receive_json()
        assert told["kind"] == "done", told
        downloaded = page.get(f"/runs/{told['run']}/picture").content
    words = shlex.split(told["command"])
    assert run_command([*words[1:], "--output-dir", str(tmp_path / "again"), "--quiet"]) == 0
    assert (tmp_path / "again" / "second_pass.png").read_bytes() == downloaded
