"""What a GPU makes of a blend: `python -m tests.benchmarks.gpu [--device cuda] [--json FILE]`.

One table, dated, with the device's name: the 512-pixel case and 12 megapixels, in float32 and in bf16. On the CPU
`--device cpu --small` tries it with tiny sizes.

seconds: of both passes, after scene, networks and plan are ready; the first blend of all, which loads the
device's libraries, does not count. Of several, the median. an evaluation: by the passes' own clock. peak, plan:
GiB on the device, a CUDA context included; on the CPU, of the process. The card must be idle otherwise.
from float32: the mean difference of the finished pictures inside the mask, in grey levels. seam, style: the
measures of `blend evaluate`. resume: a run that was stopped halfway through its second pass and continued, against
the one that was not: the largest difference in grey levels; 0 is bit-exact.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import gc
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from deep_image_blending.errors import InputError
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.options.machine import Machine
from deep_image_blending.options.pass_options import PASSES
from deep_image_blending.passes import PassResult
from deep_image_blending.pictures import DEFAULT, Pixels, as_float
from deep_image_blending.runs.devices import arithmetic, free_caches, resolve_device
from deep_image_blending.runs.execution import execute, prepare, run_pass
from deep_image_blending.runs.job import Hooks, new_job, resumed_job
from deep_image_blending.runs.recorder import Interrupted

from ..conftest import disc_mask, smooth_picture
from .memory import GIB
from .memory import peak as process_peak

PRECISIONS = ("float32", "bf16")


Case = Callable[[Path], dict[str, Any]]
"""The options that name a case's pictures; those that are made are written into the folder."""


def demo(side: int) -> Case:
    """The default demo, its target's longer side that long."""
    return lambda _: {"demo": DEFAULT, "ts": side}


def made(side: int, rows: int, columns: int) -> Case:
    """A made object on a made canvas."""

    def write(folder: Path) -> dict[str, Any]:
        pictures = {
            "source": smooth_picture(1, side, side),
            "mask": disc_mask(side, side),
            "target": smooth_picture(2, rows, columns),
        }
        for name, pixels in pictures.items():
            Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=1)
        return {f"{name}_file": folder / f"{name}.png" for name in pictures}

    return write


FULL = {"512": demo(512), "12 megapixels": made(1600, 3000, 4000)}
SMALL = {"512, in small": demo(96), "12 megapixels, in small": made(64, 120, 160)}


@dataclass(frozen=True)
class Row:
    """What one case in one precision took. Bytes, seconds, grey levels; resumed: None where it was not tried."""

    case: str
    precision: str
    seconds: float
    evaluation: float
    peak: int
    plan: int
    from_float32: float
    seam: float
    style: float
    resumed: float | None


class Card:
    """The device: its clock waits for it, and it knows its peak."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        self.cuda = self.device.type == "cuda"
        # The context is made before anything is asked of the allocator.
        torch.zeros(1, device=self.device)

    @functools.cached_property
    def title(self) -> str:
        if self.cuda:
            return torch.cuda.get_device_name(self.device)
        words = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
        model = words[0].partition(":")[2].strip() if words else platform.processor() or platform.machine()
        return f"{model}, {torch.get_num_threads()} thread(s)"

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def begin(self) -> None:
        """Forget the peak so far."""
        gc.collect()
        free_caches(str(self.device))
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            # Linux: the process's peak becomes what it holds now.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int:
        """Bytes at the peak since the beginning."""
        if not self.cuda:
            return process_peak()
        free, total = torch.cuda.mem_get_info(self.device)
        besides = total - free - torch.cuda.memory_reserved(self.device)
        return int(besides + torch.cuda.max_memory_reserved(self.device))


def both(given: Mapping[str, Any], card: Card) -> tuple[dict[str, PassResult], float, int, Any]:
    """Both passes in memory: results, their seconds, the plan's bytes and the scene."""
    job, hooks = new_job(given), Hooks()
    with arithmetic(job.machine.threads, job.options.precision):
        ready = prepare(job, hooks)
        began = card.now()
        first = run_pass(ready, "first_pass", hooks, None)
        second = run_pass(ready, "second_pass", hooks, None, first.seen())
        seconds = card.now() - began
    planned = ready.decision.plan.peak
    return (
        dict(zip(PASSES, (first, second), strict=True)),
        seconds,
        planned.device if card.cuda else planned.host,
        ready.scene,
    )


