"""The two passes: scene + objective + engine -> a picture."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.backbones import Backbone, default_taps, with_normalisation
from deep_image_blending.config import Options, PassName, PassOptions
from deep_image_blending.engine import Diverged, LoopState, Observer, minimise
from deep_image_blending.errors import InputError, RunError
from deep_image_blending.features import PUBLISHED, Network
from deep_image_blending.images import Pixels as WrittenPixels
from deep_image_blending.images import in_srgb
from deep_image_blending.lbfgs import LBFGS
from deep_image_blending.objective import (
    NormalisedObjective,
    Pixels,
    PublishedFirstPass,
    PublishedSecondPass,
    resample,
    thrifty_tile,
)
from deep_image_blending.poisson import edge_stopping_membrane, guidance_laplacian, solve_poisson
from deep_image_blending.scene import Float, Scene, Window, as_float, averaged
from deep_image_blending.sobolev import sobolev_preconditioner
from deep_image_blending.target_style import (
    STROKE,
    fine_texture,
    log_totals,
    recoloured,
    recolouring,
    similarity,
    sorted_values,
    target_moments,
)

SAME_SCENE = 0.7
"""`Scene.agreement` from which on the surroundings count as the same scene's."""
FIRST_STEP = 8.0
"""Largest change of a pixel, in grey levels, in the first step of a line-searched solver."""


@dataclass(frozen=True)
class PassResult:
    """What a pass made.

    blend: (h, w, 3) float32, 0..255, the part of the scene that `window` shows, to be taken where its mask is
    above 0. status: `budget`, `settled`, `converged` or `stalled`. first, last: weighted terms of the first and of
    the last evaluation at full resolution.
    """

    name: PassName
    scene: Scene
    window: Window
    blend: Float
    status: str
    evaluations: int
    seconds: float
    first: Mapping[str, float]
    last: Mapping[str, float]

    @property
    def picture(self) -> Float:
        """The whole canvas, (H, W, 3) float32, 0..255."""
        return self.scene.on_canvas(self.window, self.blend)[0]

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """(H, W), where the picture may differ from the target."""
        return self.scene.on_canvas(self.window, self.blend)[1]

    def written(self) -> WrittenPixels:
        """The whole canvas as a file has it: (H, W, 3) in the target's depth, its own pixels where unmasked."""
        return self.scene.composed(self.window, self.blend)

    def seen(self) -> WrittenPixels:
        """The same in sRGB, as reading the file gives it."""
        return in_srgb(self.written(), self.scene.target)


Phase = Callable[[str], None]
"""Is told what a pass is about to do, before its first evaluation and between its resolutions."""


def _unsaid(_: str) -> None:
    """Nobody asked."""


class Prepared:
    """What passes on one scene with the same networks have in common, computed once: give one to all of them."""

    def __init__(self) -> None:
        self._kept: dict[object, Any] = {}

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for by this key, which holds all that it depends on."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


class PassFailed(RunError):
    """A pass could not go on; `result` is its last good picture."""

    def __init__(self, message: str, result: PassResult) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True)
class Level:
    """One resolution of a pass: its window, and the evaluation at which it ends."""

    window: Window
    until: int


def taps_of(options: PassOptions) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a pass."""
    style, content = default_taps(options.backbone)
    return options.style_layers or style, options.content_layer or content


def wanted_taps(options: PassOptions) -> frozenset[str]:
    """The layers that a pass's weights ask for."""
    style, content = taps_of(options)
    weights = options.weights
    wanted = set(style) if weights.style or weights.histogram else set()
    if weights.content:
        wanted.add(content)
    return frozenset(wanted)


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
    target, mask = _image(window.target, device), _plane(window.mask, device)
    image = Pixels(target, None if options.objective == "published" else mask).scatter(record_point)
    return _array(target + mask * (image - target))


