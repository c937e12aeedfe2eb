"""What is at hand is what the system and the control groups leave."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from deep_image_blending.runs import memory_at_hand as memory


def test_resident_memory_grows_with_what_is_held() -> None:
    before = memory.resident()
    # A mapping of its own: the heap may still hold what was freed.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * (64 << 20))
        assert memory.resident() - before > 0.9 * (64 << 20)


def test_available_memory_is_a_positive_number_of_bytes_on_linux() -> None:
    free = memory.host_available()
    assert free is not None
    assert free > 2**20


def _group(folder: Path, limit: str, used: int, inactive: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    (folder / "memory.current").write_text(f"{used}\n", encoding="ascii")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n", encoding="ascii")


def test_every_control_group_above_the_process_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/outer/inner\n", encoding="ascii")
    root = tmp_path / "fs"
    _group(root / "outer", "1000", 900, inactive=50)
    _group(root / "outer" / "inner", "max", 300)
    assert memory._groups(root, own) == [150]
    _group(root / "outer" / "inner", "400", 300)
    assert sorted(memory._groups(root, own)) == [100, 150]


def test_inside_a_container_the_root_is_the_group(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/host/path/not/there\n", encoding="ascii")
    _group(tmp_path / "fs", "5000", 2000)
    assert memory._groups(tmp_path / "fs", own) == [3000]


def test_version_one_groups_are_read_too(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/x\n", encoding="ascii")
    folder = tmp_path / "fs" / "memory" / "x"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("700\n", encoding="ascii")
    (folder / "memory.usage_in_bytes").write_text("600\n", encoding="ascii")
    (folder / "memory.stat").write_text("total_inactive_file 20\n", encoding="ascii")
    assert memory._groups(tmp_path / "fs", own) == [120]


def test_where_the_system_says_nothing_the_limit_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_groups", lambda: [])
    monkeypatch.setattr(memory, "_fields", lambda path: {})
    assert memory.host_available() is None
