"""Memory: the plan against what the command takes, and what a larger canvas costs.

Every row is a process of its own, whose peak resident memory the system tells. In this order:

1. the plan's estimate against the peak of `blend run`, for presets, backbones, sizes and both ways of going about
   memory; the object is a disc that fills its source. Without --weights, torchvision's networks have random ones;
2. one object on growing canvases, files read and written: seconds an evaluation, seconds and peak of a run.

Large objects are tests/benchmarks/large.py's.

    python -m tests.benchmarks.memory [--weights VGG19.safetensors] [--only estimates] [--cases 560] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
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
# (preset, backbone, object, canvas rows, canvas columns, way)
ESTIMATED = (
    *(("natural", "embedded", side, 1500, 2000, "full") for side in (96, 200, 400, 560, 800)),
    *(("natural", "embedded", side, 1500, 2000, "thrifty") for side in (560, 800)),
    ("natural", "embedded", 1600, 3000, 4000, "full"),
    *(
        ("natural", "vgg19", side, 900, 1200, way)
        for side, way in ((200, "full"), (400, "full"), (560, "thrifty"))
    ),
    *(("natural", "random", 400, 600, 800, way) for way in ("full", "thrifty")),
    *((preset, "embedded", 400, 900, 1200, "full") for preset in ("painterly", "wacv2020", "resnet")),
    ("painterly", "embedded", 200, 450, 600, "full"),
    ("resnet", "resnet50", 200, 450, 600, "full"),
)


def disc(side: int) -> np.ndarray:
    """(n, n) uint8, a white disc of `side` pixels with a margin of a few."""
    count = side + side // 14
    rows, columns = np.mgrid[:count, :count] - (count - 1) / 2
    return np.where(rows**2 + columns**2 <= (side / 2) ** 2, np.uint8(255), np.uint8(0))


def pictures(folder: Path, mask: np.ndarray, canvas: tuple[int, int]) -> list[str]:
    """The options that name source, mask and target, which are written."""
    made = {"source": smooth_picture(1, *mask.shape), "mask": mask, "target": smooth_picture(2, *canvas)}
    words = []
    for part, pixels in made.items():
        path = folder / f"{mask.shape[0]}-{canvas[1]}-{part}.png"
        Image.fromarray(pixels).save(path, compress_level=1)
        words += [f"--{part}-file", str(path)]
    return words


def random_weights(name: str, folder: Path) -> Path:
    """A state dict of one of torchvision's networks, not trained, without its classifier."""
    import torch
    from torchvision import models

    path = folder / f"{name}.pth"
    if not path.exists():
        state = models.get_model(name, weights=None).state_dict()
        torch.save({key: value for key, value in state.items() if "classifier" not in key}, path)
    return path


def planned(words: list[str]) -> dict[str, Any]:
    """In a process of its own: what a command plans to take, and its peak."""
    from deep_image_blending.cli.app import main as blend
    from deep_image_blending.runs import plan

    decide, decisions = plan.decide, list[plan.Decision]()

    def noted(*given: Any, **more: Any) -> plan.Decision:
        decisions.append(decide(*given, **more))
        return decisions[-1]

    plan.decide = noted
    try:
        blend(words)
    except SystemExit as ended:
        if ended.code:
            raise
    return {"estimate": decisions[-1].plan.peak.host, "measured": peak()}


def estimated(case: tuple[Any, ...], steps: int, weights: Path | None = None) -> dict[str, Any]:
    """The plan's estimate of a case and the peak of its command, in bytes."""
    preset, backbone, side, rows, columns, way = case
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["run", "--quiet", *pictures(folder, disc(side), (rows, columns))]
        words += ["--preset", preset, "--backbone", backbone, "--memory", way, "--num-steps", str(steps)]
        words += ["--output-dir", str(folder / "run"), "--threads", "1"]
        if backbone not in ("embedded", "random"):
            words += [
                "--weights",
                str(weights if weights and backbone == "vgg19" else random_weights(backbone, folder)),
            ]
        return in_process({"words": words})


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
    """`planned` of words, or `read` of a path and a kind, in a process of its own."""
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
    words = [sys.executable, "-m", "deep_image_blending.cli", "run", "--quiet", "--num-steps", str(steps)]
    words += pictures(folder, disc_mask(side, side), canvas)
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
    table = Table("case", "plan", "peak", "plan / peak")
    table.title = "1. Peak memory of `blend run` (GiB)"
    found = []
    for case in ESTIMATED:
        preset, backbone, side, rows, columns, way = case
        shown = f"{preset}, {backbone}, {side} px on {columns}x{rows}, {way}"
        if given.cases not in shown:
            continue
        one = estimated(case, given.steps, given.weights)
        found.append({"case": shown, **one})
        plan, used = one["estimate"] / GIB, one["measured"] / GIB
        console.print(f"{shown}: {plan:.2f} for {used:.2f}, {plan / used:.2f}", style="dim")
        table.add_row(shown, f"{plan:.2f}", f"{used:.2f}", f"{plan / used:.2f}")
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
    found = {}
    for way in ("full", "thrifty"):
        one = estimated(("natural", "embedded", 200, 400, 500, way), 4)
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
    parser.add_argument("--steps", type=int, default=24, help="evaluations a pass where estimates are compared")
    parser.add_argument("--run-steps", type=int, default=60, help="evaluations a pass on growing canvases")
    parser.add_argument("--object", type=int, default=160)
    parser.add_argument("--cases", default="", help="a part of the names of the cases to estimate")
    parser.add_argument("--only", choices=("estimates", "canvases"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case is not None:
        case = json.loads(given.case)
        print(json.dumps(planned(case["words"]) if isinstance(case, dict) else read(*case)))
        return
    console, report = Console(width=110), dict[str, Any]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.only != "canvases":
            report["estimates"] = estimates(given, console)
        if given.only != "estimates":
            report["canvases"] = canvases(given, console, folder)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
