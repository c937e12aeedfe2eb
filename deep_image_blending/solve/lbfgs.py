"""Limited-memory BFGS that is asked for a point and told the loss and its gradient there.

One evaluation of the objective is one `ask`/`tell` pair, and between any two pairs the whole state can be
saved and restored: on the CPU, a run that continues from its state repeats the uninterrupted one bit for bit.

The direction -Hg comes from the last m pairs s = change of x, y = change of gradient (Nocedal & Wright,
*Numerical Optimization*, 2006, section 7.1) as

    H = (I - S R⁻ᵀ Yᵀ) H0 (I - Y R⁻¹ Sᵀ) + S R⁻ᵀ D R⁻¹ Sᵀ,    R = triu(SᵀY),  D = diag(SᵀY),

which is the two-loop recursion with its 4m vector operations gathered into four matrix-vector products: as
few passes over memory, and a constant number of kernels. Whatever the rounding of R, H stays symmetric and
positive definite; the m x m algebra runs in float64. Nothing here waits for the device, but that each `tell`
reads one small tensor of scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

LineSearch = Literal["armijo", "fixed"]
Status = Literal["running", "converged", "stalled", "diverged"]
Numbers = dict[str, float | int | str]
Preconditioner = Callable[[Tensor], Tensor]

_SUFFICIENT_DECREASE = 1e-4
# Trials along one direction before it is given up: quasi-Newton, then steepest descent.
_TRIALS, _STEEPEST_TRIALS = 6, 20
_SAVED = (
    *("history", "line_search", "lr", "first_step", "max_step", "gradient_tolerance"),
    *("status", "loss", "best_loss", "step", "gamma"),
    *("head", "count", "failures", "iterations", "evaluations"),
)


def lbfgs_direction(
    steps: Tensor,
    changes: Tensor,
    products: Tensor,
    gradient: Tensor,
    gamma: float = 1.0,
    oldest: int = 0,
    precondition: Preconditioner | None = None,
) -> Tensor:
    """The quasi-Newton direction -Hg, shape (n,).

    `steps` and `changes` are Sᵀ and Yᵀ, (m, n), rings whose oldest row is `oldest`; `products` (m, m) holds
    s_i . y_j wherever pair i is not younger than pair j; `gradient` is (n,). H0 is `gamma` times
    `precondition`, or times the identity.
    """
    r = torch.roll(products, (-oldest, -oldest), (0, 1)).triu()

    def in_order(rows: Tensor) -> Tensor:
        return torch.roll(rows.to(r.dtype), -oldest)[:, None]

    def as_stored(coefficients: Tensor) -> Tensor:
        return torch.roll(coefficients[:, 0], oldest).to(gradient.dtype)

    a = torch.linalg.solve_triangular(r, in_order(steps @ gradient), upper=True)
    q = torch.addmv(gradient, changes.T, as_stored(a), alpha=-1)
    q = (q if precondition is None else precondition(q)) * gamma
    b = torch.linalg.solve_triangular(r.T, r.diagonal()[:, None] * a - in_order(changes @ q), upper=False)
    return torch.addmv(q, steps.T, as_stored(b)).neg_()


def cubic_step(step: float, rise: float, slope: float, new_slope: float) -> float:
    """A shorter step: the minimum of the cubic with 0 and `slope` at 0, `rise` and `new_slope` at `step`.

    Kept between a tenth and a half of `step`; the half where the cubic has no minimum (Nocedal & Wright,
    2006, equation 3.59).
    """
    d1 = slope + new_slope - 3.0 * rise / step
    square = d1 * d1 - slope * new_slope
    if not 0.0 <= square < math.inf:
        return 0.5 * step
    d2 = math.sqrt(square)
    below = new_slope - slope + 2.0 * d2
    fraction = 1.0 - (new_slope + d2 - d1) / below if below > 0.0 else 0.5
    return min(max(fraction, 0.1), 0.5) * step


class LBFGS:
    """A minimiser of one tensor: evaluate at `ask()`, give `tell()` the loss and the gradient there, repeat.

    `line_search="armijo"` tries the full quasi-Newton step and takes it when the loss falls enough (the Armijo
    condition); otherwise it backtracks by cubic interpolation. A step of negative curvature is taken, but not
    remembered. No point is evaluated twice, and the loss of `x` never rises. Steepest-descent directions (the
    first, and those after a failed line search) are scaled so that the largest change of an element is
    `first_step`; no step changes an element by more than `max_step`.

    `line_search="fixed"` is torch.optim.LBFGS with its defaults and step `lr`, for fidelity: every ask is an
    iterate, and the loss may rise.

    `precondition` maps a flat vector to a fixed symmetric positive definite approximate inverse Hessian times
    it, in place of the identity; its scale does not matter in "armijo" mode.

    `status` is "running"; "converged" once no element of the gradient exceeds `gradient_tolerance`; "stalled"
    when no step lowers the loss by what its precision can show; "diverged" when the loss or its gradient was
    not finite and no shorter step is to be tried. `x` with its `loss` is the last good point, `best` with
    `best_loss` the best.
    """

    def __init__(
        self,
        x0: Tensor,
        *,
        history: int = 20,
        line_search: LineSearch = "armijo",
        lr: float = 1.0,
        first_step: float = 4.0,
        max_step: float = math.inf,
        gradient_tolerance: float = 0.0,
        precondition: Preconditioner | None = None,
    ) -> None:
        """`x0` is of any shape, and copied. `lr` serves "fixed", `first_step` and `max_step` serve "armijo".

        Raises ValueError for a history or step that is not positive, or an unknown line search.
        """
        if history < 1 or not min(lr, first_step, max_step) > 0:
            raise ValueError("history, lr, first_step and max_step must be positive")
        if line_search not in ("armijo", "fixed"):
            raise ValueError(f"line_search is 'wolfe' or 'fixed', not {line_search!r}")
        self.history, self.line_search, self.lr = history, line_search, lr
        self.first_step, self.max_step, self.gradient_tolerance = first_step, max_step, gradient_tolerance
        self.precondition = precondition
        self._shape = x0.shape
        self._x = self._best = x0.detach().reshape(-1).clone()
        self._gradient = torch.zeros_like(self._x)
        self._direction = torch.zeros_like(self._x)
        self._trial: Tensor | None = None
        self._steps, self._changes = (self._x.new_empty(history, self._x.numel()) for _ in range(2))
        # Apple's GPUs have no float64.
        exact = torch.float32 if x0.device.type == "mps" else torch.float64
        self._products = torch.zeros(history, history, dtype=exact, device=x0.device)
        self._slope = torch.zeros((), dtype=exact, device=x0.device)
        self.status: Status = "running"
        self.loss = self.best_loss = math.inf
        self.step = self.gamma = 1.0
        self.head = self.count = self.failures = self.iterations = self.evaluations = 0

    @property
    def x(self) -> Tensor:
        """The last good point, in the shape of `x0`."""
        return self._x.view(self._shape)

    @property
    def best(self) -> Tensor:
        """The point of the lowest loss so far, in the shape of `x0`; in "armijo" mode it is `x`."""
        return self._best.view(self._shape)

    def ask(self) -> Tensor:
        """The point at which to evaluate next, in the shape of `x0`; not to be modified."""
        if self._trial is None:
            self._trial = torch.add(self._x, self._direction, alpha=self.step)
        return self._trial.view(self._shape)

    def tell(self, loss: Tensor | float, gradient: Tensor) -> None:
        """Take the loss and the gradient (shape of `x0`) at the point last asked.

        Raises RuntimeError when the status is no longer "running".
        """
        if self.status != "running":
            raise RuntimeError(f"the solver has {self.status}: it takes no evaluations")
        self.evaluations += 1
        trial = self.ask().view(-1)
        gradient = gradient.detach().reshape(-1)
        change = gradient - self._gradient
        scaled = change if self.precondition is None else self.precondition(change)
        if not isinstance(loss, Tensor):
            loss = self._slope.new_full((), loss)
        told = (
            loss.detach(),
            gradient.abs().amax(),
            self._slope,
            gradient @ self._direction,
            change @ self._direction,
            change @ scaled,
        )
        value, steepest, slope, new_slope, curvature, square = torch.stack(
            [scalar.to(self._slope) for scalar in told]
        ).tolist()
        finite = math.isfinite(value) and math.isfinite(steepest)
        fixed = self.line_search == "fixed"
        if math.isinf(self.loss) or fixed:
            good = finite
        else:
            good = finite and slope < 0.0 and value <= self.loss + _SUFFICIENT_DECREASE * self.step * slope
        if not good:
            self._reject(finite, value - self.loss, slope, new_slope)
            return
        curvature *= self.step
        enough = 1e-10 if fixed else torch.finfo(trial.dtype).eps * abs(self.step * slope)
        if self.iterations > 0 and curvature > enough:
            self._remember(change, curvature / square)
        self._x, self._trial, self.loss = trial, None, value
        self._gradient.copy_(gradient)
        self.iterations += 1
        if value < self.best_loss:
            self._best, self.best_loss = trial, value
        if steepest <= self.gradient_tolerance:
            self.status = "converged"
        else:
            self._aim()

    def restart(self, step: float) -> None:
        """Forget the history and start again from the best point, with `lr` or `first_step` set to `step`.

        The next `ask` is the best point itself. Raises ValueError when `step` is not positive, or when no
        point was good.
        """
        if not step > 0 or math.isinf(self.best_loss):
            raise ValueError("a restart needs a positive step and a point whose loss was finite")
        self.lr, self.first_step = (step, self.first_step) if self.line_search == "fixed" else (self.lr, step)
        self._x, self._trial, self.loss, self.status = self._best, None, math.inf, "running"
        self._direction.zero_()
        self.step = self.gamma = 1.0
        self.head = self.count = self.failures = self.iterations = 0

    def state_dict(self) -> tuple[dict[str, Tensor], Numbers]:
        """All but the preconditioner: tensors (write or copy them before the next `tell`), numbers, names."""
        tensors = {
            "x": self.x,
            "gradient": self._gradient,
            "direction": self._direction,
            "steps": self._steps[: self.count],
            "changes": self._changes[: self.count],
            "products": self._products,
            "slope": self._slope,
        }
        if self._best is not self._x:
            tensors["best"] = self.best
        numbers: Numbers = {name: getattr(self, name) for name in _SAVED}
        return tensors, {
            name: value for name, value in numbers.items() if isinstance(value, str) or math.isfinite(value)
        }

    @classmethod
    def from_state_dict(
        cls,
        tensors: Mapping[str, Tensor],
        numbers: Mapping[str, float | int | str],
        *,
        precondition: Preconditioner | None = None,
    ) -> LBFGS:
        """A solver that continues exactly as the saved one would have, on the device of `tensors`.

        Raises KeyError when a part of the state is missing.
        """
        solver = cls(tensors["x"], history=int(numbers["history"]), precondition=precondition)
        # Numbers that were not finite were left out.
        known = dict.fromkeys(("loss", "best_loss", "max_step"), math.inf) | dict(numbers)
        for name in _SAVED:
            setattr(solver, name, known[name])
        solver._gradient.copy_(tensors["gradient"])
        solver._direction.copy_(tensors["direction"])
        solver._steps[: solver.count].copy_(tensors["steps"])
        solver._changes[: solver.count].copy_(tensors["changes"])
        solver._products.copy_(tensors["products"])
        solver._slope.copy_(tensors["slope"])
        if "best" in tensors:
            solver._best = tensors["best"].detach().reshape(-1).clone()
        return solver

    def _remember(self, change: Tensor, gamma: float) -> None:
        """Put the pair of the accepted step in place of the oldest."""
        torch.mul(self._direction, self.step, out=self._steps[self.head])
        self._changes[self.head].copy_(change)
        self.count = min(self.count + 1, self.history)
        self._products[: self.count, self.head].copy_(self._steps[: self.count] @ change)
        self.head = (self.head + 1) % self.history
        self.gamma = gamma

    def _aim(self) -> None:
        """Set the direction from the gradient at `x` and the history, and the first step to try along it."""
        gradient, fixed = self._gradient, self.line_search == "fixed"
        if self.count > 0:
            c = self.count
            pairs = self._steps[:c], self._changes[:c], self._products[:c, :c]
            oldest = self.head if c == self.history else 0
            direction = lbfgs_direction(*pairs, gradient, self.gamma, oldest, self.precondition)
        else:
            direction = -(gradient if self.precondition is None else self.precondition(gradient))
        # Lengths are scaled on the device, into the direction, so that the step stays a number of the host.
        if fixed and self.iterations == 1:
            direction *= (1.0 / gradient.abs().sum()).clamp(max=1.0)
        elif not fixed and self.count == 0:
            direction *= min(self.first_step, self.max_step) / direction.abs().amax()
        elif not fixed and self.max_step < math.inf:
            direction *= (self.max_step / direction.abs().amax()).clamp(max=1.0)
        self._direction, self._slope = direction, (gradient @ direction).to(self._slope.dtype)
        self.step, self.failures = (self.lr if fixed else 1.0), 0

    def _reject(self, finite: bool, rise: float, slope: float, new_slope: float) -> None:
        """Choose what to try after a trial that was not good enough."""
        self._trial = None
        self.failures += 1
        if self.line_search == "fixed" or math.isinf(self.loss):
            self.status = "diverged"
        elif finite and 0.0 < self.step * -slope <= torch.finfo(self._x.dtype).eps * abs(self.loss):
            # The decrease that was hoped for is below what a loss can show.
            self.status = "stalled"
        elif slope < 0.0 and self.failures < (_TRIALS if self.count > 0 else _STEEPEST_TRIALS):
            self.step = cubic_step(self.step, rise, slope, new_slope) if finite else 0.5 * self.step
        elif self.count > 0:
            self.head = self.count = 0
            self._aim()
        else:
            self.status = "stalled" if finite else "diverged"
