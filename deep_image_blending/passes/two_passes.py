"""How a pass runs: resolution by resolution, an objective built and minimised in each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.networks.backbones import Backbone, with_normalisation
from deep_image_blending.networks.network import PUBLISHED, Network
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.objective import Objective, Prepared, Setting, Unknowns
from deep_image_blending.objectives.taps import correcting
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.options.run_options import Options
from deep_image_blending.passes.levels import (
    Level,
    evaluations_of,
    levels_of,
    pass_window,
    require_room,
    tile_of,
)
from deep_image_blending.passes.result import PassFailed, PassResult
from deep_image_blending.passes.start import (
    first_start,
    grained,
    harmonised,
    membrane_for,
    window_columns,
    window_rows,
)
from deep_image_blending.pictures import Float, as_float
from deep_image_blending.pictures import Pixels as WrittenPixels
from deep_image_blending.pictures.scene import Scene, Window, averaged
from deep_image_blending.pictures.tensors import image_tensor, picture_array, plane_tensor
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Diverged, LoopState, Observer, Stretch, minimise
from deep_image_blending.solve.pixels import Pixels
from deep_image_blending.solve.preconditioner import sobolev_preconditioner
from deep_image_blending.timings import Timings

FIRST_STEP = 8.0
"""Largest change of a pixel, in grey levels, in the first step of a line-searched solver."""

Phase = Callable[[str], None]
"""Is told what a pass is about to do, before its first evaluation and between its resolutions."""


def _unsaid(_: str) -> None:
    """Nobody asked."""


@dataclass(frozen=True)
class Conduct:
    """How a pass is carried out, whatever it computes.

    observers: see every evaluation. phase: told what is being computed before the evaluations. resume: where an
    earlier attempt stopped. prepared: shared with other passes on the scene. thrifty: evaluate features tile by
    tile, and twice: slower, in less memory; the result is the same but for rounding. timings: where seconds go.
    """

    observers: Sequence[Observer] = ()
    phase: Phase = _unsaid
    resume: LoopState | None = None
    prepared: Prepared = field(default_factory=Prepared)
    thrifty: bool = False
    timings: Timings = field(default_factory=Timings, compare=False)

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """A phase, told and timed."""
        self.phase(what)
        with self.timings.part(what):
            yield


def first_pass(
    scene: Scene,
    options: Options,
    backbone: Backbone,
    init_picture: Float | None = None,
    conduct: Conduct | None = None,
) -> PassResult:
    """Make the boundary seamless. init_picture: (H, W, 3), 0..255, the start where `options.init` names an image.

    Raises PassFailed when the loss stays non-finite; it carries the last good picture.
    """
    return _Pass("first_pass", scene, options, backbone, conduct or Conduct()).run(init_picture, None)


def second_pass(
    scene: Scene,
    options: Options,
    backbone: Backbone,
    first: Float | WrittenPixels,
    conduct: Conduct | None = None,
) -> PassResult:
    """Bring texture and palette to the target's.

    first: (H, W, 3), the frozen first-pass picture; uint8, uint16, or float in 0..255.
    """
    return _Pass("second_pass", scene, options, backbone, conduct or Conduct()).run(None, first)


def blend_of(record_point: Tensor, window: Window, options: PassOptions) -> Float:
    """The window's blend (h, w, 3), 0..255 clamped, at a point that an observer received."""
    device = record_point.device
    target, mask = image_tensor(window.target, device), plane_tensor(window.mask, device)
    image = kind_of(options.objective).unknowns(target, mask).scatter(record_point)
    return picture_array(target + mask * (image - target))


