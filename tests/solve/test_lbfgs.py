"""The L-BFGS solver against torch's, SciPy's, exact Newton steps, and its own interrupted runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from torch import Tensor

from deep_image_blending.solve.lbfgs import LBFGS, Preconditioner, cubic_step, lbfgs_direction

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]


def rosenbrock(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_(True)
    loss = (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient


def rosenbrock_start(n: int = 20, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([-1.2, 1.0], dtype=dtype).repeat(n // 2)


def quadratic(n: int, condition: float) -> tuple[Tensor, Tensor, Objective]:
    """A convex quadratic's Hessian, its minimiser and the function."""
    generator = torch.Generator().manual_seed(n)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    hessian = basis * torch.logspace(0, math.log10(condition), n, dtype=torch.float64) @ basis.T
    minimum = torch.randn(n, generator=generator, dtype=torch.float64)

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        gradient = hessian @ (x - minimum)
        return 0.5 * (x - minimum) @ gradient, gradient

    return hessian, minimum, function


def run(solver: LBFGS, function: Objective, evaluations: int) -> list[float]:
    losses: list[float] = []
    while solver.status == "running" and len(losses) < evaluations:
        loss, gradient = function(solver.ask())
        losses.append(float(loss))
        solver.tell(loss, gradient)
    return losses


def torch_iterates(line_search: str | None, x0: Tensor, evaluations: int, **options: float) -> list[Tensor]:
    """The points at which torch's solver evaluates the Rosenbrock function."""
    x, seen = x0.clone().requires_grad_(True), []
    optimiser = torch.optim.LBFGS([x], line_search_fn=line_search, **options)  # type: ignore[arg-type]

    def closure() -> Tensor:
        seen.append(x.detach().clone())
        loss, x.grad = rosenbrock(x)
        return loss

    while len(seen) < evaluations:
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return seen[:evaluations]


@pytest.mark.parametrize("max_iter", [1, 20])
@pytest.mark.parametrize(("lr", "history"), [(1.0, 100), (0.5, 5)])
def test_fixed_steps_visit_the_iterates_of_torch(max_iter: int, lr: float, history: int) -> None:
    x0 = rosenbrock_start()
    theirs = torch_iterates(None, x0, 60, lr=lr, history_size=history, max_iter=max_iter)
    solver = LBFGS(x0, line_search="fixed", lr=lr, history=history)
    for k, point in enumerate(theirs):
        # Rounding grows: a start moved by its last bit moves torch's own 60th point by 5e-5.
        tolerance = 1e-7 if k < 40 else 1e-3
        torch.testing.assert_close(solver.ask(), point, rtol=tolerance, atol=tolerance)
        solver.tell(*rosenbrock(solver.ask()))
        torch.testing.assert_close(solver.x, point, rtol=tolerance, atol=tolerance)
    lowest = min(float(rosenbrock(point)[0]) for point in theirs)
    assert solver.best_loss == pytest.approx(lowest, rel=1e-3)


@pytest.mark.parametrize("rotation", [0, 3])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_direction_is_the_two_loop_recursion(rotation: int, preconditioned: bool) -> None:
    hessian, _, _ = quadratic(30, 100.0)
    generator = torch.Generator().manual_seed(1)
    m, gamma = 7, 0.3
    steps = torch.randn(m, 30, generator=generator, dtype=torch.float64)
    changes = steps @ hessian
    gradient = torch.randn(30, generator=generator, dtype=torch.float64)
    scale = torch.linspace(0.5, 2.0, 30, dtype=torch.float64)
    precondition: Preconditioner | None = (lambda v: scale * v) if preconditioned else None
    q, weights = gradient.clone(), {}
    for i in reversed(range(m)):
        weights[i] = steps[i] @ q / (steps[i] @ changes[i])
        q -= weights[i] * changes[i]
    q *= gamma * (scale if preconditioned else 1.0)
    for i in range(m):
        q += (weights[i] - changes[i] @ q / (steps[i] @ changes[i])) * steps[i]
    ring_s, ring_y = steps.roll(rotation, 0), changes.roll(rotation, 0)
    products = ring_s @ ring_y.T
    direction = lbfgs_direction(ring_s, ring_y, products, gradient, gamma, rotation, precondition)
    torch.testing.assert_close(direction, -q)


def test_direction_is_the_newton_step_when_the_history_spans_the_space() -> None:
    # With conjugate steps BFGS reproduces the inverse Hessian exactly.
    hessian, _, _ = quadratic(12, 1e3)
    _, vectors = torch.linalg.eigh(hessian)
    steps = vectors.T.contiguous()
    changes = steps @ hessian
    gradient = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    direction = lbfgs_direction(steps, changes, steps @ changes.T, gradient)
    torch.testing.assert_close(direction, -torch.linalg.solve(hessian, gradient))


