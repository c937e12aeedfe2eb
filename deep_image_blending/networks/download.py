"""Fetching pretrained weights into torchvision's cache, whole and verified."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deep_image_blending.files import atomic_write

Progress = Callable[[int, int | None], None]


def fetch(url: str, path: Path, progress: Progress | None = None) -> None:
    """Download `url` to `path`; the file appears only when complete and its hash is the one in its name.

    progress: called with (bytes so far, bytes in all or None).
    Raises OSError (URLError among them) when the network fails, RuntimeError when the hash is wrong.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "deep-image-blending"})
    digest = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=30) as response, atomic_write(path) as stream:
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        done = 0
        while chunk := response.read(1 << 20):
            stream.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        named = re.search(r"-([0-9a-f]{8,})\.", path.name)
        if named and not digest.hexdigest().startswith(named[1]):
            raise RuntimeError(f"'{path.name}' arrived damaged: its SHA-256 is {digest.hexdigest()[:16]}...")
