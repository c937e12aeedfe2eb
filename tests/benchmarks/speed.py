"""Seconds against the published program: `python -m tests.benchmarks.speed --weights VGG19 [--size 256] [...]`.

The baseline is the plain restatement in tests/published.py, with the same weights, on the same machine, in the
same run. VGG-19 up to relu3_3 stands for VGG-16 up to relu4_3 where only these weights are at hand (the same
layers for both sides). Prints tables, and writes JSON with --json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from deep_image_blending import config, passes
from deep_image_blending.backbones import load_backbone, read_state_dict, with_normalisation
from deep_image_blending.demo import demo_named
from deep_image_blending.features import IMAGENET, Box, Network, RegionFeatures, whole
from deep_image_blending.images import load_mask, load_picture
from deep_image_blending.scene import compose_scene

from .. import published

TAPS = ("relu1_2", "relu2_2", "relu3_3")
CPU = torch.device("cpu")


def median(action: Callable[[], object], times: int) -> float:
    """Median seconds of an action, after one that does not count."""
    action()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def widened(path: Path, folder: Path, height: int, width: int) -> Path:
    """The demo's pictures at the benchmark's size, as files that both programs read."""
    out = folder / path.name
    Image.open(path).resize((width, height)).save(out)
    return out


def identical_objective(given: argparse.Namespace, files: tuple[Path, Path, Path]) -> dict[str, Any]:
    """1. Seconds an evaluation of the published first pass, value and gradient."""
    ss, ts = round(0.6 * given.size), given.size
    case = published.load_case(*files, ss, ts, ts // 2, ts // 2)
    vgg = published.Vgg(read_state_dict(given.weights), "vgg19", TAPS)
    base = config.preset("wacv2020")
    first = dataclasses.replace(base.first, style_layers=TAPS, backbone="vgg19")
    place = dataclasses.replace(base.placement, ss=ss, ts=ts, x=ts // 2, y=ts // 2)
    scene = compose_scene(load_picture(files[0]), load_mask(files[1]), load_picture(files[2]), place)
    network = load_backbone("vgg19", set(TAPS), weights=given.weights).network.to(CPU)
    network = with_normalisation(network, passes.PUBLISHED)
    window = scene.window(None)
    objective = passes._objective("first_pass", scene, window, first, network, window.target, CPU)
    start = torch.randn(1, 3, ts, ts)

    def plain() -> None:
        x = start.clone().requires_grad_(True)
        torch.stack(list(published.first_pass_terms(x, case, vgg).values())).sum().backward()

    def ours() -> None:
        x = start.reshape(3, -1).clone().requires_grad_(True)
        torch.stack(list(objective.terms(x).values())).sum().backward()

    a, b = median(plain, given.times), median(ours, given.times)
    return {"published_s": a, "ours_s": b, "ratio": a / b}


def to_equal_objective(given: argparse.Namespace, files: tuple[Path, Path, Path]) -> dict[str, Any]:
    """2. Seconds until the published objective of our blend is as good as the baseline's after N evaluations."""
    ss, ts = round(0.6 * given.size), given.size
    case = published.load_case(*files, ss, ts, ts // 2, ts // 2)
    vgg = published.Vgg(read_state_dict(given.weights), "vgg19", TAPS)
    torch.manual_seed(0)

    def judged(picture: torch.Tensor) -> float:
        """All terms on the final blend: style too sees the blend, for both."""
        return float(sum(published.first_pass_terms(picture, case, vgg).values()))

    began = time.perf_counter()
    end = published.run_first_pass(case, vgg, given.evaluations - 1, torch.randn_like(case.target))
    baseline_s, goal = time.perf_counter() - began, judged(end)
    place = config.Placement(ss=ss, ts=ts, x=ts // 2, y=ts // 2, square=True)
    scene = compose_scene(load_picture(files[0]), load_mask(files[1]), load_picture(files[2]), place)
    found: dict[str, Any] = {"evaluations": given.evaluations, "published_s": baseline_s, "published": goal}
    for backbone in ("vgg19", "embedded"):
        base = config.preset("natural")
        first = dataclasses.replace(base.first, backbone=backbone, membrane="full", style_from="whole")
        options = dataclasses.replace(base, placement=place, first=first)
        weights = given.weights if backbone == "vgg19" else None
        reached = None
        for steps in (2, 5, 10, 20, 40, 80):
            run = options.with_pass("first_pass", dataclasses.replace(first, steps=steps, levels=1))
            began = time.perf_counter()
            loaded = load_backbone(backbone, passes.wanted_taps(first), weights=weights)
            result = passes.first_pass(scene, run, loaded)
            seconds = time.perf_counter() - began
            value = judged(torch.from_numpy(result.picture).permute(2, 0, 1)[None])
            if value <= goal:
                reached = {"steps": steps, "seconds": seconds, "objective": value, "ratio": baseline_s / seconds}
                break
        found[backbone] = reached or {"steps": 80, "seconds": seconds, "objective": value, "ratio": None}
    return found


def region_evaluation(given: argparse.Namespace) -> dict[str, Any]:
    """3. Seconds an evaluation of the features of the same object on growing canvases, by backbone."""
    side = given.size // 2
    found: dict[str, Any] = {}
    networks: dict[str, Network] = {
        "vgg16 to relu4_3": _untrained_vgg16(),
        "vgg19 to relu3_3": load_backbone("vgg19", set(TAPS), weights=given.weights).network.to(CPU),
        "embedded": load_backbone("embedded", set(TAPS)).network.to(CPU),
    }
    for name, network in networks.items():
        taps = {"relu4_3", *TAPS} if "4_3" in name else set(TAPS)
        row = {}
        for canvas in (2 * side, 4 * side):
            top = (canvas - side) // 2 // 16 * 16
            box = Box(top, top, top + side, top + side)
            region = RegionFeatures(network, torch.rand(1, 3, canvas, canvas) * 255, box, taps)
            pixels = torch.rand(1, 3, side, side) * 255

            def once(region: RegionFeatures = region, pixels: torch.Tensor = pixels) -> None:
                x = pixels.clone().requires_grad_(True)
                torch.stack([f.float().square().mean() for f in region(x).values()]).sum().backward()

            row[str(canvas)] = median(once, given.times)
        x = torch.rand(1, 3, 2 * side, 2 * side) * 255
        plain = RegionFeatures(network, x, whole((2 * side, 2 * side)), taps)

        def full(plain: RegionFeatures = plain, x: torch.Tensor = x) -> None:
            y = x.clone().requires_grad_(True)
            torch.stack([f.float().square().mean() for f in plain(y).values()]).sum().backward()

        row["whole canvas"] = median(full, given.times)
        found[name] = row
    return found


def _untrained_vgg16() -> Network:
    """VGG-16's shapes: its speed does not depend on its weights."""
    import torchvision

    from deep_image_blending import backbones

    features = torchvision.models.vgg16(weights=None).features.state_dict()
    names = backbones._vgg_names("vgg16")
    state = {name: (features[f"{key[9:]}.weight"], features[f"{key[9:]}.bias"]) for name, (key,) in names.items()}
    network = Network("vgg16", backbones._vgg_layers("vgg16"), state, IMAGENET)
    return network.truncated({"relu4_3", *TAPS}).to(CPU)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="VGG-19 state dict, to relu3_4 at least")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=100, help="of the baseline; a multiple of 20")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    demo = demo_named()
    folder = Path("/tmp") if given.json is None else given.json.parent
    files = (
        widened(demo.source, folder, given.size, given.size),
        widened(demo.mask, folder, given.size, given.size),
        widened(demo.target, folder, given.size, given.size),
    )
    console = Console()
    report: dict[str, Any] = {"size": given.size, "threads": torch.get_num_threads()}

    report["identical_objective"] = one = identical_objective(given, files)
    table = Table("", "published", "ours", "ratio", title="Seconds an evaluation of the published objective")
    table.add_row(f"{given.size} px", f"{one['published_s']:.3f}", f"{one['ours_s']:.3f}", f"{one['ratio']:.2f}")
    console.print(table)

    report["region"] = regions = region_evaluation(given)
    side = given.size // 2
    table = Table(
        "", f"on {2 * side}", f"on {4 * side}", "whole canvas", "vgg16 / it", title=f"A {side} px object"
    )
    base = regions["vgg16 to relu4_3"][str(2 * side)]
    for name, row in regions.items():
        near, far = row[str(2 * side)], row[str(4 * side)]
        table.add_row(name, f"{near:.3f} s", f"{far:.3f} s", f"{row['whole canvas']:.3f} s", f"{base / near:.1f}")
    console.print(table)

    report["to_equal_objective"] = two = to_equal_objective(given, files)
    table = Table("", "evaluations", "seconds", "objective", "times faster", title="Until as good as the baseline")
    table.add_row(
        "published", str(two["evaluations"]), f"{two['published_s']:.1f}", f"{two['published']:.1f}", "1"
    )
    if not np.isfinite(two["published"]):
        console.print(
            "the baseline diverged (its fixed step is not safe with these weights): nothing to compare with"
        )
    for name in ("vgg19", "embedded"):
        row = two[name]
        ratio = "not reached" if row["ratio"] is None else f"{row['ratio']:.0f}"
        table.add_row(name, str(row["steps"]), f"{row['seconds']:.2f}", f"{row['objective']:.1f}", ratio)
    console.print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    np.random.seed(0)
    main()
