"""The one optimisation loop: it knows no losses, no pictures and no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from deep_image_blending.errors import RunError
from deep_image_blending.solve.lbfgs import LBFGS


class Minimisable(Protocol):
    """What `minimise` needs of an objective."""

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """The weighted terms, 0-dim each, whose sum is minimised."""
        ...


class Diverged(RunError):
    """The loss stays non-finite."""


@dataclass
class LoopState:
    """Where a pass stands between two evaluations; with the solver's own state, all that a checkpoint saves.

    level: index of the resolution. evaluation: evaluations made in the pass. seconds: spent on them.
    recent: the lowest losses after each of the level's last evaluations. restarted: a non-finite loss was met.
    first, last: weighted terms of the first and of the last evaluation at the finest resolution. before: the
    picture that the round before ended with, where the pass goes in rounds.
    """

    solver: LBFGS
    level: int = 0
    evaluation: int = 0
    seconds: float = 0.0
    recent: list[float] = field(default_factory=list)
    restarted: bool = False
    first: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    before: Tensor | None = None


@dataclass(frozen=True)
class Stretch:
    """Where in its pass a call of `minimise` stands, for observers.

    scale: pixels of the canvas to one here. finest: the pass's finest scale. round: 1 for the first of so many
    `rounds`; both 0 where the pass has none.
    """

    scale: int = 1
    finest: int = 1
    round: int = 0
    rounds: int = 0


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the objective, as observers receive it.

    index: 1 for the pass's first. budget: how many the pass may make. scale: pixels of the canvas to one here.
    terms: weighted loss terms. point: the unknowns that were evaluated. state: for checkpoints. round: of so many
    `rounds`, where the pass goes in rounds.
    """

    index: int
    budget: int
    scale: int
    seconds: float
    total: float
    terms: Mapping[str, float]
    point: Tensor
    state: LoopState
    round: int = 0
    rounds: int = 0


Observer = Callable[[Evaluation], None]

_WHOLE = Stretch()

SETTLED_OVER = 10
"""Evaluations over which the decrease is compared with the tolerance."""


def minimise(
    objective: Minimisable,
    state: LoopState,
    *,
    until: int,
    budget: int,
    tolerance: float = 0.0,
    stretch: Stretch = _WHOLE,
    observers: Sequence[Observer] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """Evaluate until `until` evaluations are made, the solver ends, or the objective has settled; say which.

    Returns `budget`, `settled`, `converged` or `stalled`. A loss that is not finite sends the solver back to its
    best point once, with a tenth of its step. Raises Diverged when that does not help.
    """
    solver = state.solver
    while state.evaluation < until:
        began = clock()
        point = solver.ask().detach().requires_grad_(True)
        terms = objective.terms(point)
        total = torch.stack(list(terms.values())).sum()
        (gradient,) = torch.autograd.grad(total, point)
        point = point.detach()
        solver.tell(total.detach(), gradient)
        # One transfer for all numbers that observers see.
        values = torch.stack([*(term.detach() for term in terms.values()), total.detach()]).tolist()
        state.evaluation += 1
        state.seconds += clock() - began
        if solver.status == "diverged":
            if state.restarted or math.isinf(solver.best_loss):
                raise Diverged(
                    f"the loss was not finite at evaluation {state.evaluation} and a smaller step did not help"
                )
            state.restarted = True
            solver.restart(0.1 * (solver.lr if solver.line_search == "fixed" else solver.first_step))
        state.recent = [*state.recent[-SETTLED_OVER:], solver.best_loss]
        record = Evaluation(
            index=state.evaluation,
            budget=budget,
            scale=stretch.scale,
            seconds=state.seconds,
            total=values[-1],
            terms=dict(zip(terms, values, strict=False)),
            point=point,
            state=state,
            round=stretch.round,
            rounds=stretch.rounds,
        )
        if stretch.scale == stretch.finest:
            state.first, state.last = state.first or record.terms, record.terms
        for observer in observers:
            observer(record)
        if solver.status in ("converged", "stalled"):
            return solver.status
        if settled(state.recent, tolerance):
            return "settled"
    return "budget"


def settled(recent: Sequence[float], tolerance: float) -> bool:
    """Whether the lowest loss fell by less than `tolerance`, relatively, over the last evaluations.

    >>> settled([1.0] * 20, 1e-3), settled([1.0 / n for n in range(1, 20)], 1e-3)
    (True, False)
    """
    if tolerance <= 0 or len(recent) <= SETTLED_OVER:
        return False
    return recent[0] - recent[-1] <= tolerance * abs(recent[0])
