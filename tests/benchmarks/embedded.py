"""How well the embedded backbone stands in for VGG-19: `python -m tests.benchmarks.embedded --weights VGG19`.

Both drive one preset from the same start with the same number of evaluations, and VGG-19 judges both. Style is its
normalised Gram distance inside the mask, after both passes, over its value at the start: from the style that the
preset asks for, and where that is the target's in other colours, from the target's own too. Gradient and content
are over those of the VGG-19 run. `--cases DIR` takes further cases (folders of source, mask and target).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from rich.console import Console
from rich.table import Table

from deep_image_blending import passes
from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Objective, Prepared, Setting
from deep_image_blending.options import presets
from deep_image_blending.options.pass_options import PASSES, PassOptions, Weights
from deep_image_blending.options.run_options import Options
from deep_image_blending.passes.start import harmonised
from deep_image_blending.pictures import Float, load_mask, load_picture
from deep_image_blending.pictures.demo import Demo, demo_named, demos
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, Window, compose_scene

CPU = torch.device("cpu")
KNOWN = {"balloons": Placement(320, 512, 160, 256), "horse": Placement(300, 512, 350, 300)}


def scene_of(demo: Demo, scale: float) -> Scene:
    """A bundled demo at a scale."""
    target = load_picture(demo.target)
    place = demo.scaled(round(max(target.pixels.shape[:2]) * scale)).placement
    return compose_scene(load_picture(demo.source), load_mask(demo.mask), target, place)


def scenes(folder: Path | None, scale: float) -> dict[str, Scene]:
    """The bundled demos, and the known cases of a folder, at a scale."""
    found = {}
    for demo in demos():
        found[demo.name] = scene_of(demo, scale)
    for name, known in KNOWN.items():
        if folder is not None and (folder / name).is_dir():
            files = [folder / name / f"{part}.png" for part in ("source", "mask", "target")]
            assert known.ss is not None
            assert known.ts is not None
            assert known.x is not None
            assert known.y is not None
            place = Placement(round(known.ss * scale), round(known.ts * scale), known.x * scale, known.y * scale)
            found[name] = compose_scene(load_picture(files[0]), load_mask(files[1]), load_picture(files[2]), place)
    return found


def options_for(backbone: str, steps: int, style: float = 1.0, preset: str = "natural") -> Options:
    base = presets.preset(preset)
    for name in PASSES:
        weights = base.of(name).weights
        own = dataclasses.replace(
            base.of(name),
            backbone=backbone,
            num_steps=steps,
            tolerance=0.0,
            weights=weights.changed(style=style * weights["style"]),
        )
        base = base.with_pass(name, own)
    return base


def blended(scene: Scene, options: Options, weights: Path | None) -> tuple[Float, float]:
    """The picture after both passes, and seconds an evaluation."""
    taps = passes.wanted_taps(options.first) | passes.wanted_taps(options.second)
    loaded = load_backbone(options.first.backbone, taps, weights=weights)
    first = passes.first_pass(scene, options, loaded)
    second = passes.second_pass(scene, options, loaded, first.written())
    return second.picture, (first.seconds + second.seconds) / (first.evaluations + second.evaluations)


def problem(scene: Scene, options: PassOptions, weights: Path | None) -> tuple[Objective, Window, Float]:
    """A first pass's objective at full resolution, its window and its start."""
    options = dataclasses.replace(options, levels=1)
    network = load_backbone(options.backbone, passes.wanted_taps(options), weights=weights).network.to(CPU)
    window = passes.pass_levels("first_pass", scene, options, network)[0].window
    source = harmonised(window, passes.membrane_for(scene.agreement()))
    window = dataclasses.replace(window, source=source)
    start = passes.poisson_start(window)
    setting = Setting("first_pass", scene, window, options, network, start, CPU, Prepared())
    return kind_of(options.objective).build(setting), window, start


def judge(scene: Scene, weights: Path, palette: float) -> tuple[Objective, Window, Float]:
    """VGG-19's unweighted terms, its window and the start."""
    options = dataclasses.replace(
        options_for("vgg19", 1).first, weights=Weights(gradient=1, style=1, content=1), palette=palette
    )
    return problem(scene, options, weights)