def pass_levels(name: PassName, scene: Scene, pass_options: PassOptions, network: Network) -> list[Level]:
    """The resolutions of a pass, coarse to fine, with the share of the evaluations that each gets."""
    window = scene.window(*surroundings(scene, pass_options, network))
    if repaints_canvas(name, pass_options):
        window = dataclasses.replace(window, mask=np.ones_like(window.mask))
    return [Level(window.coarser(scale), until) for scale, until in schedule(scene, pass_options)]


def schedule(scene: Scene, pass_options: PassOptions) -> list[tuple[int, int]]:
    """The scales of a pass, coarse to fine, and the evaluation at which each ends."""
    top, left, bottom, right = scene.region()
    longer = max(bottom - top, right - left)
    count = pass_options.levels or max(1, min(4, int(math.log2(max(longer, 1) / 128)) + 1))
    count = min(count, pass_options.evaluations)
    levels, spent = [], 0
    for i in range(count - 1, -1, -1):
        # The finest level gets half of the evaluations, the others share the rest.
        share = pass_options.evaluations // 2 // (count - 1) if i else pass_options.evaluations - spent
        spent += max(1, share)
        levels.append((2**i, spent))
    return levels


def repaints_canvas(name: PassName, pass_options: PassOptions) -> bool:
    """Whether every pixel of the canvas is optimised and may change."""
    return name == "second_pass" and pass_options.region == "canvas"


def surroundings(scene: Scene, pass_options: PassOptions, network: Network) -> tuple[int | None, int]:
    """The margin and the alignment of a pass's window; a margin of None is the whole canvas.

    The region has as much of its surroundings as it is large itself: what the style can be taken from.
    """
    if pass_options.objective == "published" or pass_options.region == "canvas":
        return None, 1
    top, left, bottom, right = scene.region()
    margin = max(128, bottom - top, right - left, network.reach())
    return margin, 16 * max(network.strides().values())


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
    start = _start(window, options, init_picture, prepared) if first is None else None
    frozen = None if first is None else as_float(first[_rows_of(window), _columns_of(window)])
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
        plain = _image(_grained(begun, level.window, pass_options), device)
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
                change = change * (_plane(level.window.mask, device) > 0)
    assert state is not None
    assert objective is not None
    # The published program keeps the iterate after the last update, which nobody evaluates.
    final = state.solver.ask() if state.solver.line_search == "fixed" else state.solver.best
    return _result(name, scene, window, _array(objective.picture(final.detach())), state, status)


def tile_of(network: Network, thrifty: bool) -> int:
    """The side of the tiles in which features are evaluated; 0 is all at once."""
    return thrifty_tile(network) if thrifty else 0


def _full_size(blend: Tensor, window: Window) -> Float:
    """A blend (1, 3, h, w) of any level at the window's size, inside the mask."""
    rows, columns = window.mask.shape
    large = F.interpolate(blend, size=(rows, columns), mode="bilinear", align_corners=False)
    return window.target + window.mask[..., None] * (_array(large) - window.target)


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


def _start(window: Window, options: Options, init_picture: Float | None, prepared: Prepared) -> Float:
    """The pixels (h, w, 3) that the first pass starts from."""
    if options.init == "noise":
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(3, *window.mask.shape, generator=generator)
        return noise.permute(1, 2, 0).numpy()
    if options.init == "paste":
        return window.source
    if options.init == "poisson":
        key = ("poisson", window.mask.shape, _digest(window.source))
        started: Float = prepared.once(key, lambda: poisson_start(window))
        return started
    if init_picture is None:
        raise InputError(f"--init {options.init!r} is neither noise, paste nor poisson, and no image was given")
    return init_picture[_rows_of(window), _columns_of(window)]


def membrane_for(agreement: float) -> Literal["full", "edges"]:
    """`full` where source and target show the same scene around the object, so that its offset is the light's."""
    return "full" if agreement >= SAME_SCENE else "edges"


