"""Memory: the estimate against what is measured, and what a larger canvas or a large object costs.

Every row is a process of its own, whose peak resident memory the system tells. In this order:

1. the plan's estimate against the measured peak, for sizes, backbones and both ways of going about memory;
2. one object on growing canvases, files read and written: seconds an evaluation, seconds and peak of a run;
3. with --large, a 4000x3000 target with a 1500-pixel object.

    python -m tests.benchmarks.memory [--weights VGG19.safetensors] [--large] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ..conftest import disc_mask, smooth_picture

GIB = 2**30
BETWEEN = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""
# (object, canvas rows, canvas columns, backbone, way)
ESTIMATED = (
    (96, 160, 200, "embedded", "full"),
    (96, 160, 200, "vgg19", "full"),
    (400, 600, 800, "embedded", "full"),
    (400, 600, 800, "random", "full"),
    (400, 600, 800, "vgg19", "full"),
    (400, 2000, 2000, "vgg19", "full"),
    (800, 1200, 1200, "embedded", "full"),
    (800, 1200, 1200, "embedded", "thrifty"),
    (800, 1200, 1200, "random", "full"),
    (800, 1200, 1200, "vgg19", "full"),
    (800, 1200, 1200, "vgg19", "thrifty"),
)


def planned(case: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own: estimate, then run both passes in memory, and tell the peak."""
    import torch

    from deep_image_blending import passes
    from deep_image_blending.networks.backbones import load_backbone
    from deep_image_blending.options import presets
    from deep_image_blending.options.pass_options import PASSES
    from deep_image_blending.pictures import load_picture
    from deep_image_blending.pictures.scene import compose_scene
    from deep_image_blending.runs import plan
    from deep_image_blending.runs.devices import free_caches

    torch.set_num_threads(case["threads"])
    base = presets.preset("natural")
    for name in PASSES:
        own = dataclasses.replace(base.of(name), backbone=case["backbone"], num_steps=case["steps"])
        base = base.with_pass(name, own)
    side = case["object"]
    scene = compose_scene(
        load_picture(smooth_picture(1, side, side)),
        disc_mask(side, side).astype(np.float32) / 255,
        load_picture(smooth_picture(2, *case["canvas"])),
        base.placement,
    )
    taps = passes.wanted_taps(base.first)
    weights = case["weights"] if case["backbone"] == "vgg19" else None
    network = load_backbone(case["backbone"], taps, weights=weights and Path(weights))
    loaded = dict.fromkeys(PASSES, network)
    estimate = plan.plan_run(scene, base, loaded, PASSES, case["way"])
    guessed = sum(plan.seconds_of(estimate, base, loaded).values())
    began = time.perf_counter()
    # As a run does between its stages.
    conduct = passes.Conduct(phase=lambda _: free_caches("cpu"), thrifty=case["way"] == "thrifty")
    first = passes.first_pass(scene, base, network, conduct=conduct)
    middle = peak()
    frozen = first.written()
    del first
    second = passes.second_pass(scene, base, network, frozen, conduct)
    return {
        "estimate": estimate.peak.host,
        "by_pass": [estimate.held + one.amount.host for one in estimate.passes],
        "held": estimate.held,
        "measured": peak(),
        "after_first": middle,
        "seconds": time.perf_counter() - began,
        "seconds_estimate": guessed,
        "evaluations": second.evaluations,
    }


def read(path: str, kind: str) -> dict[str, int]:
    """In a process of its own: what a heading says that reading a `picture` or `mask` takes, and what it took."""
    from deep_image_blending.pictures import load_mask, load_picture
    from deep_image_blending.pictures.reading import picture_heading

    load = load_mask if kind == "mask" else load_picture
    # What is loaded for any picture is no part of this one.
    load(Path(path).with_name(f"small-{Path(path).name}"))
    said = picture_heading(Path(path)).decoding
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = peak()
    load(Path(path))
    return {"said": said, "took": peak() - before}


def peak() -> int:
    """Bytes of this process's peak resident memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def in_process(case: Any) -> dict[str, Any]:
    """`planned` of a case, or `read` of a path and a kind, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory", "--case", json.dumps(case)],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def command(
    folder: Path, side: int, canvas: tuple[int, int], steps: int, extra: tuple[str, ...]
) -> dict[str, Any]:
    """`blend run` as a user runs it."""
    name = f"{side}-{canvas[1]}"
    files = {part: folder / f"{name}-{part}.png" for part in ("source", "mask", "target")}
    Image.fromarray(smooth_picture(1, side, side)).save(files["source"], compress_level=1)
    Image.fromarray(disc_mask(side, side)).save(files["mask"], compress_level=1)
    Image.fromarray(smooth_picture(2, *canvas)).save(files["target"], compress_level=1)
    words = [sys.executable, "-m", "deep_image_blending.cli", "run", "--quiet", "--num-steps", str(steps)]
    for part, path in files.items():
        words += [f"--{part}-file", str(path)]
    run = folder / name
    began = time.perf_counter()
    # A child's peak begins with what its parent held when it was forked: a small process stands between.
    between = [sys.executable, "-S", "-c", BETWEEN, *words, "--output-dir", str(run), *extra]
    done = subprocess.run(between, check=True, capture_output=True, text=True)
    most, spent_by_cpu = (float(word) for word in done.stdout.split())
    seconds = time.perf_counter() - began
    spent = {}
    for one in ("first_pass", "second_pass"):
        rows = list(csv.DictReader((run / f"{one}.losses.csv").open(encoding="utf-8")))
        spent[one] = float(rows[-1]["seconds"]) / len(rows)
    return {
        "object": side,
        "canvas": canvas,
        "picture": 3 * canvas[0] * canvas[1],
        "seconds": seconds,
        "cpu_seconds": spent_by_cpu,
        "peak": 1024 * most,
        "evaluation": sum(spent.values()) / 2,
    }


