"""The loop: budget, settling, recovery from non-finite losses, exact continuation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deep_image_blending.errors import RunError
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState, minimise, settled


class Bowl:
    """Two terms whose sum has its minimum 0 at 3."""

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        return {"left": (x - 3).square().sum() * 0.5, "right": (x - 3).pow(4).sum()}


class Cliff(Bowl):
    """Not a number beyond a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        found = super().terms(x)
        if float(x.detach().abs().max()) > self.limit:
            found["left"] = found["left"] * math.nan
        return found


def _state(line_search: str = "armijo") -> LoopState:
    return LoopState(LBFGS(torch.zeros(4, dtype=torch.float64), line_search=line_search, first_step=0.5))


def test_every_evaluation_is_one_record_with_its_terms() -> None:
    records: list[Evaluation] = []
    state = _state()
    assert minimise(Bowl(), state, until=7, budget=9, observers=(records.append,)) == "budget"
    assert [record.index for record in records] == list(range(1, 8))
    assert state.evaluation == 7
    first = records[0]
    assert first.terms == pytest.approx({"left": 4 * 4.5, "right": 4 * 81})
    assert first.total == pytest.approx(4 * 4.5 + 4 * 81)
    assert first.budget == 9
    assert (first.point == 0).all()


def test_minimum_is_found_and_settling_ends_early() -> None:
    state = _state()
    assert minimise(Bowl(), state, until=200, budget=200, tolerance=1e-3) in ("settled", "converged", "stalled")
    assert state.evaluation < 100
    torch.testing.assert_close(state.solver.best, torch.full((4,), 3.0, dtype=torch.float64), atol=1e-2, rtol=0)


def test_settled_compares_the_decrease_over_ten_evaluations() -> None:
    steady = [1.0 - 0.001 * i for i in range(11)]
    assert settled(steady, 0.011)
    assert not settled(steady, 0.009)
    assert not settled(steady[:10], 0.5)
    assert not settled(steady, 0.0)


def test_seconds_come_from_the_clock() -> None:
    ticks = iter(range(100))
    state = _state()
    minimise(Bowl(), state, until=3, budget=3, clock=lambda: float(next(ticks)))
    assert state.seconds == 3


def test_line_search_steps_back_from_a_non_finite_loss() -> None:
    state = _state()
    minimise(Cliff(3.2), state, until=60, budget=60)
    assert state.solver.best_loss < 0.1


def test_fixed_steps_restart_once_with_a_smaller_step() -> None:
    state = _state("fixed")
    state.solver.lr = 2000.0
    records: list[Evaluation] = []
    minimise(Cliff(100.0), state, until=3, budget=6, observers=(records.append,))
    assert state.restarted
    assert any(math.isnan(record.total) for record in records)
    assert state.solver.lr == 200.0


def test_a_loss_that_stays_non_finite_fails_the_run() -> None:
    with pytest.raises(RunError, match="not finite at evaluation 1"):
        minimise(Cliff(-1.0), _state(), until=10, budget=10)


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_restored_state_continues_bit_for_bit(stop: int) -> None:
    whole, part = _state(), _state()
    minimise(Bowl(), whole, until=15, budget=15)
    minimise(Bowl(), part, until=stop, budget=15)
    tensors, numbers = part.solver.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    again = LoopState(LBFGS.from_state_dict(tensors, numbers), part.level, part.evaluation, part.seconds)
    minimise(Bowl(), again, until=15, budget=15)
    assert torch.equal(again.solver.x, whole.solver.x)
