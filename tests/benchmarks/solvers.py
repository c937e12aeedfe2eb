"""Solvers on the first pass's objective: `python -m tests.benchmarks.solvers [--demo NAME] [--steps 60]`.

Ours, with and without its preconditioner, against PyTorch's L-BFGS (strong Wolfe line search, and the fixed step
of 1 that it has by default), SciPy's L-BFGS-B and Adam, all from the Poisson start, with the same history where
they have one, on the `natural` preset's first pass at full resolution. The lowest objective after so many
evaluations, over its value at the start, and the evaluations and seconds until each was as low as PyTorch's strong
Wolfe search at the end. Every evaluation counts, those of line searches too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from torch import Tensor

from deep_image_blending.objectives.objective import Objective
from deep_image_blending.options import presets
from deep_image_blending.options.pass_options import PassOptions
from deep_image_blending.passes.two_passes import FIRST_STEP
from deep_image_blending.pictures import image_tensor
from deep_image_blending.pictures.demo import demo_named
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.preconditioner import sobolev_preconditioner

from .embedded import problem, scene_of

CPU = torch.device("cpu")
HISTORY = 20


class Enough(Exception):
    """All evaluations are spent."""


class Counted:
    """An objective's value and gradient, and what was reached when."""

    def __init__(self, objective: Objective, budget: int) -> None:
        self.objective, self.budget = objective, budget
        self.began = time.perf_counter()
        self.seconds: list[float] = []
        self.lowest: list[float] = []

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.lowest) == self.budget:
            raise Enough
        x = x.detach().requires_grad_(True)
        total = torch.stack(list(self.objective.terms(x).values())).sum()
        (gradient,) = torch.autograd.grad(total, x)
        value = float(total.detach())
        self.lowest.append(min(value, self.lowest[-1]) if self.lowest else value)
        self.seconds.append(time.perf_counter() - self.began)
        return total.detach(), gradient


def of_ours(preconditioned: bool) -> Callable[[Counted, Tensor, float], None]:
    def run(f: Counted, x: Tensor, cutoff: float) -> None:
        pixels = f.objective.pixels
        precondition = sobolev_preconditioner(pixels, cutoff) if preconditioned else None
        solver = LBFGS(x, history=HISTORY, first_step=FIRST_STEP, precondition=precondition)
        while solver.status == "running":
            solver.tell(*f(solver.ask()))

    return run


def of_torch(line_search: str | None) -> Callable[[Counted, Tensor, float], None]:
    def run(f: Counted, x: Tensor, _: float) -> None:
        x = x.clone().requires_grad_(True)
        # Tolerances of 0: it stops when evaluations are spent.
        solver = torch.optim.LBFGS(
            [x], 1.0, f.budget, f.budget, 0, 0, history_size=HISTORY, line_search_fn=line_search
        )  # fmt: skip

        def closure() -> Tensor:
            value, x.grad = f(x)
            return value

        while True:
            solver.step(closure)  # type: ignore[no-untyped-call]

    return run


def of_scipy(f: Counted, x: Tensor, _: float) -> None:
    def value_and_gradient(flat: Any) -> tuple[float, Any]:
        value, gradient = f(torch.from_numpy(flat).float().view_as(x))
        return float(value), gradient.double().numpy().ravel()

    options = {"maxcor": HISTORY, "maxiter": 10**6, "maxfun": 10**6, "ftol": 0, "gtol": 0}
    minimize(value_and_gradient, x.double().numpy().ravel(), jac=True, method="L-BFGS-B", options=options)


def of_adam(f: Counted, x: Tensor, _: float) -> None:
    x = x.clone().requires_grad_(True)
    solver = torch.optim.Adam([x], lr=2.0)
    while True:
        _, x.grad = f(x)
        solver.step()


SOLVERS = {
    "ours, preconditioned": of_ours(True),
    "ours": of_ours(False),
    "PyTorch L-BFGS, strong Wolfe": of_torch("strong_wolfe"),
    "PyTorch L-BFGS, fixed step": of_torch(None),
    "SciPy L-BFGS-B": of_scipy,
    "Adam, step 2": of_adam,
}
REFERENCE = "PyTorch L-BFGS, strong Wolfe"


def compare(
    demo: str, scale: float, steps: int, options: PassOptions, weights: Path | None
) -> tuple[dict[str, Counted], float]:
    """What each solver reached when, and the goal."""
    objective, _, start = problem(scene_of(demo_named(demo), scale), options, weights)
    x = objective.pixels.gather(image_tensor(start, CPU))
    found: dict[str, Counted] = {}
    for name, solve in SOLVERS.items():
        with contextlib.suppress(Enough):
            # PyTorch's optimisers import their compiler at the first step.
            solve(Counted(objective, 2), x, options.cutoff)
        f = found[name] = Counted(objective, steps)
        with contextlib.suppress(Enough):
            solve(f, x, options.cutoff)
    return found, found[REFERENCE].lowest[-1]


def ratios(_: Path | None) -> dict[str, float]:
    """The short form: how far each rival falls while ours falls once, and what it needs for where it ends."""
    steps = 24
    found, _ = compare("shuttle", 0.3, steps, presets.preset("natural").first, None)
    ours = found["ours, preconditioned"]
    fell = ours.lowest[0] - ours.lowest[-1]
    known = {}
    for name in (REFERENCE, "SciPy L-BFGS-B", "Adam, step 2"):
        f = found[name]
        at = next((i for i, value in enumerate(ours.lowest, 1) if value <= f.lowest[-1]), None)
        known[f"evaluations, {name} / ours"] = 0.0 if at is None else steps / at
        known[f"decrease, ours / {name}"] = fell / max(f.lowest[0] - f.lowest[-1], 1e-9)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", default="shuttle")
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--backbone", default="embedded")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    options = dataclasses.replace(presets.preset("natural").first, backbone=given.backbone)
    found, goal = compare(given.demo, given.scale, given.steps, options, given.weights)
    table = Table(
        "solver", "objective / start", "evaluations to the goal", "seconds to the goal", "seconds an evaluation",
        title=f"{given.demo} at {given.scale}, {given.backbone}, {given.steps} evaluations",
        caption=f"goal: the objective of {REFERENCE} after {given.steps}",
    )  # fmt: skip
    report: dict[str, Any] = {"steps": given.steps, "goal": goal}
    for name, f in found.items():
        at = next((i for i, value in enumerate(f.lowest) if value <= goal), None)
        table.add_row(
            name,
            f"{f.lowest[-1] / f.lowest[0]:.4f}",
            "not reached" if at is None else str(at + 1),
            "" if at is None else f"{f.seconds[at]:.2f}",
            f"{np.diff(f.seconds).mean():.4f}",
        )
        report[name] = {"seconds": f.seconds, "lowest": f.lowest}
    Console(width=130).print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
