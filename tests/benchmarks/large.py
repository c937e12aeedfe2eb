"""Large objects: `python -m tests.benchmarks.large`: seconds and memory by size, and the exhaustive way beside.

The bundled mug is enlarged with its target, both get a photograph's grain, and both passes of `natural` are done,
in a process of their own. The exhaustive way gives the finest scale half of all evaluations, through all layers,
as for a small object. PSNR is between the two ways' pictures in the mask; style and content are the second pass's
terms of each picture at full size, through all layers.

    python -m tests.benchmarks.large [--sides 400 800 1600] [--exhaustive-up-to 800] [--threads 2]
    python -m tests.benchmarks.large --sides 1600 --files large

The second writes the pictures, and does no more: `blend run --timings` on them is a whole run.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from deep_image_blending import passes
from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.objectives import schedule
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Prepared, Setting
from deep_image_blending.options import presets
from deep_image_blending.pictures import as_float, load_mask, load_picture
from deep_image_blending.pictures.demo import demo_named
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.pictures.tensors import image_tensor
from deep_image_blending.runs.devices import keep_freed

GRAIN = 6.0
"""Standard deviation of the target's grain, in grey levels."""
EXHAUSTIVE = 1 << 60


def pictures_of(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mug, `side` pixels long, and a canvas two and a half times as wide: source, mask and target, uint8."""
    demo = demo_named("coffee")
    mask = (load_mask(demo.mask) > 0) * np.uint8(255)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    factor = side / max(np.ptp(rows) + 1, np.ptp(columns) + 1)
    size = (round(mask.shape[1] * factor), round(mask.shape[0] * factor))
    rng = np.random.default_rng(0)

    def enlarged(path: Any, to: tuple[int, int], grain: float) -> np.ndarray:
        picture = np.asarray(Image.open(path).convert("RGB").resize(to, Image.Resampling.BICUBIC), np.float32)
        noise = ndimage.gaussian_filter(rng.standard_normal((to[1], to[0])).astype(np.float32), 0.8)
        return (picture + grain * (noise / noise.std())[..., None]).clip(0, 255).astype(np.uint8)

    source = enlarged(demo.source, size, 0.5)
    target = enlarged(demo.target, (round(2.5 * side), round(1.875 * side)), GRAIN)
    return source, np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BICUBIC)), target


def scene_of(side: int) -> Scene:
    """The same as a scene."""
    source, mask, target = pictures_of(side)
    on = mask.astype(np.float32) / 255
    return compose_scene(load_picture(source), on, load_picture(target), Placement())


def written(side: int, folder: Path) -> None:
    """The same as files, for `blend run`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in zip(("source", "mask", "target"), pictures_of(side), strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")


def one(side: int, exhaustive: bool, threads: int, picture: Path) -> dict[str, Any]:
    """Both passes in this process: seconds, peak memory in GiB and terms; the object's pixels go to `picture`."""
    torch.set_num_threads(threads)
    keep_freed()
    if exhaustive:
        schedule.LARGE = EXHAUSTIVE  # type: ignore[misc]
    scene, options = scene_of(side), presets.preset("natural")
    backbone = load_backbone("embedded", passes.wanted_taps(options.second))
    conduct = passes.Conduct(prepared=Prepared())
    began, worked = time.perf_counter(), time.process_time()
    first = passes.first_pass(scene, options, backbone, conduct=conduct)
    second = passes.second_pass(scene, options, backbone, first.seen(), conduct)
    found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    top, left, bottom, right = scene.region()
    found["megapixels"] = (bottom - top) * (right - left) / 1e6
    np.save(picture, second.seen()[scene.canvas_mask() > 0])
    # What the second pass would say of it, through all layers, at full size.
    network, own = backbone.network.to(torch.device("cpu")), options.second
    kind = kind_of(own.objective)
    window = scene.window(*kind.surroundings(scene, network))
    height, width = window.mask.shape
    rows, columns = slice(window.top, window.top + height), slice(window.left, window.left + width)
    start = as_float(first.seen()[rows, columns])
    setting = Setting("second_pass", scene, window, own, network, start, torch.device("cpu"), Prepared(), 512)
    objective = kind.build(setting)
    with torch.no_grad():
        blend = image_tensor(as_float(second.seen()[rows, columns]), torch.device("cpu"))
        found |= {name: float(term) for name, term in objective.terms(objective.pixels.gather(blend)).items()}
    return found


def apart(side: int, exhaustive: bool, threads: int, picture: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    given = (str(side), "all" if exhaustive else "few", str(threads), str(picture))
    command = [sys.executable, "-m", "tests.benchmarks.large", "--one", *given]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def psnr(a: Path, b: Path) -> float:
    """Of two lists of pixels, in dB."""
    difference = np.load(a).astype(np.float64) - np.load(b)
    return 10 * math.log10(255**2 / max(1e-9, float((difference**2).mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[400, 800, 1600], help="pixels of the object")
    parser.add_argument(
        "--exhaustive-up-to", type=int, default=800, help="largest object that both ways are tried on"
    )
    parser.add_argument("--threads", type=int, default=2, help="of each run")
    parser.add_argument("--files", type=Path, help="write the pictures of the last side into this folder instead")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        side, way, threads, picture = given.one
        print(json.dumps(one(int(side), way == "all", int(threads), Path(picture))))
        return
    if given.files:
        written(given.sides[-1], given.files)
        return
    table = Table("object", "megapixels", "way", "seconds", "processor", "GiB", "style", "content", "PSNR")
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for side in given.sides:
            kept = {}
            for way in ("all", "few") if side <= given.exhaustive_up_to else ("few",):
                kept[way] = Path(folder) / f"{side}.{way}.npy"
                found = apart(side, way == "all", given.threads, kept[way])
                near = f"{psnr(kept['all'], kept['few']):.1f}" if len(kept) == 2 else ""
                numbers = (f"{found[name]:.3g}" for name in ("seconds", "processor", "peak", "style", "content"))
                table.add_row(str(side), f"{found['megapixels']:.2f}", way, *numbers, near)
            costs.append((found["megapixels"], found["processor"]))
    console = Console(width=115)
    console.print(table)
    if len(costs) > 1:
        (small, less), (large, more) = costs[0], costs[-1]
        slope = math.log(more / less) / math.log(large / small)
        console.print(f"processor time goes with the object's pixels to the power {slope:.2f}")


if __name__ == "__main__":
    main()