def harmonised(window: Window, membrane: Literal["full", "edges"]) -> Float:
    """The source (h, w, 3) made to meet the target: what the first pass takes its guidance and its content from.

    `full`: the source itself, whose gradients alone count, as in Poisson cloning. `edges`: with a membrane that
    stops at the object's contour, so that the object keeps its own colour.
    """
    if membrane == "full":
        return window.source
    # Outside the mask it is the target, and the smoothing of the source that finds its edges reaches four pixels.
    result, part = window.target.copy(), window.around_mask(8)
    known = np.zeros(window.mask.shape, np.bool_)
    known[window.shown] = True
    added = edge_stopping_membrane(
        window.source[part], window.target[part], window.mask[part] > 0, known=known[part]
    )
    result[part] = (window.source[part] + added).clip(0, 255)
    return result


def poisson_start(window: Window) -> Float:
    """Pérez et al., 2003: the source's Laplacian inside the mask, the target around it; (h, w, 3), 0..255."""
    result, part = window.target.copy(), window.around_mask(2)
    laplacian = guidance_laplacian(window.source[part])
    result[part] = solve_poisson(window.target[part], laplacian, window.mask[part] > 0).clip(0, 255)
    return result


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
    target = _image(window.target, device)
    if options.objective == "published":
        if name == "second_pass":
            return PublishedSecondPass(
                network,
                options.weights,
                first=_image(begun, device),
                target=target,
                style_taps=style_taps,
                content_tap=content_tap,
                zero_content=options.zero_content,
            )
        return PublishedFirstPass(
            network,
            options.weights,
            source=_image(scene.source, device),
            mask=_plane(scene.mask, device),
            target=target,
            top=scene.top,
            left=scene.left,
            style_taps=style_taps,
            content_tap=content_tap,
        )
    own = begun if name == "second_pass" else window.source
    statistics: TargetStatistics = (prepared or Prepared()).once(
        _statistics_key(window, options, style_taps, begun, own),
        lambda: _target_statistics(scene, window, options, network, style_taps, begun, own, device),
    )
    return NormalisedObjective(
        network,
        options,
        source=_image(window.source, device),
        mask=_plane(window.mask, device),
        target=target,
        reference=_image(own, device),
        style=statistics.moments,
        style_taps=style_taps,
        content_tap=content_tap,
        histogram_target=statistics.sorted_values,
        log_totals=statistics.log_totals,
        tile=tile,
    )


@dataclass(frozen=True)
class TargetStatistics:
    """What style and histogram compare with: by layer, moments, log totals (ResNet's smoothing), sorted values."""

    moments: dict[str, Tensor]
    log_totals: dict[str, Tensor]
    sorted_values: dict[str, Tensor] | None


def _statistics_key(
    window: Window, options: PassOptions, taps: Sequence[str], begun: Float, own: Float
) -> tuple[object, ...]:
    """All that a scene's target statistics depend on."""
    start = _digest(begun) if options.style_from == "similar" else ""
    colours = _digest(own) if options.palette < 1 else ""
    asked = (options.backbone, tuple(taps), options.style_from, options.palette, options.smoothing)
    return (
        *asked,
        options.weights.style > 0,
        options.weights.histogram > 0,
        window.scale,
        window.mask.shape,
        start,
        colours,
    )


def _target_statistics(
    scene: Scene,
    window: Window,
    options: PassOptions,
    network: Network,
    style_taps: tuple[str, ...],
    begun: Float,
    own: Float,
    device: torch.device,
) -> TargetStatistics:
    """begun: where the pass starts, which the target's parts are compared with. own: the object's colours."""
    target, mask = _image(window.target, device), _plane(window.mask, device)
    wide = options.style_from == "whole" and options.weights.style > 0
    area = _whole_target(scene, window, device) if wide else target
    weights: dict[str, Tensor] | None = None
    full: Tensor | None = None
    if options.weights.style and options.style_from == "similar":
        shown = target + mask * (_image(begun, device) - target)
        full = similarity(network, target, shown, mask, style_taps[-1])
        sizes, strides = network.sizes((target.shape[2], target.shape[3])), network.strides()
        weights = {tap: resample(full, strides[tap], sizes[tap]) for tap in style_taps}
    if options.palette < 1:
        colours = recolouring(area, full, _image(own, device), mask, options.palette)
        area, target = recoloured(area, colours), recoloured(target, colours)
    totals: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    if options.weights.style:
        if options.smoothing and network.name == "resnet50":
            totals = log_totals(network, area, style_taps)
        moments = target_moments(
            network,
            area,
            style_taps,
            weights,
            (lambda tap, found: losses.smooth_activations(found, totals[tap])) if totals else None,
        )
    histogram = sorted_values(network, target, style_taps) if options.weights.histogram else None
    return TargetStatistics(moments, totals, histogram)


