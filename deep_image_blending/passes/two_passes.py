"""The two passes: scene + objective + engine -> a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending.networks.backbones import Backbone, with_normalisation
from deep_image_blending.networks.network import PUBLISHED, Network
from deep_image_blending.objectives.natural import NormalisedObjective
from deep_image_blending.objectives.published import PublishedFirstPass, PublishedSecondPass
from deep_image_blending.options.options import Options, PassName, PassOptions
from deep_image_blending.passes.levels import Level, pass_levels, require_room, taps_of, tile_of
from deep_image_blending.passes.prepared import Prepared
from deep_image_blending.passes.result import PassFailed, PassResult
from deep_image_blending.passes.start import (
    first_start,
    grained,
    harmonised,
    membrane_for,
    window_columns,
    window_rows,
)
from deep_image_blending.passes.statistics import TargetStatistics, statistics_key, target_statistics
from deep_image_blending.pictures import Float, Scene, Window, as_float, averaged
from deep_image_blending.pictures import Pixels as WrittenPixels
from deep_image_blending.pictures.tensors import image_tensor, picture_array, plane_tensor
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Diverged, LoopState, Observer, minimise
from deep_image_blending.solve.pixels import Pixels
from deep_image_blending.solve.preconditioner import sobolev_preconditioner

FIRST_STEP = 8.0
"""Largest change of a pixel, in grey levels, in the first step of a line-searched solver."""


Phase = Callable[[str], None]
"""Is told what a pass is about to do, before its first evaluation and between its resolutions."""


def _unsaid(_: str) -> None:
    """Nobody asked."""


def first_pass(
    scene: Scene,
    options: Options,
    backbone: Backbone,
    *,
    init_picture: Float | None = None,
    observers: Sequence[Observer] = (),
    resume: LoopState | None = None,
    prepared: Prepared | None = None,
    phase: Phase = _unsaid,
    thrifty: bool = False,
) -> PassResult:
    """Make the boundary seamless. init_picture: (H, W, 3), 0..255, the start where `options.init` names an image.

    prepared: shared with other passes on the scene. phase: told what is being computed before the evaluations.
    thrifty: evaluate features tile by tile, and twice: slower, in less memory; the result is the same but for
    rounding.

    Raises PassFailed when the loss stays non-finite; it carries the last good picture.
    """
    shared = prepared or Prepared()
    return _run_pass(
        "first_pass", scene, options, backbone, None, init_picture, observers, resume, shared, phase, thrifty
    )


def second_pass(
    scene: Scene,
    options: Options,
    backbone: Backbone,
    first: Float | WrittenPixels,
    *,
    observers: Sequence[Observer] = (),
    resume: LoopState | None = None,
    prepared: Prepared | None = None,
    phase: Phase = _unsaid,
    thrifty: bool = False,
) -> PassResult:
    """Bring texture and palette to the target's.

    first: (H, W, 3), the frozen first-pass picture; uint8, uint16, or float in 0..255.
    """
    shared = prepared or Prepared()
    return _run_pass(
        "second_pass", scene, options, backbone, first, None, observers, resume, shared, phase, thrifty
    )


def blend_of(record_point: Tensor, window: Window, options: PassOptions) -> Float:
    """The window's blend (h, w, 3), 0..255 clamped, at a point that an observer received."""
    device = record_point.device
    target, mask = image_tensor(window.target, device), plane_tensor(window.mask, device)
    image = Pixels(target, None if options.objective == "published" else mask).scatter(record_point)
    return picture_array(target + mask * (image - target))


