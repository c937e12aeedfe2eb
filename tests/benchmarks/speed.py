"""Seconds against the published program: `python -m tests.benchmarks.speed --weights VGG19 [--size 256] [...]`.

The baseline is the plain restatement in tests/published.py, with the same weights, on the same machine, in the
same run. VGG-19 up to relu3_3 stands for VGG-16 up to relu4_3 where only these weights are at hand (the same
layers for both sides). Prints tables, and writes JSON with --json. How long ours needs until it is as good as the
published program is tests/benchmarks/convergence.py's question.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from deep_image_blending.networks.backbones import load_backbone, read_state_dict, with_normalisation
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.network import PUBLISHED, Network
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Prepared, Setting
from deep_image_blending.options import presets
from deep_image_blending.pictures import load_mask, load_picture
from deep_image_blending.pictures.demo import Demo, demo_named
from deep_image_blending.pictures.scene import compose_scene

from .. import published
from .timing import times_faster

TAPS = ("relu1_2", "relu2_2", "relu3_3")
CPU = torch.device("cpu")
SIDES, CANVASES = [64, 96, 128, 192, 256, 384, 512], [256, 512, 1024, 2048, 4096]
"""Pixels of the objects and of the canvases that seconds are set against."""


def median(action: Callable[[], object], times: int) -> float:
    """Median seconds of an action."""
    return statistics.median(each_time(action, times, time.perf_counter))


def least(action: Callable[[], object], times: int) -> float:
    """Least processor seconds of an action: other work only lengthens them."""
    return min(each_time(action, times, time.process_time))


def each_time(action: Callable[[], object], times: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of an action, so many times, after one that does not count."""
    action()
    seconds = []
    for _ in range(times):
        began = clock()
        action()
        seconds.append(clock() - began)
    return seconds


def squared(demo: Demo, folder: Path, side: int) -> tuple[Path, Path, Path]:
    """A demo's source, mask and target, each a square of that side, as files in a folder for both programs."""
    found = []
    for path in (demo.source, demo.mask, demo.target):
        found.append(folder / path.name)
        Image.open(path).resize((side, side)).save(found[-1])
    return found[0], found[1], found[2]


def identical_objective(weights: Path, size: int, times: int) -> dict[str, float]:
    """1. Seconds an evaluation of the published first pass."""
    a, b = (median(action, times) for action in published_evaluations(weights, size))
    return {"published_s": a, "ours_s": b, "ratio": a / b}