def _digest(picture: Float) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest()


def _whole_target(scene: Scene, window: Window, device: torch.device) -> Tensor:
    """The whole target at the window's scale."""
    pixels = averaged(as_float(scene.target.pixels), window.scale)
    # As it lies in memory: it is seen tile by tile.
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)


def require_on_canvas(scene: Scene) -> None:
    """Raise InputError where a part of the source's frame is off the canvas: the published objective needs it."""
    height, width = scene.canvas
    bottom, right = scene.top + scene.mask.shape[0], scene.left + scene.mask.shape[1]
    if scene.top < 0 or scene.left < 0 or bottom > height or right > width:
        raise InputError(
            f"preset wacv2020 needs the whole source on the canvas: it covers rows {scene.top}..{bottom} and "
            f"columns {scene.left}..{right} of a {width}x{height} canvas; move it with --x and --y, "
            "or use --preset natural"
        )


def require_room(scene: Scene, options: PassOptions, network: Network) -> None:
    """Raise InputError where a resolution of a pass is too small for the deepest layer to have a value."""

    def fits(rows: int, columns: int) -> bool:
        return min(rows, columns) > 0 and all(min(size) > 0 for size in network.sizes((rows, columns)).values())

    least = next(side for side in itertools.count(1) if fits(side, side))
    height, width = scene.canvas
    coarsest = schedule(scene, options)[0][0]
    if not fits(height, width):
        raise InputError(
            f"'{scene.target.path}' is {width}x{height}, too small for the layers of {network.name}: give "
            f"at least {least}x{least} pixels (see --ts), or shallower --style-layers and --content-layer"
        )
    if not fits(height // coarsest, width // coarsest):
        raise InputError(
            f"'{scene.target.path}' is {width}x{height}, too small for so many resolutions; give fewer --levels"
        )
    if options.objective == "published" and not fits(*scene.mask.shape):
        raise InputError(
            f"the source is {scene.mask.shape[1]}x{scene.mask.shape[0]}, too small for {network.name}'s layers: "
            f"give at least {least}x{least} pixels (see --ss)"
        )


def _grained(begun: Float, window: Window, options: PassOptions) -> Float:
    """What a level starts from, with the target's fine texture on the object's pixels."""
    if not options.grain or options.region == "canvas":
        return begun
    # The texture looks three standard deviations far.
    result, part = begun.copy(), window.around_mask(math.ceil(3 * STROKE))
    texture = fine_texture(_image(window.target[part], torch.device("cpu")))
    inside = (window.mask[part] > 0)[..., None]
    result[part] = (begun[part] + options.grain * inside * texture[0].permute(1, 2, 0).numpy()).clip(0, 255)
    return result


def _finer(change: Tensor, like: Tensor) -> Tensor:
    """A coarse level's change brought to the next level, the cut-off last row and column repeated."""
    doubled = F.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
    rows, columns = like.shape[2] - doubled.shape[2], like.shape[3] - doubled.shape[3]
    return F.pad(doubled, (0, columns, 0, rows), mode="replicate")


def _rows_of(window: Window) -> slice:
    return slice(window.top, window.top + window.mask.shape[0])


def _columns_of(window: Window) -> slice:
    return slice(window.left, window.left + window.mask.shape[1])


def _image(array: Float, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).permute(2, 0, 1)[None].contiguous().to(device)


def _plane(array: Float, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None, None].to(device)


def _array(image: Tensor) -> Float:
    return image[0].permute(1, 2, 0).clamp(0, 255).contiguous().cpu().numpy()


ResumeOf = Callable[[PassName], LoopState | None]
