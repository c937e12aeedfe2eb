"""On a real Ray cluster: what is killed costs what was in flight and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deep_image_blending.batch.batch import Batch
from deep_image_blending.batch.blending import Limits
from deep_image_blending.batch.executor import Resources, Watch
from deep_image_blending.batch.manifest import check
from deep_image_blending.batch.progress import Tally
from deep_image_blending.batch.store import Store
from deep_image_blending.batch.task import Task, work
from tests.batch.made import tiny_rows, written

pytestmark = pytest.mark.cluster
ray = pytest.importorskip("ray")

# Ray's workers give way to all else on a machine; the tests are waited for.
os.environ.setdefault("RAY_worker_niceness", "0")
ROWS = int(os.environ.get("DIB_TEST_CLUSTER_ROWS", "60"))


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without room for tasks, and three nodes of one core."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def _manifest(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    return written(tmp_path / "m.jsonl", rows)


def _batch(manifest: Path, root: str, resources: Resources, watch: Watch | None = None) -> Tally:
    batch = Batch(check(str(manifest), pytest.fail), Store(root), resources=resources, annotated=True)
    return batch.run(watch or Watch(), lambda _: None)


def _command(manifest: Path, root: str, *more: str) -> list[str]:
    program = "from deep_image_blending.cli.app import main; main()"
    return [sys.executable, "-c", program, "batch", str(manifest), "--output-dir", root, "--plain", *more]


def _records(root: str) -> dict[str, dict[str, Any]]:
    store = Store(root)
    names = [name for name in store.names("records") if not name.endswith(".failed.json")]
    return {name.removesuffix(".json"): json.loads(store.read(f"records/{name}")) for name in names}


def _require_whole(manifest: Path, root: str, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Every picture is there once, whole, and is what one process alone makes of its row."""
    records, store = _records(root), Store(root)
    rows = list(check(str(manifest), pytest.fail).read())
    assert sorted(records) == sorted(row.id for row in rows)
    assert sorted(store.names("pictures")) == sorted(f"{row.id}.png" for row in rows)
    for row in rows:
        name = f"pictures/{row.id}.png"
        assert hashlib.sha256(store.read(name)).hexdigest() == records[row.id]["outputs"][name]
    for row in rows[:: max(1, len(rows) // 5)]:
        assert work(Task(row, str(tmp_path / "alone"), Limits(device="cpu"))).ending == "done"
        name = f"pictures/{row.id}.png"
        assert (tmp_path / "alone" / name).read_bytes() == store.read(name)
    assert len(json.loads(store.read("annotations.json"))["images"]) == len(rows)
    return records


def _once(condition: Any, patience: float = 240.0) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.2)


def test_a_killed_worker_and_a_lost_node_lose_nothing(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(3)]
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS))
    root = str(tmp_path / "out")
    killed: list[int] = []

    def harm() -> None:
        _once(lambda: len(_records(root)) >= ROWS // 6)
        victim = max(_records(root).values(), key=lambda record: record["seconds"])["pid"]
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        _once(lambda: len(_records(root)) >= ROWS // 3)
        cluster.remove_node(nodes[0], allow_graceful=False)

    harming = threading.Thread(target=harm)
    harming.start()
    tally = _batch(manifest, root, Resources(address=cluster.address))
    harming.join()
    assert killed
    assert (tally.done, tally.failed) == (ROWS, 0)
    records = _require_whole(manifest, root, tmp_path)
    assert {record["attempt"] for record in records.values()} <= {1, 2, 3}
    assert tally.repeated >= sum(record["attempt"] > 1 for record in records.values())


def _killed_and_started_again(manifest: Path, root: str, after: int) -> int:
    """Kill the driver once so many pictures are there, start it again; how many pictures there were between."""
    driver = subprocess.Popen(_command(manifest, root, "--workers", "1"), stderr=subprocess.DEVNULL)
    _once(lambda: len(_records(root)) >= after)
    driver.kill()
    driver.wait()
    # Its workers end with it.
    time.sleep(5)
    between = _records(root)
    done = subprocess.run(
        _command(manifest, root, "--workers", "1", "--annotations", "coco"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    afterwards = _records(root)
    assert all(afterwards[id] == record for id, record in between.items())
    return len(between)


def test_a_killed_driver_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS // 2))
    between = _killed_and_started_again(manifest, str(tmp_path / "out"), ROWS // 8)
    assert between < ROWS // 2
    _require_whole(manifest, str(tmp_path / "out"), tmp_path)


def test_an_object_store_is_as_good_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_module = pytest.importorskip("moto.server")
    boto = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    try:
        boto.client("s3").create_bucket(Bucket="pictures")
        manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS // 4))
        between = _killed_and_started_again(manifest, "s3://pictures/one", ROWS // 12)
        assert between < ROWS // 4
        _require_whole(manifest, "s3://pictures/one", tmp_path)
    finally:
        server.stop()


def test_quarters_of_a_gpu_share_it(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=8, num_gpus=1, object_store_memory=80 * 2**20)
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, 8, method="paste"))
    most = 0

    def look(tally: Tally) -> None:
        nonlocal most
        if ray.is_initialized():
            most = max(most, round(4 * (1 - ray.available_resources().get("GPU", 0.0))))

    tally = _batch(manifest, str(tmp_path / "out"), Resources(cluster.address, gpus=0.25), Watch(look))
    assert (tally.done, tally.failed) == (8, 0)
    assert most == 4


def test_a_row_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    rows = tiny_rows(tmp_path, 4)
    rows[1]["x"] = 900
    rows[2]["source_file"] = "bad.png"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    manifest = _manifest(tmp_path, rows)
    root = str(tmp_path / "out")
    command = _command(manifest, root, "--workers", "1", "--timeout", "300")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "2 pictures failed" in done.stderr
    table = (tmp_path / "out/failures.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in table] == ["id", "p1", "p2"]
    assert "no picture" in table[2]
    assert sorted(_records(root)) == ["p0", "p3"]
    assert "off the canvas" in (tmp_path / "out/summary.html").read_text()
    shown = subprocess.run(
        [*_command(manifest, root)[:4], "--status", root], capture_output=True, text=True, check=False
    )
    assert "2 of 4 done · 2 failed" in shown.stdout
    rows[1]["x"], rows[2]["source_file"] = 9, "source.png"
    _manifest(tmp_path, rows)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out/failures.csv").exists()
    assert not list((tmp_path / "out/records").glob("*.failed.json"))