def test_quadratic_ends_at_its_exact_solution() -> None:
    _, minimum, function = quadratic(25, 1e3)
    solver = LBFGS(torch.zeros(25, dtype=torch.float64), history=60, first_step=1.0, gradient_tolerance=1e-9)
    run(solver, function, 150)
    assert solver.status == "converged"
    torch.testing.assert_close(solver.x, minimum, rtol=0, atol=1e-8)


def test_exact_inverse_hessian_as_preconditioner_gives_the_newton_step() -> None:
    hessian, minimum, function = quadratic(25, 1e6)
    inverse = torch.linalg.inv(hessian)
    x0 = torch.zeros(25, dtype=torch.float64)
    first_step = float(minimum.abs().amax())
    solver = LBFGS(x0, first_step=first_step, precondition=lambda v: inverse @ v)
    run(solver, function, 2)
    torch.testing.assert_close(solver.x, minimum, rtol=0, atol=1e-8)


def test_finds_the_minimum_that_scipy_finds() -> None:
    x0 = torch.full((10, 10), 3.0, dtype=torch.float64)
    weights = torch.linspace(0.1, 10.0, 100, dtype=torch.float64).view(10, 10)

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        # Strictly convex, with neighbours coupled, and no closed form.
        d = x[1:] - x[:-1]
        gradient = weights * x.sinh() - 1.0
        gradient[1:] += 4.0 * d**3
        gradient[:-1] -= 4.0 * d**3
        return (weights * x.cosh() - x).sum() + (d**4).sum(), gradient

    def flat(v: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(torch.from_numpy(v).view(10, 10))
        return loss.item(), gradient.numpy().ravel()

    theirs = minimize(flat, x0.numpy().ravel(), jac=True, method="BFGS", options={"gtol": 1e-10})
    solver = LBFGS(x0, first_step=0.5, gradient_tolerance=1e-8)
    run(solver, function, 200)
    assert solver.status == "converged"
    np.testing.assert_allclose(solver.x.numpy().ravel(), theirs.x, rtol=0, atol=1e-6)


def test_needs_no_more_evaluations_than_torch_strong_wolfe_on_rosenbrock() -> None:
    x0 = rosenbrock_start(100)
    theirs = torch_iterates("strong_wolfe", x0, 600, history_size=20, max_iter=20)
    losses = run(LBFGS(x0, first_step=0.1), rosenbrock, 600)
    target = min(float(rosenbrock(x)[0]) for x in theirs)
    assert min(losses) <= target


def test_loss_of_x_never_rises_and_no_point_is_asked_twice() -> None:
    solver = LBFGS(rosenbrock_start(), first_step=2.0)
    asked: list[bytes] = []
    losses: list[float] = []
    while solver.status == "running" and len(asked) < 150:
        asked.append(solver.ask().numpy().tobytes())
        solver.tell(*rosenbrock(solver.ask()))
        losses.append(solver.loss)
    assert losses == sorted(losses, reverse=True)
    assert len(set(asked)) == len(asked)
    assert solver.iterations < solver.evaluations, "no trial was rejected: the test tests nothing"
    assert float(rosenbrock(solver.x)[0]) == solver.loss == solver.best_loss


def test_first_step_and_max_step_bound_the_change_of_an_element() -> None:
    _, _, function = quadratic(25, 1e3)
    solver = LBFGS(torch.zeros(5, 5, dtype=torch.float64), first_step=0.25, max_step=0.4)
    asked = []
    for _ in range(20):
        x = solver.x
        asked.append(float((solver.ask() - x).abs().amax()))
        loss, gradient = function(solver.ask().reshape(-1))
        solver.tell(loss, gradient.view(5, 5))
    assert asked[1] == pytest.approx(0.25)
    assert max(asked) <= 0.4 * (1 + 1e-12)
    assert max(asked) == pytest.approx(0.4)


@pytest.mark.parametrize("line_search", ["armijo", "fixed"])
def test_a_restored_solver_continues_bit_for_bit(line_search: str, tmp_path: Path) -> None:
    def new() -> LBFGS:
        x0 = rosenbrock_start(40, torch.float32).view(4, 10)
        return LBFGS(x0, line_search=line_search, history=5, lr=0.3, first_step=2.0)  # type: ignore[arg-type]

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = rosenbrock(x.reshape(-1))
        return loss, gradient.view_as(x)

    whole = new()
    asked = []
    in_line_search = 0
    for _ in range(50):
        asked.append(whole.ask())
        whole.tell(*function(whole.ask()))
    for k in range(40):
        solver = new()
        run(solver, function, k)
        in_line_search += solver.failures > 0
        tensors, numbers = solver.state_dict()
        save_file(tensors, tmp_path / "state.safetensors")
        text = json.dumps(numbers, allow_nan=False)
        solver = LBFGS.from_state_dict(load_file(tmp_path / "state.safetensors"), json.loads(text))
        for point in asked[k:]:
            assert torch.equal(solver.ask(), point)
            solver.tell(*function(point))
        assert (solver.loss, solver.best_loss) == (whole.loss, whole.best_loss)
        assert torch.equal(solver.best, whole.best)
        assert solver.evaluations == whole.evaluations
    assert in_line_search > 0 or line_search == "fixed"


def test_a_trial_that_is_not_finite_halves_the_step() -> None:
    x0 = torch.full((3,), 1.0, dtype=torch.float64)

    def logarithmic(x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - 0.1 * x.log()).sum(), 1.0 - 0.1 / x

    solver = LBFGS(x0, first_step=1.5, gradient_tolerance=1e-9)
    solver.tell(*logarithmic(solver.ask()))
    torch.testing.assert_close(solver.ask(), x0 - 1.5)
    solver.tell(*logarithmic(solver.ask()))
    torch.testing.assert_close(solver.ask(), x0 - 0.75)
    assert torch.equal(solver.x, x0)
    run(solver, logarithmic, 50)
    assert solver.status == "converged"
    torch.testing.assert_close(solver.x, torch.full_like(x0, 0.1))


def test_an_infinite_gradient_with_a_finite_loss_is_a_failed_trial() -> None:
    solver = LBFGS(torch.ones(2), first_step=0.5)
    solver.tell(1.0, torch.ones(2))
    solver.tell(0.0, torch.tensor([1.0, math.inf]))
    assert solver.status == "running"
    assert solver.loss == 1.0
    assert torch.equal(solver.ask(), torch.full((2,), 0.75))


def test_fixed_steps_that_diverge_keep_the_last_good_point_and_restart_shorter() -> None:
    def steep(x: Tensor) -> tuple[Tensor, Tensor]:
        return (x**4).sum(), 4.0 * x**3

    x0 = torch.tensor([3.0, -2.0])
    solver = LBFGS(x0, line_search="fixed", lr=1e13)
    run(solver, steep, 10)
    assert solver.state_dict()[1]["status"] == "diverged"
    assert torch.equal(solver.x, x0)
    assert math.isfinite(solver.loss)
    with pytest.raises(RuntimeError, match="diverged"):
        solver.tell(*steep(solver.x))
    solver.restart(0.1)
    assert torch.equal(solver.ask(), x0)
    run(solver, steep, 100)
    assert solver.status == "running"
    assert solver.best_loss < 1e-3 * float(steep(x0)[0])


def test_a_start_that_is_not_finite_cannot_be_restarted() -> None:
    solver = LBFGS(torch.zeros(2))
    solver.tell(math.nan, torch.zeros(2))
    assert solver.status == "diverged"
    with pytest.raises(ValueError, match="finite"):
        solver.restart(1.0)


def test_a_loss_that_no_step_lowers_ends_as_stalled() -> None:
    solver = LBFGS(torch.zeros(2))
    # The gradient lies: the loss rises both ways.
    for _ in range(100):
        if solver.status != "running":
            break
        x = solver.ask()
        solver.tell(1.0 + x.abs().sum(), torch.ones(2))
    assert solver.status == "stalled"
    assert torch.equal(solver.x, torch.zeros(2))


def test_a_useless_history_is_dropped_for_steepest_descent() -> None:
    _, _, function = quadratic(10, 100.0)
    solver = LBFGS(torch.zeros(10, dtype=torch.float64), first_step=0.1)
    run(solver, function, 6)
    count, x, gradient = solver.count, solver.x, function(solver.x)[1]
    assert count > 0
    while solver.count > 0:
        solver.tell(solver.loss + 1e3, gradient)
    assert torch.equal(solver.x, x)
    torch.testing.assert_close(solver.ask() - x, -0.1 * gradient / gradient.abs().amax())


def test_a_quadratic_settles_at_the_precision_of_float32_and_says_so() -> None:
    _, minimum, function = quadratic(20, 1e3)
    solver = LBFGS(torch.zeros(20, dtype=torch.float32), first_step=0.5)

    def single(x: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = function(x.double())
        return (loss + 7.0).float(), gradient.float()

    run(solver, single, 300)
    assert solver.status == "stalled"
    assert solver.loss == pytest.approx(7.0, rel=1e-6)
    torch.testing.assert_close(solver.x.double(), minimum, rtol=0, atol=2e-3)


def test_cubic_step_is_the_minimum_of_the_cubic_within_its_bounds() -> None:
    # p(t) = t^3 + t^2 - t has its minimum at 1/3.
    assert cubic_step(1.0, 1.0, -1.0, 4.0) == pytest.approx(1 / 3)
    # p(t) = t^2 - 0.1 t: the minimum, 0.05, is closer than a tenth; and 1.8 t^2 / 2 - 1.2 t: beyond the half.
    assert cubic_step(1.0, 0.9, -0.1, 1.9) == pytest.approx(0.1)
    assert cubic_step(1.0, -0.3, -1.2, 0.6) == 0.5
    assert cubic_step(2.0, math.inf, -1.0, 1.0) == 1.0


@pytest.mark.parametrize("wrong", [{"history": 0}, {"lr": 0.0}, {"first_step": -1.0}, {"line_search": "exact"}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"positive|line_search"):
        LBFGS(torch.zeros(2), **wrong)  # type: ignore[arg-type]
