"""The published losses against seconds: `python -m tests.benchmarks.convergence --weights VGG19 [--size 256]`.

The baseline is the plain restatement of the published first pass (tests/published.py). Ours minimises the same
losses, seen by the blend itself, on the mask's pixels alone and from the Poisson solution: driven by the same
network, and by the embedded one. All are judged alike: the published program's terms, weights and network on the
final blend. The table tells when each of ours was as good as the baseline after its last evaluation, and as
good as the baseline's best, which it may have met earlier; everything before the first evaluation is counted,
judging is not, for none of them.

The input is what the weights were trained on. With the published program's 0..255 the published fixed step
diverges on VGG-19 (its losses, near 1e17, overflow single precision in the solver's products).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.networks.backbones import load_backbone, read_state_dict
from deep_image_blending.networks.mask_regions import bounding_box
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.pictures.demo import demo_named
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState, minimise
from deep_image_blending.solve.pixels import Pixels
from deep_image_blending.solve.poisson import solve_poisson
from deep_image_blending.solve.preconditioner import sobolev_preconditioner

from .. import published
from .speed import squared

TAPS = ("relu1_2", "relu2_2", "relu3_3")
CPU = torch.device("cpu")


@dataclass
class Curve:
    """What was reached when: seconds since the beginning, less those of judging, and the judged objective."""

    judge: Callable[[Tensor], float]
    clock: Callable[[], float] = time.perf_counter
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def note(self, evaluation: int, picture: Tensor) -> None:
        now = self.clock()
        self.seconds.append(now - self.began)
        self.values.append(self.judge(picture))
        self.evaluations.append(evaluation)
        self.began += self.clock() - now


class PublishedOnBlend:
    """The published first pass's losses where style, too, sees the blend; as a function of the mask's pixels.

    Gram matrices are sums over positions, so that of the canvas is the target's, plus what the region changes.
    """

    def __init__(self, network: Network, case: published.Case) -> None:
        mask = case.canvas_mask[None, None]
        self.box = bounding_box(mask)
        self.case, self.heads = case, network.heads
        self.pixels = Pixels(case.target, mask)
        self.guidance = torch.stack(case.guidance)[None]
        self.features = RegionFeatures(network, case.target, self.box, set(TAPS))
        black = torch.zeros_like(case.source)
        self.object_box = self.box.shifted(-case.top, -case.left)
        self.object_features = RegionFeatures(network, black, self.object_box, {published.CONTENT})
        with torch.no_grad():
            self.target = self._moments(case.target)
            self.object = self.object_features((case.source * case.mask)[:, :, *self.object_box.slices()])

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        blend = self.pixels.scatter(x)
        moments = self._moments(blend)
        style = []
        for tap in TAPS:
            change = losses.project_moment(moments[tap] - self.target[tap], self.heads.get(tap))[:-1, :-1]
            positions = self.features.sizes[tap][0] * self.features.sizes[tap][1]
            style.append((change / (len(change) * positions)).square().mean())
        return {
            "gradient": 1e4 * (losses.laplacian(blend) - self.guidance).square().mean(),
            "style": 1e4 * torch.stack(style).mean(),
            "content": self._content(blend),
            "tv": 1e-6 * losses.total_variation(blend),
        }

    def _moments(self, picture: Tensor) -> dict[str, Tensor]:
        found = self.features(picture[:, :, *self.box.slices()])
        return {tap: losses.second_moment(found[tap]) for tap in TAPS}

    def _content(self, blend: Tensor) -> Tensor:
        seen = (blend[:, :, *self.case.box] * self.case.mask)[:, :, *self.object_box.slices()]
        tap = published.CONTENT
        own, kept = (
            losses.apply_head(f[tap], self.heads.get(tap)) for f in (self.object_features(seen), self.object)
        )
        rows, columns = self.object_features.sizes[tap]
        return (own - kept).square().sum() / (own.shape[1] * rows * columns)


def ours(case: published.Case, backbone: str, weights: Path | None, curve: Curve, steps: int) -> Curve:
    """Our engine on the published losses of the blend, from the Poisson solution."""
    network = load_backbone(backbone, set(TAPS), weights=weights).network.to(CPU)
    guidance = torch.stack(case.guidance, -1).numpy()
    target = case.target[0].permute(1, 2, 0).numpy()
    start = solve_poisson(target, guidance, case.canvas_mask.numpy() > 0).clip(0, 255)
    objective = PublishedOnBlend(network, case)
    x = objective.pixels.gather(torch.from_numpy(start).float().permute(2, 0, 1)[None])
    curve.note(0, objective.pixels.scatter(x))
    solver = LBFGS(x, first_step=8.0, precondition=sobolev_preconditioner(objective.pixels, 2.0))

    def observe(record: Evaluation) -> None:
        best = record.state.solver.best
        curve.note(record.index, objective.pixels.scatter(best).clamp(0, 255))

    minimise(objective, LoopState(solver), until=steps, budget=steps, observers=(observe,))
    return curve


def baseline(case: published.Case, vgg: published.Vgg, curve: Curve, evaluations: int) -> Curve:
    """The published first pass, from the seed's noise."""
    every = max(1, evaluations // 40)

    def observe(evaluation: int, _: dict[str, float], z: Tensor) -> None:
        if evaluation % every == 0:
            curve.note(evaluation, published.blended(z.clamp(0, 255), case))

    end = published.run_first_pass(case, vgg, evaluations - 1, callback=observe)
    curve.note(evaluations, end)
    return curve


def compare(
    weights: Path,
    demo: str,
    size: int,
    evaluations: int,
    steps: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """The curves of all three. evaluations: the baseline's; steps: ours."""
    with tempfile.TemporaryDirectory() as folder:
        files = squared(demo_named(demo), Path(folder), size)
        case = published.load_case(*files, round(0.6 * size), size, size // 2, size // 2)
    vgg = published.Vgg(read_state_dict(weights), "vgg19", TAPS, published.standardised)

    def judge(picture: Tensor) -> float:
        with torch.no_grad():
            return float(sum(published.first_pass_terms(picture, case, vgg).values()))

    curves = {
        "published": baseline(case, vgg, Curve(judge, clock), evaluations),
        "ours, VGG-19": ours(case, "vgg19", weights, Curve(judge, clock), steps),
        "ours, embedded": ours(case, "embedded", None, Curve(judge, clock), steps),
    }
    report: dict[str, Any] = {"size": size, "threads": torch.get_num_threads(), "evaluations": evaluations}
    report["curves"] = {
        name: {"seconds": c.seconds, "objective": c.values, "evaluations": c.evaluations}
        for name, c in curves.items()
    }
    return report


def ratios(weights: Path | None) -> dict[str, float]:
    """The short form: processor seconds to the baseline's best, its over ours; 0 where ours never came there."""
    if weights is None:
        return {}
    curves = compare(weights, "shuttle", 96, 40, 20, time.process_time)["curves"]
    base = curves.pop("published")
    best = min(range(len(base["objective"])), key=base["objective"].__getitem__)
    found = {}
    for name, curve in curves.items():
        at = reached(curve, base["objective"][best])
        found[f"to its best, published / {name}"] = (
            0.0 if at is None else base["seconds"][best] / curve["seconds"][at]
        )
    return found


def reached(curve: dict[str, Any], goal: float) -> int | None:
    """Where a curve first is as low as the goal."""
    return next((i for i, value in enumerate(curve["objective"]) if value <= goal), None)


def told(report: dict[str, Any]) -> Table:
    """When ours was as good as the baseline's end, and as its best."""
    table = Table(
        "", "objective", "after", "seconds", "times faster",
        title=f"{report['size']} px, {report['threads']} thread(s)",
    )  # fmt: skip
    base = report["curves"]["published"]
    best = min(range(len(base["objective"])), key=base["objective"].__getitem__)
    for title, at in (("at its end", len(base["objective"]) - 1), ("at its best", best)):
        goal, seconds = base["objective"][at], base["seconds"][at]
        table.add_row(f"published, {title}", f"{goal:.4g}", str(base["evaluations"][at]), f"{seconds:.1f}", "1")
        for name in list(report["curves"])[1:]:
            curve = report["curves"][name]
            i = reached(curve, goal)
            if i is None:
                table.add_row(name, f"{min(curve['objective']):.4g}", "", "", "not reached")
                continue
            own = curve["seconds"][i]
            value, evaluation = curve["objective"][i], curve["evaluations"][i]
            table.add_row(name, f"{value:.4g}", str(evaluation), f"{own:.2f}", f"{seconds / own:.0f}")
    return table


def drawn(reports: list[dict[str, Any]], path: Path) -> None:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(
        1, len(reports), figsize=(5.5 * len(reports), 4), squeeze=False, layout="constrained"
    )
    for axes, report in zip(rows[0], reports, strict=True):
        for name, curve in report["curves"].items():
            axes.plot(curve["seconds"], curve["objective"], marker=".", markersize=4, label=name)
        axes.axhline(report["curves"]["published"]["objective"][-1], color="0.7", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="seconds", ylabel="published objective of the blend")
        axes.set_title(f"{report['size']} px, CPU, {report['threads']} thread(s)")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="VGG-19 state dict, to relu3_3 at least")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--demo", default="shuttle")
    parser.add_argument("--evaluations", type=int, default=200, help="of the baseline; a multiple of 20")
    parser.add_argument("--steps", type=int, default=80, help="evaluations of ours")
    parser.add_argument("--json", type=Path, help="write the curves here, below those that are there")
    parser.add_argument("--again", action="store_true", help="only tell and draw what the JSON file holds")
    parser.add_argument("--picture", type=Path, help="draw all entries of the JSON file here")
    given = parser.parse_args()
    reports: list[dict[str, Any]] = []
    if given.json is not None and given.json.is_file():
        reports = json.loads(given.json.read_text(encoding="utf-8"))
    if not given.again:
        reports.append(compare(given.weights, given.demo, given.size, given.evaluations, given.steps))
        if given.json is not None:
            given.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    for report in reports:
        Console(width=120).print(told(report))
    if given.picture is not None:
        drawn(reports, given.picture)


if __name__ == "__main__":
    main()
