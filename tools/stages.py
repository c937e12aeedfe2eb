"""Make the pictures of `docs/how-it-works.md`: `python -m tools.stages`.

Every stage of a blend, of two bundled demos, as the program itself makes it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from deep_image_blending import blend, poisson_blend
from deep_image_blending.pictures.demo import Demo, demo_named

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
CELL = 240

Shown = Path | npt.NDArray[Any]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    cup, portrait = demo_named("coffee"), demo_named("portrait")
    with tempfile.TemporaryDirectory() as folder:
        _photograph(cup, Path(folder) / "cup")
        _painting(portrait, Path(folder) / "portrait")


def _photograph(demo: Demo, run: Path) -> None:
    pictures = (demo.source, demo.mask, demo.target)
    full = poisson_blend(*pictures, placement=demo.placement)
    found = blend(*pictures, placement=demo.placement, output_dir=run)
    assert found.first_pass is not None
    _row(
        "placed",
        [("source", demo.source), ("mask", demo.mask), ("target", demo.target), ("paste", found.composite)],
    )
    _row("membrane", [("paste", found.composite), ("Poisson cloning", full), ("first pass", found.first_pass)])


def _painting(demo: Demo, run: Path) -> None:
    pictures = (demo.source, demo.mask, demo.target)
    found = blend(*pictures, placement=demo.placement, output_dir=run, preset="painterly")
    assert found.first_pass is not None
    _row("passes", [("paste", found.composite), ("first pass", found.first_pass), ("second pass", found.picture)])
    frames = sorted((run / "frames").glob("second_pass.*.jpg"))
    chosen = [frames[round(i * (len(frames) - 1) / 3)] for i in range(4)]
    _row("moments", [(f"evaluation {int(path.name.split('.')[1])}", path) for path in chosen])


def _row(name: str, cells: list[tuple[str, Shown]]) -> None:
    """Labelled pictures beside each other, as one file."""
    font = ImageFont.load_default(13)
    page = Image.new("RGB", (len(cells) * (CELL + 4) - 4, CELL + 20), "white")
    draw = ImageDraw.Draw(page)
    for i, (label, picture) in enumerate(cells):
        image = Image.open(picture) if isinstance(picture, Path) else Image.fromarray(np.asarray(picture))
        image = image.convert("RGB")
        image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        left = i * (CELL + 4)
        draw.text((left + 2, 2), label, fill="black", font=font)
        page.paste(image, (left + (CELL - image.width) // 2, 20 + (CELL - image.height) // 2))
    path = FOLDER / f"{name}.jpg"
    page.save(path, quality=85)
    print(path)


if __name__ == "__main__":
    main()