def published_evaluations(weights: Path, size: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """One value and gradient of the published first pass: the baseline's, and ours."""
    ss, ts = round(0.6 * size), size
    vgg = published.Vgg(read_state_dict(weights), "vgg19", TAPS)
    base = presets.preset("wacv2020")
    first = dataclasses.replace(base.first, style_layers=TAPS, backbone="vgg19")
    place = dataclasses.replace(base.placement, ss=ss, ts=ts, x=ts // 2, y=ts // 2)
    with tempfile.TemporaryDirectory() as folder:
        files = squared(demo_named(), Path(folder), size)
        case = published.load_case(*files, ss, ts, ts // 2, ts // 2)
        scene = compose_scene(load_picture(files[0]), load_mask(files[1]), load_picture(files[2]), place)
    network = load_backbone("vgg19", set(TAPS), weights=weights).network.to(CPU)
    network = with_normalisation(network, PUBLISHED)
    window = scene.window(None)
    setting = Setting("first_pass", scene, window, first, network, window.target, CPU, Prepared())
    objective = kind_of(first.objective).build(setting)
    start = torch.randn(1, 3, ts, ts)

    def plain() -> None:
        x = start.clone().requires_grad_(True)
        torch.stack(list(published.first_pass_terms(x, case, vgg).values())).sum().backward()

    def ours() -> None:
        x = start.reshape(3, -1).clone().requires_grad_(True)
        torch.stack(list(objective.terms(x).values())).sum().backward()

    return plain, ours


def region_seconds(network: Network, taps: set[str], side: int, canvas: int, times: int) -> float:
    """Seconds of one evaluation of a region."""
    return median(region_evaluation(network, taps, side, canvas), times)


def region_evaluation(network: Network, taps: set[str], side: int, canvas: int) -> Callable[[], None]:
    """One value and gradient of all features of an object of `side` on a square canvas."""
    top = (canvas - side) // 2 // 16 * 16
    box = Box(top, top, top + side, top + side) if side < canvas else whole((canvas, canvas))
    # Only the surroundings that features reach are read: random pixels there, nothing elsewhere.
    pixels = torch.zeros(1, 3, canvas, canvas)
    near = slice(max(0, top - 256), top + side + 256)
    pixels[:, :, near, near].uniform_(0, 255)
    region = RegionFeatures(network, pixels, box, taps)
    own = torch.rand(1, 3, side, side) * 255

    def once() -> None:
        x = own.clone().requires_grad_(True)
        torch.stack([f.float().square().mean() for f in region(x).values()]).sum().backward()

    return once


def networks(weights: Path) -> dict[str, tuple[Network, set[str]]]:
    vgg19 = load_backbone("vgg19", set(TAPS), weights=weights).network.to(CPU)
    return {
        "VGG-16 to relu4_3": (_untrained_vgg16(), {"relu4_3", *TAPS}),
        "VGG-19 to relu3_3": (vgg19, set(TAPS)),
        "embedded": (embedded(), set(TAPS)),
    }


def embedded() -> Network:
    return load_backbone("embedded", set(TAPS)).network.to(CPU)


def same_region(weights: Path, side: int, times: int) -> dict[str, float]:
    """2. Seconds of one evaluation of the same object's features, by backbone."""
    return {
        name: region_seconds(network, taps, side, 2 * side, times)
        for name, (network, taps) in networks(weights).items()
    }


def scaling(sides: list[int], canvases: list[int], times: int) -> dict[str, Any]:
    """3. Seconds of an evaluation of the embedded backbone against the object's size and the canvas's."""
    network, taps = embedded(), set(TAPS)
    by_object = [region_seconds(network, taps, side, 1024, times) for side in sides]
    by_canvas = [region_seconds(network, taps, 128, canvas, times) for canvas in canvases]
    return {
        "object": {
            "side": sides,
            "seconds": by_object,
            "slope": slope([s * s for s in sides[-5:]], by_object[-5:]),
        },
        "canvas": {"side": canvases, "seconds": by_canvas, "slope": slope([c * c for c in canvases], by_canvas)},
    }


def multiplications(region: RegionFeatures) -> int:
    """Multiplications of one evaluation's convolutions with their gradient, which takes as many once more."""
    shapes = {name: weight.shape for name, (weight, _) in region.network.parameters.items()}
    return 2 * sum(region.boxes[name].area * shape.numel() for name, shape in shapes.items())


def peak(times: int) -> float:
    """Multiplications a processor second of a convolution that suits the machine: 3x3, 256 channels to 256."""
    weight = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    image = torch.randn(1, 256, 128, 128).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = least(lambda: torch.nn.functional.conv2d(image, weight, padding=1), times)
    return 128 * 128 * weight.numel() / seconds


def shares(times: int) -> dict[str, dict[str, float]]:
    """Embedded features at 250x350, with gradient: processor seconds, and the share of the peak.

    Beside it each convolution alone with its bias, forth and back, which bounds what a better evaluation could
    reach; NCHW and oneDNN's own layout, forth alone, beside channels last.
    """
    network, taps = embedded().truncated(set(TAPS)), set(TAPS)
    region = RegionFeatures(network, torch.rand(1, 3, 500, 700) * 255, Box(128, 128, 378, 478), taps)
    own = torch.rand(1, 3, 250, 350) * 255
    highest = peak(times)

    def once() -> None:
        x = own.clone().requires_grad_(True)
        torch.stack([f.square().mean() for f in region(x).values()]).sum().backward()

    def row(seconds: float, count: float) -> dict[str, float]:
        return {"seconds": seconds, "share": count / seconds / highest}

    count = multiplications(region)
    found = {"an evaluation": row(least(once, times), count)}
    forth, back = dict.fromkeys(("channels last", "NCHW", "oneDNN's layout"), 0.0), 0.0
    for name, (weight, bias) in network.parameters.items():
        box = region.boxes[name]
        x = torch.randn(1, weight.shape[1], box.height, box.width)
        last = x.contiguous(memory_format=torch.channels_last)
        plain = weight.contiguous()
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(plain.to_mkldnn(), [1, 1], [1, 1], [1, 1], 1)
        blocked = x.to_mkldnn()
        with torch.no_grad():
            for layout, action in (
                ("channels last", lambda x=last, w=weight, b=bias: torch.conv2d(x, w, b, padding=1)),
                ("NCHW", lambda x=x, w=plain, b=bias: torch.conv2d(x, w, b, padding=1)),
                ("oneDNN's layout", lambda x=blocked, w=packed, b=bias: torch.conv2d(x, w, b.to_mkldnn(), 1, 1)),
            ):
                forth[layout] += least(action, times)
        last.requires_grad_(True)
        value = torch.conv2d(last, weight, bias, padding=1)
        gradient = torch.randn_like(value)
        back += least(lambda v=value, x=last, g=gradient: torch.autograd.grad(v, x, g, retain_graph=True), times)
    found["its convolutions alone"] = row(forth["channels last"] + back, count)
    for layout, seconds in forth.items():
        found[f"forth alone, {layout}"] = row(seconds, count / 2)
    found["back alone, channels last"] = row(back, count / 2)
    return found


def ratios(weights: Path | None) -> dict[str, float]:
    """The short form: how often ours is done while its baseline is done once."""
    network, taps = embedded(), set(TAPS)
    small, large = (region_evaluation(network, taps, 96, canvas) for canvas in (256, 2048))
    vgg16 = region_evaluation(_untrained_vgg16(), {"relu4_3", *TAPS}, 96, 256)
    found = {
        "features, VGG-16 / embedded": times_faster(vgg16, small),
        "canvas of 256 / of 2048": times_faster(small, large),
    }
    if weights is not None:
        found["published objective, published / ours"] = times_faster(*published_evaluations(weights, 128))
    return found


def slope(pixels: list[int], seconds: list[float]) -> float:
    """The power of the pixels with which seconds grow."""
    return float(np.polyfit(np.log(pixels), np.log(seconds), 1)[0])


def drawn(found: dict[str, Any], path: Path) -> None:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for key, label in (("object", "object, on a canvas of 1024"), ("canvas", "canvas, with an object of 128")):
        row = found[key]
        axes.plot(row["side"], row["seconds"], marker="o", label=f"{label}: seconds ∝ pixels^{row['slope']:.2f}")
    axes.set(xscale="log", yscale="log", xlabel="side in pixels", ylabel="seconds an evaluation (embedded)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _untrained_vgg16() -> Network:
    """VGG-16's shapes: its speed does not depend on its weights."""
    network = load_backbone("vgg16", {"relu4_3", *TAPS}, planning=True).network
    return network.with_parameters(
        {name: (torch.randn_like(weight) / 30, bias) for name, (weight, bias) in network.parameters.items()}
    ).to(CPU)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="VGG-19 state dict, to relu3_4 at least")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="draw seconds against sizes here")
    given = parser.parse_args()
    console = Console(width=110)
    report: dict[str, Any] = {"size": given.size, "threads": torch.get_num_threads()}

    report["identical_objective"] = one = identical_objective(given.weights, given.size, given.times)
    table = Table("", "published", "ours", "ratio", title="Seconds an evaluation of the published objective")
    table.add_row(f"{given.size} px", f"{one['published_s']:.3f}", f"{one['ours_s']:.3f}", f"{one['ratio']:.2f}")
    console.print(table)

    report["region"] = regions = same_region(given.weights, given.size // 2, given.times)
    table = Table("", "seconds", "VGG-16 / it", title=f"Features of a {given.size // 2} px object, with gradient")
    for name, seconds in regions.items():
        table.add_row(name, f"{seconds:.3f}", f"{regions['VGG-16 to relu4_3'] / seconds:.1f}")
    console.print(table)

    report["shares"] = four = shares(given.times)
    table = Table("", "processor seconds", "of the peak", title="Embedded features at 250x350, with gradient")
    for name, one_share in four.items():
        table.add_row(name, f"{one_share['seconds']:.4f}", f"{100 * one_share['share']:.0f} %")
    console.print(table)

    report["scaling"] = three = scaling(SIDES, CANVASES, given.times)
    table = Table("", *("" for _ in range(7)), show_header=False, title="Seconds an evaluation, embedded")
    for key, row in three.items():
        table.add_row(f"{key}, side", *map(str, row["side"]))
        table.add_row(f"slope {row['slope']:.2f}", *(f"{value:.4f}" for value in row["seconds"]))
    console.print(table)
    if given.picture is not None:
        drawn(three, given.picture)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    np.random.seed(0)
    main()