def resumed(given: Mapping[str, Any], evaluations: int, like: Pixels) -> float:
    """The largest difference from `like` of a run that is stopped after so many evaluations, and continued."""
    seen: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        hooks = Hooks(observers=[lambda record: seen.append(record.index)], stop=lambda: len(seen) >= evaluations)
        try:
            execute(new_job({**given, "output_dir": run}), hooks)
        except Interrupted:
            machine = {key: given[key] for key in ("device", "precision")}
            outcome = execute(resumed_job(run, machine, PASSES))
            return float(np.abs(as_float(outcome.results["second_pass"].written()) - as_float(like)).max())
    raise AssertionError("the run ended before it was stopped")


def measured(name: str, case: Case, card: Card, steps: int, times: int, resume: bool) -> list[Row]:
    """One case in both precisions."""
    rows: list[Row] = []
    exact: Pixels | None = None
    with tempfile.TemporaryDirectory() as folder:
        pictures = case(Path(folder))
        for precision in PRECISIONS:
            given = {**pictures, "device": str(card.device), "precision": precision, "num_steps": steps}
            taken = []
            card.begin()
            for _ in range(times):
                results, seconds, planned, scene = both(given, card)
                taken.append(seconds)
            peak = card.peak()
            picture = results["second_pass"].written()
            exact = picture if exact is None else exact
            inside = scene.canvas_mask() > 0
            measures = evaluate_scene(scene, picture)
            count = sum(one.evaluations for one in results.values())
            halfway = results["first_pass"].evaluations + results["second_pass"].evaluations // 2
            rows.append(
                Row(
                    name,
                    precision,
                    statistics.median(taken),
                    sum(one.seconds for one in results.values()) / count,
                    peak,
                    planned,
                    float(np.abs(as_float(picture) - as_float(exact))[inside].mean()),
                    measures.get("seam", float("nan")),
                    measures.get("style_distance", float("nan")),
                    resumed(given, halfway, picture) if resume else None,
                )
            )
    return rows


def told(rows: list[Row], title: str) -> Table:
    table = Table(
        "case", "precision", "seconds", "an evaluation", "peak", "plan", "plan / peak", "from float32", "seam",
        "style", "resume", title=title,
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.case,
            row.precision,
            f"{row.seconds:.2f}",
            f"{1000 * row.evaluation:.1f} ms",
            f"{row.peak / GIB:.2f}",
            f"{row.plan / GIB:.2f}",
            f"{row.plan / row.peak:.2f}",
            f"{row.from_float32:.2f}",
            f"{row.seam:.2f}",
            f"{row.style:.2f}",
            "" if row.resumed is None else f"{row.resumed:g}",
        )
    return table


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes and few evaluations, to try it")
    parser.add_argument(
        "--steps", type=int, help="evaluations a pass; default: the preset's 60, or 6 with --small"
    )
    parser.add_argument("--times", type=int, default=3, help="blends, of which the median counts")
    parser.add_argument("--no-resume", action="store_true", help="leave resuming out")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        card = Card(resolve_device(Machine(device=given.device))[0])
    except InputError as error:
        parser.error(str(error))
    steps = given.steps or (6 if given.small else 60)
    # Libraries are loaded, and the context is made, by a blend that does not count.
    measured("", demo(96), card, 2, 1, False)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    title = f"{card.title}, PyTorch {torch.__version__}, {today}, {steps} evaluations a pass"
    rows = [
        row
        for name, case in (SMALL if given.small else FULL).items()
        for row in measured(name, case, card, steps, given.times, not given.no_resume)
    ]
    Console(width=140).print(told(rows, title))
    if given.json is not None:
        report = {
            "device": card.title,
            "torch": torch.__version__,
            "date": today,
            "rows": [asdict(r) for r in rows],
        }
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
