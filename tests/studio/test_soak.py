"""Two hundred blends, a thousand quick requests: the studio's memory stays where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra studio")
pytest.importorskip("httpx", reason="Starlette's test client needs httpx")

from starlette.testclient import TestClient

from deep_image_blending.studio.safety import Guard
from deep_image_blending.studio.server import Studio
from tests.conftest import Case
from tests.studio.test_server import HERE, LIVE, OWN, ids, say, until

pytestmark = pytest.mark.slow
BLENDS, REQUESTS = 200, 1000


def resident(process: int | str) -> int:
    """Bytes that a process holds, as Linux counts them."""
    fields = Path(f"/proc/{process}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def test_two_hundred_blends_take_no_more_memory_than_twenty(case: Case, tmp_path: Path) -> None:
    studio = Studio(tmp_path / "runs")
    with TestClient(Guard(studio.app()), base_url=HERE) as page:
        pictures = ids(page, case)
        held: list[Callable[[], int]] = [
            lambda: resident("self"),
            lambda: resident(studio.pages.turns.process or "self"),
        ]
        early: list[int] = []
        for number in range(BLENDS):
            with page.websocket_connect(f"{LIVE}{number:04x}", headers=OWN) as socket:
                place = {"x": 15 + number % 11, "y": 20 + number % 17, "rotate": number % 30}
                say(socket, kind="blend", **pictures, place=place, options={"num_steps": 2})
                run = until(socket, "began")["run"]
                assert until(socket, "done", "failed") == {"kind": "done", "run": run}
            if number == 20:
                early = [of() for of in held]
        late = [of() for of in held]
    print(
        f"server {early[0] / 2**20:.0f} to {late[0] / 2**20:.0f} MiB, engine {early[1] / 2**20:.0f} to "
        f"{late[1] / 2**20:.0f} MiB"
    )
    assert late[0] < 1.15 * early[0]
    assert late[1] < 1.15 * early[1]


def test_a_thousand_quick_requests_are_all_answered(case: Case, tmp_path: Path) -> None:
    with TestClient(Guard(Studio(tmp_path / "runs").app()), base_url=HERE) as page:
        source = ids(page, case)["source"]
        box = [8, 8, 40, 40]

        def asked(number: int) -> int:
            sketch = {"source": source, "box": box, "page": "a", "serial": number, "at_once": number % 10 > 0}
            return page.post("/masks", content=json.dumps(sketch), headers=OWN).status_code

        before = resident("self")
        with ThreadPoolExecutor(16) as hands:
            assert set(hands.map(asked, range(REQUESTS))) == {200}
        assert page.get("/runs").status_code == 200
        assert resident("self") < 1.5 * before