class _Pass:
    """One pass on one scene."""

    def __init__(
        self, name: PassName, scene: Scene, options: Options, backbone: Backbone, conduct: Conduct
    ) -> None:
        self.name, self.scene, self.whole, self.conduct = name, scene, options, conduct
        self.options = options.of(name)
        self.kind = kind_of(self.options.objective)
        self.device = torch.device(options.device)
        self.network = _placed(backbone.network, options, self.device)
        require_room(scene, self.options, self.network)
        self.window = self._window()
        self.levels = levels_of(self.window, scene, self.options)

    def run(self, init_picture: Float | None, first: Float | WrittenPixels | None) -> PassResult:
        """Coarse to fine, each resolution beginning with the change that the one before has made.

        Where the pass goes in rounds, a round's objective makes its own start of what the one before ended with,
        which is saved with the state: what else the objective is made of can be computed again.
        """
        full = self._begun(init_picture, first)
        state, status = self.conduct.resume, "budget"
        change: Tensor | None = None
        before = None if state is None else state.before
        for index, level in enumerate(self.levels):
            if self.conduct.resume is not None and index < self.conduct.resume.level:
                continue
            begun = averaged(full, level.window.scale // self.window.scale)
            setting = self._setting(level, begun, full, before)
            objective = self._objective(setting)
            if state is None or state.level != index:
                solver = self._solver(self._started(objective, level, begun, change), objective.pixels)
                done, seconds = (state.evaluation, state.seconds) if state is not None else (0, 0.0)
                terms = state.first if state is not None else {}
                state = LoopState(solver, index, done, seconds, first=terms, before=before)
            else:
                state.solver.precondition = preconditioner_of(self.options, objective.pixels)
            finish, last = self.kind.finisher(setting), index + 1 == len(self.levels)
            del setting
            if last:
                # Nobody looks at it any more, and the solver needs the room.
                del full, begun
            # What the statistics took is given back before the features' gradients take theirs.
            self.conduct.phase("evaluations" + _at(level.window.scale))
            status = self._minimised(objective, state, level)
            if level.round is not None:
                before = objective.picture(state.solver.best).detach().clamp(0, 255)
            elif not last:
                # Without the level's own grain: the next one has another.
                change = objective.pixels.scatter(state.solver.best).detach() - self._plain(level, begun)
                if not self.options.canvas:
                    change = change * (plane_tensor(level.window.mask, self.device) > 0)
            if not last:
                # The next one's takes the room.
                del objective
        assert state is not None
        # The published program keeps the iterate after the last update, which nobody evaluates.
        final = state.solver.ask() if state.solver.line_search == "fixed" else state.solver.best
        blend = picture_array(objective.picture(final.detach()))
        return self._result(finish(blend), state, status)

    def _plain(self, level: Level, begun: Float) -> Tensor:
        """What a level starts from before anything has changed, (1, 3, h, w)."""
        return image_tensor(grained(begun, level.window, self.options), self.device)

    def _started(self, objective: Objective, level: Level, begun: Float, change: Tensor | None) -> Tensor:
        """The unknowns that a level begins with: the objective's own start, or the coarser level's change."""
        if objective.start is not None:
            return objective.pixels.gather(objective.start)
        plain = self._plain(level, begun)
        return objective.pixels.gather(plain if change is None else plain + _finer(change, plain))

    def _window(self) -> Window:
        """What the pass sees; in the first pass with the source made to meet the target."""
        fine, membrane = pass_window(self.name, self.scene, self.options, self.network), self.options.membrane
        if self.name != "first_pass" or not self.kind.harmonises:
            return fine
        settled = membrane_for(self.scene.agreement()) if membrane == "auto" else membrane
        key = ("source", settled, fine.mask.shape)
        with self.conduct.during("membrane" if settled == "edges" else "guidance"):
            source = self.conduct.prepared.picture(key, lambda: harmonised(fine, settled))
        return dataclasses.replace(fine, source=source)

    def _begun(self, init_picture: Float | None, first: Float | WrittenPixels | None) -> Float:
        """The window's pixels that the pass starts from, (h, w, 3)."""
        if first is not None:
            return as_float(first[window_rows(self.window), window_columns(self.window)])
        with self.conduct.during("Poisson start") if self.whole.init == "poisson" else nullcontext():
            return first_start(self.window, self.whole, init_picture, self.conduct.prepared)

    def _setting(self, level: Level, begun: Float, full: Float, before: Tensor | None) -> Setting:
        return Setting(
            self.name,
            self.scene,
            level.window,
            correcting(self.options, self.network) if level.corrects else self.options,
            self.network,
            begun,
            self.device,
            self.conduct.prepared,
            tile_of(self.network, self.conduct.thrifty, level.corrects),
            level.round,
            before,
            (self.window, full),
        )

    def _objective(self, setting: Setting) -> Objective:
        scale, step = setting.window.scale, setting.round
        what = "target features" if step is None else f"matching, round {step.number} of {step.of}"
        self.conduct.phase(what + _at(scale))
        with self.conduct.timings.part("target features" if step is None else "matching"):
            return self.kind.build(setting)

    def _solver(self, x0: Tensor, pixels: Unknowns) -> LBFGS:
        options = self.options
        if options.line_search == "fixed":
            return LBFGS(x0, history=options.history, line_search="fixed")
        precondition = preconditioner_of(options, pixels)
        return LBFGS(x0, history=options.history, first_step=FIRST_STEP, precondition=precondition)

    def _minimised(self, objective: Objective, state: LoopState, level: Level) -> str:
        scale = level.window.scale
        stretch = Stretch(
            scale,
            self.levels[-1].window.scale,
            *((0, 0) if level.round is None else (level.round.number, level.round.of)),
        )
        try:
            with self.conduct.timings.part(f"{self.name.replace('_', ' ')}, evaluations at 1:{scale}"):
                return minimise(
                    objective,
                    state,
                    until=level.until,
                    budget=evaluations_of(self.options),
                    tolerance=self.options.tolerance,
                    stretch=stretch,
                    observers=self.conduct.observers,
                )
        except Diverged as error:
            blend = _full_size(objective.picture(state.solver.best.detach()), self.window)
            remedy = "lower the weights, or choose another --init"
            if self.options.line_search == "fixed":
                remedy = (
                    "the preset's fixed step goes with VGG-16: leave --backbone out, lower the weights, or give "
                    "--preset natural"
                )
            raise PassFailed(f"{error}; {remedy}", self._result(blend, state, "failed")) from error

    def _result(self, blend: Float, state: LoopState, status: str) -> PassResult:
        return PassResult(
            self.name,
            self.scene,
            self.window.cut_to_mask(target=False),
            blend[self.window.around_mask(0)].copy(),
            status,
            state.evaluation,
            state.seconds,
            state.first,
            state.last,
        )


def preconditioner_of(options: PassOptions, pixels: Unknowns) -> Callable[[Tensor], Tensor] | None:
    """The solver's preconditioner; it is rebuilt, not saved. It is one of pixels."""
    if not options.cutoff or not isinstance(pixels, Pixels):
        return None
    return sobolev_preconditioner(pixels, options.cutoff)


def _placed(network: Network, options: Options, device: torch.device) -> Network:
    """The network on its device, in its precision, with its input."""
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    network = network.to(device, dtype)
    return with_normalisation(network, PUBLISHED) if options.published_input else network


def _at(scale: int) -> str:
    return f" at 1:{scale}" if scale > 1 else ""


def _full_size(blend: Tensor, window: Window) -> Float:
    """A blend (1, 3, h, w) of any level at the window's size, inside the mask."""
    rows, columns = window.mask.shape
    large = F.interpolate(blend, size=(rows, columns), mode="bilinear", align_corners=False)
    return window.target + window.mask[..., None] * (picture_array(large) - window.target)


def _finer(change: Tensor, like: Tensor) -> Tensor:
    """A coarse level's change brought to the next level, the cut-off last row and column repeated."""
    doubled = F.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
    rows, columns = like.shape[2] - doubled.shape[2], like.shape[3] - doubled.shape[3]
    return F.pad(doubled, (0, columns, 0, rows), mode="replicate")
