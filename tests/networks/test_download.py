"""Downloads arrive whole and verified, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deep_image_blending.networks.download import fetch


def test_download_is_whole_verified_and_shown(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    digest = hashlib.sha256(data).hexdigest()[:8]
    (tmp_path / "served").write_bytes(data)
    seen: list[tuple[int, int | None]] = []
    good = tmp_path / f"net-{digest}.pth"
    fetch((tmp_path / "served").as_uri(), good, lambda done, total: seen.append((done, total)))
    assert good.read_bytes() == data
    assert seen[-1] == (len(data), len(data))
    with pytest.raises(RuntimeError, match="damaged"):
        fetch((tmp_path / "served").as_uri(), tmp_path / "net-00000000.pth")
    assert not (tmp_path / "net-00000000.pth").exists()