def estimates(given: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    table = Table("object", "canvas", "backbone", "way", "estimate", "measured", "ratio", "s est.", "s")
    table.title = "1. Peak memory (GiB) and seconds: the plan's estimate against the run"
    found = []
    for side, rows, columns, backbone, way in ESTIMATED:
        if backbone == "vgg19" and given.weights is None:
            continue
        case = {"object": side, "canvas": (rows, columns), "backbone": backbone, "way": way}
        more = {"steps": given.steps, "threads": given.threads, "weights": given.weights and str(given.weights)}
        one = {**case, **in_process({**case, **more})}
        found.append(one)
        console.print(
            f"{side} px on {columns}x{rows}, {backbone}, {way}: "
            f"{one['estimate'] / GIB:.2f} for {one['measured'] / GIB:.2f}",
            style="dim",
        )
        table.add_row(
            str(side),
            f"{columns}x{rows}",
            backbone,
            way,
            f"{one['estimate'] / GIB:.2f}",
            f"{one['measured'] / GIB:.2f}",
            f"{one['estimate'] / one['measured']:.2f}",
            f"{one['seconds_estimate']:.1f}",
            f"{one['seconds']:.1f}",
        )
    console.print(table)
    return found


def canvases(given: argparse.Namespace, console: Console, folder: Path) -> list[dict[str, Any]]:
    table = Table("canvas", "s an evaluation", "ratio", "s whole run", "ratio", "peak GiB", "ratio, picture apart")
    table.title = f"2. A {given.object} px object, default options"
    found: list[dict[str, Any]] = []
    for side in (512, 1024, 2048, 4096):
        one = command(folder, given.object, (side, side), given.run_steps, ())
        found.append(one)
        base = found[0]
        table.add_row(
            f"{side}x{side}",
            f"{one['evaluation']:.4f}",
            f"{one['evaluation'] / base['evaluation']:.2f}",
            f"{one['seconds']:.1f} ({one['cpu_seconds']:.1f} CPU)",
            f"{one['seconds'] / base['seconds']:.2f}",
            f"{one['peak'] / GIB:.3f}",
            f"{(one['peak'] - one['picture']) / (base['peak'] - base['picture']):.2f}",
        )
    console.print(table)
    return found


def ratios(_: Path | None) -> dict[str, float]:
    """The short form: how near the plan is to the measured peak (1: exact), and what a larger canvas costs."""
    case = {"object": 200, "canvas": (400, 500), "backbone": "embedded", "steps": 4, "threads": 1, "weights": None}
    found = {}
    for way in ("full", "thrifty"):
        one = in_process({**case, "way": way})
        guess, measured = one["estimate"], one["measured"]
        found[f"plan against peak, {way}"] = min(guess, measured) / max(guess, measured)
    with tempfile.TemporaryDirectory() as folder:
        small, large = (command(Path(folder), 96, (side, side), 8, ()) for side in (256, 2048))
    found["peak, canvas of 256 / of 2048"] = (small["peak"] - small["picture"]) / (
        large["peak"] - large["picture"]
    )
    found["processor seconds, canvas of 256 / of 2048"] = small["cpu_seconds"] / large["cpu_seconds"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="VGG-19 state dict, to relu3_3 at least")
    parser.add_argument("--steps", type=int, default=8, help="evaluations a pass where estimates are compared")
    parser.add_argument("--run-steps", type=int, default=60, help="evaluations a pass on growing canvases")
    parser.add_argument("--object", type=int, default=160)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="the 4000x3000 target too")
    parser.add_argument("--only", choices=("estimates", "canvases"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case is not None:
        case = json.loads(given.case)
        print(json.dumps(planned(case) if isinstance(case, dict) else read(*case)))
        return
    console, report = Console(width=110), dict[str, Any]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.only != "canvases":
            report["estimates"] = estimates(given, console)
        if given.only != "estimates":
            report["canvases"] = canvases(given, console, folder)
        if given.large:
            large = command(folder, 1500, (3000, 4000), 4, ())
            report["large"] = [large]
            console.print(
                f"3. 1500 px on 4000x3000, 4 evaluations a pass: {large['peak'] / GIB:.2f} GiB, "
                f"{large['seconds']:.0f} s ({large['cpu_seconds']:.0f} CPU)"
            )
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
