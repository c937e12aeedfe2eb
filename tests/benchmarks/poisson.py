"""Poisson cloning against other programs: `python -m tests.benchmarks.poisson [--sizes 0.05 0.2 1] [--json F]`.

Seconds and residual of ours, OpenCV's seamlessClone, fpie's back ends, SciPy's direct solver and pyamg on the
bundled demo's pictures, and what they do where the mask touches the canvas's border (--png shows it). What is not
installed is left out: `poetry install --with benchmark` brings OpenCV and pyamg, `pip install fpie numba` fpie.
Its compiled back ends need CMake, a C++ compiler and pybind11's sources (`pybind11/` in its source distribution).

Equal residual: fpie iterates until its own measure, the sum of |A u - b|, is ours; compiled back ends give
8-bit pictures, but that measure they take in float32. seamlessClone solves on the mask's bounding box, with the
target's gradients around the mask: another problem, whose solution changes what lies outside the mask. The
energy ‖A u - b‖² / ‖b‖² is of the picture returned, rounded or not. Errors are grey levels from the direct
solution, largest over the mask. On busy cores OpenMP's threads wait for each other: the gcc back end, of one
thread, stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import sparse
from scipy.sparse.linalg import splu

from deep_image_blending.pictures.demo import DEFAULT, demos
from deep_image_blending.solve.membrane import edge_stopping_membrane
from deep_image_blending.solve.poisson import guidance_laplacian, mixed_laplacian, poisson_residual, solve_poisson

from .timing import times_faster

# The measure of a good solution: what is left of the guidance's energy.
GOAL = 1e-4


@dataclass(frozen=True)
class Problem:
    """8-bit levels as float32 (H, W, 3) and the region (H, W)."""

    source: np.ndarray
    target: np.ndarray
    region: np.ndarray

    @property
    def laplacian(self) -> np.ndarray:
        return guidance_laplacian(self.source)

    def share(self, u: np.ndarray) -> float:
        """Σ |A u - b| / Σ |b|: fpie's measure."""
        b = self.laplacian
        left = guidance_laplacian(u)[self.region] - b[self.region]
        return float(np.abs(left).sum() / np.abs(b[self.region]).sum())


@dataclass(frozen=True)
class Row:
    """One method on one problem: seconds, and ours for a residual as small; None where it crashed."""

    method: str
    seconds: Seconds | None
    ours: Seconds | None = None
    energy: float | None = None
    share: float | None = None
    error: float | None = None
    outside: float | None = None
    note: str = ""


def problem(megapixels: float, shape: str = "inside") -> Problem:
    """The demo's pictures, halved in contrast so that no method has to clip, and a wavy disc or a corner."""
    radius = np.sqrt(megapixels * 1e6 / np.pi)
    side = int(2.2 * radius) + 8

    def picture(path: Path) -> np.ndarray:
        opened = Image.open(path).convert("RGB")
        square = opened.crop((0, 0, min(opened.size), min(opened.size))).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        return np.rint(64 + np.asarray(square, np.float32) / 2)

    demo = next(demo for demo in demos() if demo.name == DEFAULT)
    centre = side / 2 if shape == "inside" else 0.0
    y, x = np.mgrid[:side, :side] - centre
    reach = radius if shape == "inside" else 1.5 * radius
    region = np.hypot(x, y) < reach * (1 + 0.04 * np.sin(7 * np.arctan2(y, x)))
    return Problem(picture(demo.source), picture(demo.target), region)


class Seconds(NamedTuple):
    """By the clock, and of all cores together: other work on the machine lengthens only the first."""

    clock: float
    cores: float


def median(action: Callable[[], np.ndarray], times: int) -> tuple[Seconds, np.ndarray]:
    clock, cores = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        found = action()
        clock.append(time.perf_counter() - began)
        cores.append(time.process_time() - used)
    return Seconds(statistics.median(clock), statistics.median(cores)), found