def _run_pass(
    name: PassName,
    scene: Scene,
    options: Options,
    backbone: Backbone,
    first: Float | WrittenPixels | None,
    init_picture: Float | None,
    observers: Sequence[Observer],
    resume: LoopState | None,
    prepared: Prepared,
    phase: Phase,
    thrifty: bool,
) -> PassResult:
    pass_options = options.of(name)
    device = torch.device(options.device)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    network = backbone.network.to(device, dtype)
    if options.published_input:
        network = with_normalisation(network, PUBLISHED)
    require_room(scene, pass_options, network)
    levels = pass_levels(name, scene, pass_options, network)
    if name == "first_pass" and pass_options.objective == "normalised":
        fine, membrane = levels[-1].window, pass_options.membrane
        membrane = membrane_for(scene.agreement()) if membrane == "auto" else membrane
        phase("membrane" if membrane == "edges" else "guidance")
        source = prepared.once(("source", membrane, fine.mask.shape), lambda: harmonised(fine, membrane))
        fine = dataclasses.replace(fine, source=source)
        levels = [Level(fine.coarser(level.window.scale), level.until) for level in levels]
    window = levels[-1].window
    if first is None and options.init == "poisson":
        phase("Poisson start")
    start = first_start(window, options, init_picture, prepared) if first is None else None
    frozen = None if first is None else as_float(first[window_rows(window), window_columns(window)])
    state, status, objective = resume, "budget", None
    change: Tensor | None = None
    for index, level in enumerate(levels):
        if resume is not None and index < resume.level:
            continue
        factor = level.window.scale // window.scale
        full = frozen if start is None else start
        assert full is not None
        begun = averaged(full, factor)
        phase("target features" + (f" at 1:{level.window.scale}" if level.window.scale > 1 else ""))
        objective = _objective(
            name, scene, level.window, pass_options, network, begun, device, prepared, tile_of(network, thrifty)
        )
        plain = image_tensor(grained(begun, level.window, pass_options), device)
        if state is None or state.level != index:
            base = plain if change is None else plain + _finer(change, plain)
            solver = _solver(objective.pixels.gather(base), pass_options, objective.pixels)
            done, seconds = (state.evaluation, state.seconds) if state is not None else (0, 0.0)
            state = LoopState(solver, index, done, seconds)
        else:
            state.solver.precondition = preconditioner_of(pass_options, objective.pixels)
        try:
            status = minimise(
                objective,
                state,
                until=level.until,
                budget=pass_options.evaluations,
                tolerance=pass_options.tolerance,
                scale=level.window.scale,
                observers=observers,
            )
        except Diverged as error:
            blend = _full_size(objective.picture(state.solver.best.detach()), window)
            good = _result(name, scene, window, blend, state, "failed")
            raise PassFailed(str(error), good) from error
        if index + 1 < len(levels):
            # Without the level's own grain: the next one has another.
            change = objective.pixels.scatter(state.solver.best).detach() - plain
            if pass_options.region == "mask":
                change = change * (plane_tensor(level.window.mask, device) > 0)
    assert state is not None
    assert objective is not None
    # The published program keeps the iterate after the last update, which nobody evaluates.
    final = state.solver.ask() if state.solver.line_search == "fixed" else state.solver.best
    return _result(name, scene, window, picture_array(objective.picture(final.detach())), state, status)


def _full_size(blend: Tensor, window: Window) -> Float:
    """A blend (1, 3, h, w) of any level at the window's size, inside the mask."""
    rows, columns = window.mask.shape
    large = F.interpolate(blend, size=(rows, columns), mode="bilinear", align_corners=False)
    return window.target + window.mask[..., None] * (picture_array(large) - window.target)


def _result(
    name: PassName,
    scene: Scene,
    window: Window,
    blend: Float,
    state: LoopState,
    status: str,
) -> PassResult:
    return PassResult(
        name,
        scene,
        window,
        blend,
        status,
        state.evaluation,
        state.seconds,
        state.first,
        state.last,
    )


def _solver(x0: Tensor, options: PassOptions, pixels: Pixels) -> LBFGS:
    if options.line_search == "fixed":
        return LBFGS(x0, history=options.history, line_search="fixed")
    return LBFGS(
        x0, history=options.history, first_step=FIRST_STEP, precondition=preconditioner_of(options, pixels)
    )


def preconditioner_of(options: PassOptions, pixels: Pixels) -> Callable[[Tensor], Tensor] | None:
    """The solver's preconditioner; it is rebuilt, not saved."""
    return sobolev_preconditioner(pixels, options.cutoff) if options.cutoff else None


def _objective(
    name: PassName,
    scene: Scene,
    window: Window,
    options: PassOptions,
    network: Network,
    begun: Float,
    device: torch.device,
    prepared: Prepared | None = None,
    tile: int = 0,
) -> NormalisedObjective | PublishedFirstPass | PublishedSecondPass:
    style_taps, content_tap = taps_of(options)
    target = image_tensor(window.target, device)
    if options.objective == "published":
        if name == "second_pass":
            return PublishedSecondPass(
                network,
                options.weights,
                first=image_tensor(begun, device),
                target=target,
                style_taps=style_taps,
                content_tap=content_tap,
                zero_content=options.zero_content,
            )
        return PublishedFirstPass(
            network,
            options.weights,
            source=image_tensor(scene.source, device),
            mask=plane_tensor(scene.mask, device),
            target=target,
            top=scene.top,
            left=scene.left,
            style_taps=style_taps,
            content_tap=content_tap,
        )
    own = begun if name == "second_pass" else window.source
    statistics: TargetStatistics = (prepared or Prepared()).once(
        statistics_key(window, options, style_taps, begun, own),
        lambda: target_statistics(scene, window, options, network, style_taps, begun, own, device),
    )
    return NormalisedObjective(
        network,
        options,
        source=image_tensor(window.source, device),
        mask=plane_tensor(window.mask, device),
        target=target,
        reference=image_tensor(own, device),
        style=statistics.moments,
        style_taps=style_taps,
        content_tap=content_tap,
        histogram_target=statistics.sorted_values,
        log_totals=statistics.log_totals,
        tile=tile,
    )


def _finer(change: Tensor, like: Tensor) -> Tensor:
    """A coarse level's change brought to the next level, the cut-off last row and column repeated."""
    doubled = F.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
    rows, columns = like.shape[2] - doubled.shape[2], like.shape[3] - doubled.shape[3]
    return F.pad(doubled, (0, columns, 0, rows), mode="replicate")


ResumeOf = Callable[[PassName], LoopState | None]
