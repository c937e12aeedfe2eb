"""Manifests of tiny pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import disc_mask, smooth_picture, written_case

TINY = {"backbone": "random", "num_steps": 2}


def tiny_rows(folder: Path, count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows of one tiny blend, each with the object at another place."""
    case = written_case(folder, 12, 14)
    files = {name: path.name for name, path in case.files().items()}
    return [{"id": f"p{i}", **files, **TINY, "x": 8 + i % 9, "y": 9 + i % 11, **more} for i in range(count)]


def written(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A manifest of rows, as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run_words(folder: Path, said: Mapping[str, Any], out: Path) -> list[str]:
    """The command that makes of a row's options what a batch makes of them."""
    options = {name: folder / value if name.endswith("_file") else value for name, value in said.items()}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if name != "id"]
    return ["run", *words, "--threads=1", "--output-dir", str(out), "--quiet"]


def stock_folders(folder: Path) -> tuple[Path, Path]:
    """Objects of two categories, one with alpha and two with masks, and two backgrounds."""
    for name in ("cup", "star"):
        (folder / "objects" / name).mkdir(parents=True)
    (folder / "backgrounds" / "deep").mkdir(parents=True)
    picture = smooth_picture(3, 20, 30)
    Image.fromarray(np.dstack((picture, disc_mask(20, 30)))).save(folder / "objects/cup/alpha.png")
    for name, mask in (("one", "one.mask.png"), ("two", "two_mask.png")):
        Image.fromarray(picture).save(folder / f"objects/star/{name}.png")
        Image.fromarray(disc_mask(20, 30)).save(folder / f"objects/star/{mask}")
    Image.fromarray(smooth_picture(4, 60, 80)).save(folder / "backgrounds/a.png")
    Image.fromarray(smooth_picture(5, 70, 60)).save(folder / "backgrounds/deep/b.png")
    return folder / "objects", folder / "backgrounds"
