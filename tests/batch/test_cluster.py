"""On a real Ray cluster: what is killed costs what was in flight and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deep_image_blending.batch.batch import Batch
from deep_image_blending.batch.executor import Resources, Watch
from deep_image_blending.batch.manifest import check
from deep_image_blending.batch.progress import Tally
from deep_image_blending.batch.store import Store
from deep_image_blending.cli.app import run_command
from tests.batch.made import run_words, tiny_rows, written

pytestmark = pytest.mark.cluster
ray = pytest.importorskip("ray")

# Ray's workers give way to all else on a machine; the tests are waited for.
os.environ.setdefault("RAY_worker_niceness", "0")
ROWS = int(os.environ.get("DIB_TEST_CLUSTER_ROWS", "24"))
# Few rows take longer each, so that there is time to kill.
STEPS = max(2, 384 // ROWS)


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    """Where the workers of the cluster look for an object store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        yield port


@pytest.fixture(scope="module")
def cluster(s3_port: int) -> Iterator[Any]:
    """A head without room for tasks, and three nodes of one core."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(3):
            _add_node(made, num_cpus=1)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def _add_node(cluster: Any, **resources: Any) -> Any:
    return cluster.add_node(object_store_memory=80 * 2**20, **resources)


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
    """Every picture is there once, whole, and is what `blend run` makes of its row, bit for bit."""
    records, store = _records(root), Store(root)
    rows = list(check(str(manifest), pytest.fail).read())
    assert sorted(records) == sorted(row.id for row in rows)
    assert sorted(store.names("pictures")) == sorted(f"{row.id}.png" for row in rows)
    for row in rows:
        name = f"pictures/{row.id}.png"
        assert hashlib.sha256(store.read(name)).hexdigest() == records[row.id]["outputs"][name]
    for line in manifest.read_text().splitlines()[:: max(1, len(rows) // 5)]:
        said = json.loads(line)
        assert run_command(run_words(tmp_path, said, tmp_path / "alone" / said["id"])) == 0
        alone = (tmp_path / "alone" / said["id"] / "second_pass.png").read_bytes()
        assert alone == store.read(f"pictures/{said['id']}.png")
    assert len(json.loads(store.read("annotations.json"))["images"]) == len(rows)
    return records


def _once(condition: Any, patience: float = 240.0) -> None:
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.2)


def test_a_killed_worker_and_a_lost_node_lose_nothing(cluster: Any, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS, num_steps=STEPS))
    root = str(tmp_path / "out")
    killed: list[int] = []

    def harm() -> None:
        _once(lambda: len(_records(root)) >= ROWS // 6)
        victim = max(_records(root).values(), key=lambda record: record["seconds"])["pid"]
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        _once(lambda: len(_records(root)) >= ROWS // 3)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    harming = threading.Thread(target=harm)
    harming.start()
    tally = _batch(manifest, root, Resources(address=cluster.address))
    harming.join()
    _add_node(cluster, num_cpus=1)
    assert killed
    assert (tally.done, tally.failed) == (ROWS, 0)
    attempts = [record["attempt"] for record in _require_whole(manifest, root, tmp_path).values()]
    assert set(attempts) <= {1, 2, 3}
    assert 1 <= sum(attempt > 1 for attempt in attempts) <= tally.repeated


def _killed_and_started_again(cluster: Any, manifest: Path, root: str, tmp_path: Path) -> None:
    """Kill the driver at a random moment, start it again: what was there stays, and what was missing comes."""
    rows = len(manifest.read_text().splitlines())
    # Late enough that some are there, early enough that what is in flight is not all the rest.
    after, more = random.randint(1, rows // 3), random.uniform(0, 0.5)
    print(f"killed {more:.2f} s after picture {after}")
    command = _command(manifest, root, "--address", cluster.address, "--annotations", "coco")
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _once(lambda: len(_records(root)) >= after)
    time.sleep(more)
    driver.kill()
    driver.wait()
    # Its workers end with it.
    time.sleep(3)
    between = _records(root)
    assert after <= len(between) < rows
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{rows} of {rows} done" in done.stderr
    afterwards = _require_whole(manifest, root, tmp_path)
    assert all(afterwards[id] == record for id, record in between.items())


def test_a_killed_driver_goes_on_with_what_is_missing(cluster: Any, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS, num_steps=STEPS))
    _killed_and_started_again(cluster, manifest, str(tmp_path / "out"), tmp_path)


def test_an_object_store_is_as_good_as_a_folder(
    cluster: Any, s3_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server_module = pytest.importorskip("moto.server")
    boto = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=s3_port)
    server.start()
    try:
        boto.client("s3").create_bucket(Bucket="pictures")
        manifest = _manifest(tmp_path, tiny_rows(tmp_path, ROWS, num_steps=STEPS))
        _killed_and_started_again(cluster, manifest, "s3://pictures/one", tmp_path)
        capsys.readouterr()
        assert run_command(["batch", "--status", "s3://pictures/one"]) == 0
        assert f"ended: {ROWS} of {ROWS} done" in capsys.readouterr().out
    finally:
        server.stop()


def test_quarters_of_a_gpu_share_it(cluster: Any, tmp_path: Path) -> None:
    node = _add_node(cluster, num_cpus=8, num_gpus=1)
    manifest = _manifest(tmp_path, tiny_rows(tmp_path, 8, method="paste"))
    most = 0

    def look(tally: Tally) -> None:
        nonlocal most
        if ray.is_initialized():
            most = max(most, round(4 * (1 - ray.available_resources().get("GPU", 0.0))))

    tally = _batch(manifest, str(tmp_path / "out"), Resources(cluster.address, gpus=0.25), Watch(look))
    cluster.remove_node(node)
    assert (tally.done, tally.failed) == (8, 0)
    assert most == 4


def test_a_row_that_fails_is_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tiny_rows(tmp_path, 4)
    rows[1]["x"] = 900
    rows[2]["source_file"] = "bad.png"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    manifest = _manifest(tmp_path, rows)
    root = str(tmp_path / "out")
    # Without an address Ray starts here.
    words = ["batch", str(manifest), "--output-dir", root, "--workers", "1", "--timeout", "300", "--plain"]
    assert run_command(words) == 1
    assert "2 pictures failed" in capsys.readouterr().err
    table = (tmp_path / "out/failures.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in table] == ["id", "p1", "p2"]
    assert "no picture" in table[2]
    assert sorted(_records(root)) == ["p0", "p3"]
    assert "off the canvas" in (tmp_path / "out/summary.html").read_text()
    assert run_command(["batch", "--status", root]) == 0
    assert "2 of 4 done · 2 failed" in capsys.readouterr().out
    rows[1]["x"], rows[2]["source_file"] = 9, "source.png"
    _manifest(tmp_path, rows)
    assert run_command(words) == 0
    assert not (tmp_path / "out/failures.csv").exists()
    assert not list((tmp_path / "out/records").glob("*.failed.json"))
