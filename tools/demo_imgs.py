"""Make the README's pictures: `python -m tools.demo_imgs [--backbone NAME] [--weights FILE]`.

Every sheet is made by the program from the bundled demo cases, with the default preset; those on paintings with
`painterly` too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deep_image_blending import blend, poisson_blend
from deep_image_blending.cli.app import run_command
from deep_image_blending.pictures.demo import Demo, demos

FOLDER = Path(__file__).parents[1] / "demo_imgs"
CELL = 300
PAINTINGS, PHOTOGRAPHS = ("portrait", "shuttle", "rocket"), ("coffee",)
ABLATED = "coffee"


def cell(picture: Path | np.ndarray) -> Image.Image:
    """A picture fitted into a square cell."""
    image = Image.open(picture).convert("RGB") if isinstance(picture, Path) else Image.fromarray(picture)
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (CELL, CELL), "white")
    square.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return square


def sheet(rows: list[list[tuple[str, Path | np.ndarray]]], path: Path) -> None:
    """Labelled cells, saved as a picture."""
    font = ImageFont.load_default(15)
    page = Image.new("RGB", (len(rows[0]) * (CELL + 6), len(rows) * (CELL + 26)), "white")
    draw = ImageDraw.Draw(page)
    for i, row in enumerate(rows):
        for j, (label, picture) in enumerate(row):
            left, top = j * (CELL + 6), i * (CELL + 26)
            page.paste(cell(picture), (left, top + 22))
            draw.text((left + 3, top + 2), label, fill="black", font=font)
    page.save(path, quality=88, subsampling=0)
    print(path)


def comparison(demo: Demo, more: dict[str, Any]) -> list[tuple[str, Path | np.ndarray]]:
    place = demo.placement
    result = blend(demo.source, demo.mask, demo.target, placement=place, **more)
    assert result.first_pass is not None
    return [
        ("source", demo.source),
        ("target", demo.target),
        ("paste", result.composite),
        ("Poisson cloning", poisson_blend(demo.source, demo.mask, demo.target, placement=place)),
        ("first pass", result.first_pass),
        ("second pass", result.picture),
    ]


def painted(demo: Demo, more: dict[str, Any]) -> list[tuple[str, Path | np.ndarray]]:
    """A comparison with both presets' second passes."""
    cells = comparison(demo, more)
    other = blend(demo.source, demo.mask, demo.target, placement=demo.placement, preset="painterly", **more)
    return [*cells[:-1], ("natural", cells[-1][1]), ("painterly", other.picture)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="auto")
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    more: dict[str, Any] = {"backbone": given.backbone}
    if given.weights is not None:
        more["weights"] = given.weights
    cases = {demo.name: demo for demo in demos()}
    rows = [painted(cases[name], more) for name in PAINTINGS]
    sheet([rows[0][2:4] + rows[0][5:]], FOLDER / "first_demo.jpg")
    sheet(rows, FOLDER / "painting_comparison.jpg")
    sheet([comparison(cases[name], more) for name in PHOTOGRAPHS], FOLDER / "real_comparison.jpg")
    study = FOLDER / "ablation_study.png"
    weights = [] if given.weights is None else ["--weights", str(given.weights)]
    command = ["ablation", "--demo", ABLATED, "--crop", "--backbone", given.backbone, *weights]
    if code := run_command([*command, "--output-file", str(study)]):
        raise SystemExit(code)
    Image.open(study).convert("RGB").save(study.with_suffix(".jpg"), quality=88, subsampling=0)
    study.unlink()


if __name__ == "__main__":
    main()