def terms(objective: Objective, picture: Float) -> dict[str, float]:
    image = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    with torch.no_grad():
        return {name: float(value) for name, value in objective.terms(objective.pixels.gather(image)).items()}


def ratios(weights: Path | None) -> dict[str, float]:
    """The short form: the style left by VGG-19 over that left by the embedded network."""
    if weights is None:
        return {}
    scene = scene_of(demo_named("coffee"), 0.3)
    judging, window, _ = judge(scene, weights, 1.0)
    left = {}
    for backbone, file in (("embedded", None), ("vgg19", weights)):
        picture, _ = blended(scene, options_for(backbone, 12), file)
        left[backbone] = terms(judging, picture[seen(window)])["style"]
    return {"style left, VGG-19 / embedded": left["vgg19"] / left["embedded"]}


def seen(window: Window) -> tuple[slice, slice]:
    """Rows and columns of the canvas that a window shows."""
    rows, columns = window.mask.shape
    return slice(window.top, window.top + rows), slice(window.left, window.left + columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--only", help="one case by name")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--preset", choices=("natural", "painterly"), default="natural")
    parser.add_argument("--style", type=float, default=1.0, help="factor on the preset's style weights")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    palette = presets.preset(given.preset).second.palette
    headings = ["case", "style at start", "vgg19", "embedded"]
    if palette < 1:
        headings += ["target's own", "vgg19", "embedded"]
    table = Table(
        *headings, "gradient", "content", "vgg19 s/eval.", "embedded s/eval.",
        title=f"{given.preset}, judged by VGG-19: style over the start's, gradient and content over VGG-19's run",
    )  # fmt: skip
    report: dict[str, Any] = {}
    rows: list[tuple[str, list[Float]]] = []
    for name, scene in scenes(given.cases, given.scale).items():
        if given.only not in (None, name):
            continue
        judges = [judge(scene, given.weights, share) for share in ((palette, 1.0) if palette < 1 else (1.0,))]
        _, window, start = judges[0]
        pictures, seconds = {"start": start}, {}
        for backbone, weights in (("embedded", None), ("vgg19", given.weights)):
            options = options_for(backbone, given.steps, given.style, given.preset)
            picture, seconds[backbone] = blended(scene, options, weights)
            pictures[backbone] = picture[seen(window)]
        judged = [{key: terms(judging, picture) for key, picture in pictures.items()} for judging, _, _ in judges]
        found, shares = judged[0], []
        for values in judged:
            base = values["start"]["style"]
            shares += [f"{base:.3f}"]
            shares += [f"{100 * values[key]['style'] / base:.1f}%" for key in ("vgg19", "embedded")]
        table.add_row(
            name,
            *shares,
            *(f"{found['embedded'][term] / found['vgg19'][term]:.2f}" for term in ("gradient", "content")),
            *(f"{seconds[backbone]:.3f}" for backbone in ("vgg19", "embedded")),
        )
        report[name] = {"terms": found, "seconds": seconds}
        near = window.around_mask(max(16, min(window.mask.shape) // 16))
        plain = scene.window(None)
        before = [picture[seen(window)] for picture in (plain.source, plain.target, scene.paste()[0])]
        rows.append((name, [picture[near] for picture in (*before, *pictures.values())]))
    Console(width=140).print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if given.sheet is not None:
        contact_sheet(rows, given.sheet)


def contact_sheet(rows: list[tuple[str, list[Float]]], path: Path, size: int = 320) -> None:
    """Source, target, paste, start and both results, cut to the object's surroundings."""
    labels = ("source", "target", "paste", "start", "embedded", "VGG-19")
    page = Image.new("RGB", (len(labels) * size, len(rows) * size), "white")
    for i, (name, pictures) in enumerate(rows):
        for j, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
            image = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
            page.paste(ImageOps.contain(image, (size, size), Image.Resampling.LANCZOS), (j * size, i * size))
            ImageDraw.Draw(page).text((j * size + 4, i * size + 4), f"{name}: {label}", fill="magenta")
    page.save(path)


if __name__ == "__main__":
    main()