def matrix(region: np.ndarray) -> sparse.csc_matrix:
    """The 4-neighbour Laplacian on the region's pixels in order, neighbours off the canvas left out."""
    number = np.cumsum(region).reshape(region.shape) - 1
    count = int(region.sum())
    diagonal, rows, columns = np.zeros(count), [], []
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for a, b in ((one, other), (other, one)):
            diagonal += np.bincount(number[a][region[a]], minlength=count)
            both = region[a] & region[b]
            rows.append(number[a][both])
            columns.append(number[b][both])
    edges = sparse.coo_matrix(
        (-np.ones(sum(map(len, rows))), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    )
    return (sparse.diags(diagonal) + edges).tocsc()


def right_side(given: Problem) -> np.ndarray:
    outside = np.where(given.region[..., None], 0.0, given.target)
    return (given.laplacian - guidance_laplacian(outside))[given.region]


def filled(given: Problem, values: np.ndarray) -> np.ndarray:
    result = given.target.astype(np.float64)
    result[given.region] = values
    return result


def direct(given: Problem) -> np.ndarray:
    return filled(given, splu(matrix(given.region), permc_spec="MMD_AT_PLUS_A").solve(right_side(given)))


def algebraic(given: Problem, tolerance: float) -> np.ndarray:
    """pyamg's classical multigrid (set-up included) with conjugate gradients."""
    import pyamg

    levels = pyamg.ruge_stuben_solver(matrix(given.region).tocsr())
    right = right_side(given)
    start = np.full(len(right), given.target[~given.region].mean())
    solved = [levels.solve(right[:, c], x0=start, tol=tolerance, accel="cg") for c in range(3)]
    return filled(given, np.stack(solved, 1))


def seamless_clone(given: Problem) -> np.ndarray:
    """OpenCV puts the mask's bounding box, not the source, at the centre it is given."""
    import cv2

    rows, columns = np.flatnonzero(given.region.any(1)), np.flatnonzero(given.region.any(0))
    centre = (
        int(columns[0] + (columns[-1] - columns[0] + 1) // 2),
        int(rows[0] + (rows[-1] - rows[0] + 1) // 2),
    )
    source, target = (np.ascontiguousarray(p.astype(np.uint8)) for p in (given.source, given.target))
    mask = given.region.astype(np.uint8) * 255
    return np.asarray(cv2.seamlessClone(source, target, mask, centre, cv2.NORMAL_CLONE), np.float64)


class Fpie:
    """One of fpie's solvers on one problem."""

    def __init__(self, given: Problem, backend: str, method: str) -> None:
        from fpie import process

        self.kind = process.EquProcessor if method == "equ" else process.GridProcessor
        self.given, self.backend = given, backend
        self.energy = float(np.abs(given.laplacian[given.region]).sum())

    def started(self) -> Any:
        processor = self.kind("src", self.backend)
        mask = self.given.region.astype(np.uint8) * 255
        processor.reset(self.given.source.copy(), mask, self.given.target.copy(), (0, 0), (0, 0))
        processor.sync()
        return processor

    def iterations(self, share: float, patience: float) -> tuple[int, float]:
        """How many until Σ|A u - b| / Σ|b| is `share`, and what it is then, or when patience ends."""
        processor, done, step = self.started(), 0, 1
        began = time.perf_counter()
        while True:
            found = float(np.sum(processor.step(step)[1])) / self.energy
            done += step
            if found <= share or time.perf_counter() - began > patience:
                return done, found
            step = max(1, done // 20)

    def solve(self, iterations: int) -> np.ndarray:
        return np.asarray(self.started().step(iterations)[0], np.float64)


def fpie_kinds() -> Iterator[tuple[str, str]]:
    if find_spec("fpie") is None:
        return
    from fpie import process

    for backend, method in (
        ("numpy", "equ"),
        ("numba", "equ"),
        ("gcc", "equ"),
        ("openmp", "equ"),
        ("openmp", "grid"),
    ):
        if backend in process.ALL_BACKEND:
            yield backend, method


class Ours:
    """Ours on one problem, and what each tolerance leaves."""

    def __init__(self, given: Problem, times: int) -> None:
        self.given, self.times = given, times
        self.left: list[tuple[float, float, float]] = []
        for tolerance in np.geomspace(1, 1e-8, 17):
            u = self.solve(float(tolerance))
            self.left.append((float(tolerance), self.given.share(u), self.energy(u)))

    def solve(self, tolerance: float = 1e-6) -> np.ndarray:
        """Guidance included: the others make theirs too."""
        given = self.given
        return solve_poisson(given.target, given.laplacian, given.region, tolerance=tolerance)

    def energy(self, u: np.ndarray) -> float:
        return poisson_residual(u, self.given.laplacian, self.given.region)

    def timed(self, *, share: float = np.inf, energy: float = np.inf) -> tuple[float, Seconds, np.ndarray]:
        """Tolerance, seconds and picture of the loosest tolerance that leaves no more."""
        reached = [t for t, a, b in self.left if a <= share and b <= energy]
        tolerance = max(reached, default=self.left[-1][0])
        return tolerance, *median(lambda: self.solve(tolerance), self.times)


def measured(judge: Ours, reference: np.ndarray, method: str, seconds: Seconds, u: np.ndarray, **more: Any) -> Row:
    given = judge.given
    found = {
        "energy": judge.energy(u),
        "share": given.share(u),
        "error": float(np.abs(u - reference)[given.region].max()),
        "outside": float(np.abs(u - given.target)[~given.region].max()),
    }
    return Row(method, seconds, **{**found, **more})


def compare(megapixels: float, options: argparse.Namespace) -> list[Row]:
    """Everyone on a mask inside the canvas."""
    given = problem(megapixels)
    ours = Ours(given, options.times)
    default, u = median(ours.solve, options.times)
    loose, quick, v = ours.timed(energy=GOAL)
    rows = []
    if megapixels <= options.direct_up_to:
        seconds, reference = median(lambda: direct(given), 1)
        rows.append(measured(ours, reference, "SciPy direct (SuperLU)", seconds, reference, ours=default))
    else:
        reference = ours.solve(1e-11)
    rows.insert(
        0,
        measured(
            ours, reference, f"ours, energy below {GOAL:g}", quick, v, ours=quick, note=f"tolerance {loose:.1g}"
        ),
    )
    rows.insert(0, measured(ours, reference, "ours, default", default, u, ours=default, note="tolerance 1e-06"))
    if find_spec("pyamg"):
        size = np.linalg.norm(guidance_laplacian(u)[given.region] - given.laplacian[given.region])
        tolerance = float(size / np.linalg.norm(right_side(given)))
        seconds, w = median(lambda: algebraic(given, tolerance), 1)
        rows.append(measured(ours, reference, "pyamg, set-up included", seconds, w, ours=default))
    if find_spec("cv2"):
        seconds, w = median(lambda: seamless_clone(given), options.times)
        note = f"8-bit, another problem; ours at {loose:.1g}"
        rows.append(measured(ours, reference, "OpenCV seamlessClone", seconds, w, ours=quick, note=note))
    for backend, method in fpie_kinds():
        solver = Fpie(given, backend, method)
        solver.solve(1)
        shares = [given.share(v)] + ([given.share(u)] if (backend, method) == ("openmp", "equ") else [])
        for goal in shares:
            count, share = solver.iterations(goal, options.patience)
            seconds, w = median(partial(solver.solve, count), options.times if count < 1000 else 1)
            tolerance, equal, _ = ours.timed(share=share)
            note = f"{count} iterations; ours at {tolerance:.1g}" + ("; gave up" if share > goal else "")
            name = f"fpie {backend} {method}"
            rows.append(measured(ours, reference, name, seconds, w, ours=equal, share=share, note=note))
    return rows


def at_the_border(options: argparse.Namespace) -> tuple[list[Row], dict[str, np.ndarray]]:
    """A mask over a corner of the canvas: no neighbours there, hence no condition (Neumann, natural)."""
    given = problem(options.border, "corner")
    ours = Ours(given, 1)
    seconds, reference = median(lambda: direct(given), 1)
    pictures = {"target": given.target, "SciPy direct": reference}
    rows = [measured(ours, reference, "SciPy direct", seconds, reference)]

    def add(name: str, solve: Callable[[], np.ndarray]) -> None:
        try:
            seconds, u = median(solve, 1)
        except Exception as error:
            rows.append(Row(name, None, note=" ".join(str(error).split())[:100]))
            return
        pictures[name] = u
        rows.append(measured(ours, reference, name, seconds, u))

    add("ours", ours.solve)
    if find_spec("cv2"):
        add("OpenCV seamlessClone", lambda: seamless_clone(given))
    for backend, method in [kind for kind in fpie_kinds() if kind[1] == "equ"][-1:]:
        solver = Fpie(given, backend, method)
        add(f"fpie {backend} {method}", partial(solver.solve, options.border_iterations))
    return rows, pictures


def variants(megapixels: float, options: argparse.Namespace) -> dict[str, Seconds]:
    """Seconds of ours with mixed gradients, and of the membrane that edges stop."""
    given = problem(megapixels)

    def mixed() -> np.ndarray:
        laplacian = mixed_laplacian(given.source, given.target, given.region)
        return solve_poisson(given.target, laplacian, given.region)

    def membrane() -> np.ndarray:
        return edge_stopping_membrane(given.source, given.target, given.region)

    def cloning() -> np.ndarray:
        return solve_poisson(given.target, given.laplacian, given.region)

    return {
        "cloning": median(cloning, options.times)[0],
        "mixed gradients": median(mixed, options.times)[0],
        "edge-stopping membrane": median(membrane, options.times)[0],
    }


def ratios(_: Path | None) -> dict[str, float]:
    """The short form: processor seconds of the others over those of ours for a residual as small."""
    given = problem(0.1)
    ours = Ours(given, 5)
    found = {"SciPy direct / ours": times_faster(lambda: direct(given), ours.solve)}
    if find_spec("pyamg"):
        u = ours.solve()
        left = np.linalg.norm(guidance_laplacian(u)[given.region] - given.laplacian[given.region])
        tolerance = float(left / np.linalg.norm(right_side(given)))
        found["pyamg / ours"] = times_faster(lambda: algebraic(given, tolerance), ours.solve)
    if find_spec("cv2"):
        loose, _, _ = ours.timed(energy=GOAL)
        found["OpenCV / ours"] = times_faster(lambda: seamless_clone(given), lambda: ours.solve(loose))
    return found


def table(title: str, rows: list[Row]) -> Table:
    names = (
        "",
        "seconds",
        "of cores",
        "ours as good",
        "of cores",
        "ratio",
        "energy",
        "Σ|r|/Σ|b|",
        "error",
        "outside",
    )
    found = Table(*names, "", title=title)
    for row in rows:
        times = [*(row.seconds or (None, None)), *(row.ours or (None, None))]
        ratio = [row.seconds.clock / row.ours.clock if row.seconds and row.ours else None]
        numbers = [
            "-" if value is None else format(value, form)
            for value, form in (
                *zip(times + ratio, (".3f", ".3f", ".3f", ".3f", ".2f"), strict=True),
                (row.energy, ".1e"),
                (row.share, ".1e"),
                (row.error, ".2g"),
                (row.outside, ".2g"),
            )
        ]
        found.add_row(row.method, *numbers, row.note)
    return found


def sheet(pictures: dict[str, np.ndarray], reference: str) -> np.ndarray:
    """Pictures above their differences from the reference, 8 times as large, around grey."""
    top = np.hstack(list(pictures.values()))
    below = np.hstack([128 + 8 * (p - pictures[reference]) for p in pictures.values()])
    return np.rint(np.vstack([top, below]).clip(0, 255)).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.05, 0.2, 1.0], help="megapixels of the mask")
    parser.add_argument("--times", type=int, default=5, help="runs, of which the median counts")
    parser.add_argument("--patience", type=float, default=30, help="seconds until fpie is given up")
    parser.add_argument("--direct-up-to", type=float, default=1.0, help="megapixels; SuperLU takes 3 GiB for one")
    parser.add_argument("--border", type=float, default=0.02, help="megapixels of the mask at the border")
    parser.add_argument("--border-iterations", type=int, default=5000, help="of fpie, for the border")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path, help="what each makes of the mask at the border")
    given = parser.parse_args()
    console = Console(width=180)
    report: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "sizes": {}, "variants": {}}
    for size in given.sizes:
        rows = compare(size, given)
        console.print(table(f"Mask of {size:g} megapixels; ratio: seconds over ours as good", rows))
        report["sizes"][f"{size:g}"] = [asdict(row) for row in rows]
    rows, pictures = at_the_border(given)
    console.print(table(f"Mask of {given.border:g} megapixels in the canvas's corner", rows))
    report["border"] = [asdict(row) for row in rows]
    lines = Table(
        "megapixels", "cloning", "mixed gradients", "edge-stopping membrane", title="Seconds of ours (of cores)"
    )
    for size in given.sizes:
        report["variants"][f"{size:g}"] = found = variants(size, given)
        lines.add_row(f"{size:g}", *(f"{clock:.3f} ({cores:.3f})" for clock, cores in found.values()))
    console.print(lines)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if given.png is not None:
        Image.fromarray(sheet(pictures, "SciPy direct")).save(given.png)


if __name__ == "__main__":
    main()
