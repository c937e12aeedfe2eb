"""What a run will do and take, before it begins: sizes, evaluations, memory, time.

Memory is counted from what a pass holds: the networks' layers on the very boxes that will be evaluated, the
solver's history, the window's pictures. Time is multiply-adds over a rate that is measured on a small patch.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from deep_image_blending.errors import InputError
from deep_image_blending.losses.declaration import Loss, declared
from deep_image_blending.measures.blend import wide_box
from deep_image_blending.networks.backbones import Backbone
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.mask_regions import clusters, region_boxes
from deep_image_blending.networks.network import Layer, Network
from deep_image_blending.networks.region import RegionFeatures, changed_boxes
from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.painted import Framed
from deep_image_blending.objectives.schedule import Stage
from deep_image_blending.objectives.taps import correcting
from deep_image_blending.objectives.target_style import TILE
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.options.run_options import Options
from deep_image_blending.passes import (
    repaints_canvas,
    schedule,
    surroundings,
    taps_of,
    tile_of,
    wanted_taps,
)
from deep_image_blending.pictures import Float, Scene, averaged
from deep_image_blending.runs import memory_at_hand as memory
from deep_image_blending.runs.devices import give_back_freed
from deep_image_blending.runs.room import host_at_hand, shown_gib

Way = Literal["full", "thrifty"]
WAYS: tuple[Way, ...] = ("full", "thrifty")
Wanted = Literal["auto", "full", "thrifty"]

_FLOAT = 4
_LOADED = 84 * 2**20
"""Code that the passes load, and what convolution libraries and the allocator keep besides the tensors."""
_GAPS, _GAPS_OF_TILES = 1.65, 2.0
"""What the heap takes for tensors that come and go, over their size: it keeps gaps between those that stay."""
_MEASURING, _A_MEASURED_PIXEL = 115 * 2**20, 160
"""Bytes of measuring a finished picture, at all and a pixel."""
_WRITTEN = 12
"""Values that writing holds of a canvas pixel: its colours, the encoder's room, the file, and a copy of that with
its profile."""
_KEPT = 12
"""Bytes of a window's pixel that a finished pass leaves to the next: its blend and mask, and what is seen of the
target."""
_STUDIED = 23
"""Values of a window's pixel that come and go while its target is compared with the object."""
_CUDA_LIBRARIES = 640 * 2**20
"""A CUDA context and the workspaces of its libraries."""


@dataclass(frozen=True)
class Amount:
    """Bytes of memory that a pass adds to what the process holds. On the CPU all of it is the host's."""

    host: int
    device: int = 0

    def most(self, other: Amount) -> Amount:
        return Amount(max(self.host, other.host), max(self.device, other.device))


@dataclass(frozen=True)
class LevelPlan:
    """One resolution of a pass.

    window: its (rows, columns) at this scale. boxes: how many are evaluated. pixels: optimised ones.
    multiply_adds: of the convolutions of one evaluation, gradient included. once: of those before the first.
    """

    scale: int
    window: tuple[int, int]
    boxes: int
    pixels: int
    evaluations: int
    multiply_adds: float
    once: float
    amount: Amount


@dataclass(frozen=True)
class PassPlan:
    """One pass, its levels coarse to fine.

    before: bytes on the host that earlier passes leave, and loaded code. finishing: bytes on the host of writing
    and measuring the finished picture. kept: bytes that this pass leaves.
    """

    name: PassName
    backbone: str
    weights: str
    way: Way
    levels: tuple[LevelPlan, ...]
    finishing: int
    before: int
    kept: int

    @property
    def evaluations(self) -> int:
        return sum(level.evaluations for level in self.levels)

    @property
    def amount(self) -> Amount:
        """The greatest of its stages: each gives back what it took before the next begins."""
        found = Amount(self.finishing)
        for level in self.levels:
            found = found.most(level.amount)
        return Amount(self.before + found.host, found.device)

    @property
    def multiply_adds(self) -> float:
        return sum(level.evaluations * level.multiply_adds + level.once for level in self.levels)


@dataclass(frozen=True)
class Plan:
    """A run before it begins. held: bytes that the process holds already, the pictures and weights among them."""

    canvas: tuple[int, int]
    source: tuple[int, int]
    region: tuple[int, int, int, int]
    device: str
    precision: str
    way: Way
    held: int
    passes: tuple[PassPlan, ...]

    @property
    def peak(self) -> Amount:
        """Bytes at the peak, those held already included."""
        found = Amount(0)
        for one in self.passes:
            found = found.most(one.amount)
        return Amount(self.held + found.host, found.device)


def plan_run(
    scene: Scene,
    options: Options,
    loaded: Mapping[PassName, Backbone],
    passes: Sequence[PassName],
    way: Way = "full",
    held: int | None = None,
) -> Plan:
    """The plan of the passes, features evaluated all at once or the thrifty way."""
    found: list[PassPlan] = []
    before = _LOADED
    for name in passes:
        backbone = loaded[name]
        levels = _level_plans(scene, options, backbone.network, name, way)
        # A pass that matches has its own bounds, and one way.
        own: Way = "full" if kind_of(options.of(name).objective).matches else way
        finishing, kept = _finishing(scene), _kept(scene, levels)
        found.append(PassPlan(name, backbone.network.name, backbone.source, own, levels, finishing, before, kept))
        before += kept
    return Plan(
        scene.canvas,
        (scene.mask.shape[0], scene.mask.shape[1]),
        scene.region(),
        options.device,
        options.precision,
        way,
        memory.resident() if held is None else held,
        tuple(found),
    )


@dataclass(frozen=True)
class Decision:
    """How a run goes about its memory: its plan, what to say of it, and the memory at hand."""

    plan: Plan
    said: str | None
    hand: Amount


def decide(
    scene: Scene,
    options: Options,
    loaded: Mapping[PassName, Backbone],
    passes: Sequence[PassName],
    *,
    wanted: Wanted = "auto",
    limit: int | None = None,
) -> Decision:
    """All at once where that fits, else the thrifty way. limit: bytes that the process may hold at its peak.

    `full` and `thrifty` are taken as they are. Raises InputError, with a size that would fit, where nothing does.
    """
    # What reading has freed is none of it.
    give_back_freed()
    held = memory.resident()
    hand = at_hand(options.device, held, limit)
    full = plan_run(scene, options, loaded, passes, "full", held)
    if wanted != "thrifty" and _fits(full, hand):
        return Decision(full, None, hand)
    plan = full if wanted == "full" else plan_run(scene, options, loaded, passes, "thrifty", held)
    if wanted != "full" and _fits(plan, hand):
        tiled = "features are computed tile by tile, and twice: less memory, more time, the same result"
        if wanted == "thrifty":
            return Decision(plan, f"memory: {tiled}", hand)
        return Decision(
            plan,
            f"memory: all at once would take about {shown(full)}, and {shown_bytes(hand)} are at hand; {tiled} "
            f"(about {shown(plan)})",
            hand,
        )
    remedy = fitting_size(scene, options, loaded, passes, hand, held, plan.way)
    raise InputError(
        f"not enough memory: the run would take about {shown(plan)}, and {shown_bytes(hand)} are at hand; {remedy}"
    )


def at_hand(device: str, held: int, limit: int | None) -> Amount:
    """Bytes that the process may hold at its peak, on the host and on the device. Where nobody knows: 2**62."""
    boundless = 1 << 62
    on_device = memory.device_available(device)
    if on_device is None:
        return Amount(host_at_hand(held, limit), boundless)
    return Amount(host_at_hand(held, None), on_device if limit is None else min(on_device, limit))


def _fits(plan: Plan, hand: Amount) -> bool:
    peak = plan.peak
    return peak.host <= hand.host and peak.device <= hand.device


def fitting_size(
    scene: Scene,
    options: Options,
    loaded: Mapping[PassName, Backbone],
    passes: Sequence[PassName],
    hand: Amount,
    held: int,
    way: Way = "thrifty",
) -> str:
    """What to tell a user whose run does not fit: the largest sizes, source and target shrunk alike, that do."""
    rows, columns = scene.canvas
    own = max(scene.mask.shape)
    scale = 1.0
    while scale * own >= 16:
        scale *= 0.9
        ss, ts = max(1, int(own * scale)), max(1, int(max(rows, columns) * scale))
        small = _scaled(scene, ss / own, ts / max(rows, columns))
        if small is not None and _fits(plan_run(small, options, loaded, passes, way, held), hand):
            return f"--ss {ss} --ts {ts} would fit"
    return "free some memory: even a tiny picture would not fit"


def smaller_size(scene: Scene, options: Options, loaded: Mapping[PassName, Backbone], name: PassName) -> str:
    """What to tell a user whose pass ran out of memory although it had seemed to fit."""
    held = memory.resident()
    hand, took = (
        at_hand(options.device, held, None),
        plan_run(scene, options, loaded, (name,), "thrifty", held).peak,
    )
    less = Amount(held + (took.host - held) * 7 // 10, took.device * 7 // 10)
    known = Amount(min(hand.host, less.host), min(hand.device, less.device))
    if not took.device:
        known = Amount(known.host, hand.device)
    return fitting_size(scene, options, loaded, (name,), known, held)


def _scaled(scene: Scene, of_source: float, of_target: float) -> Scene | None:
    """The scene's geometry at another size, without its pictures; None where nothing of the object is left."""

    def nearest(length: int, factor: float) -> tuple[int, np.ndarray]:
        count = max(1, round(length * factor))
        return count, np.minimum(np.arange(count) / factor, length - 1).astype(int)

    rows, columns = (max(1, round(length * of_target)) for length in scene.canvas)
    (_, of_rows), (_, of_columns) = (nearest(length, of_source) for length in scene.mask.shape)
    mask = scene.mask[np.ix_(of_rows, of_columns)]
    blank = np.broadcast_to(np.uint8(0), (rows, columns, 3))
    small = Scene(
        dataclasses.replace(scene.target, pixels=blank, native=blank),
        np.broadcast_to(np.float32(0), (*mask.shape, 3)),
        mask,
        round(scene.top * of_target),
        round(scene.left * of_target),
    )
    return small if (small.canvas_mask_crop()[0] > 0).any() else None


def _level_plans(
    scene: Scene, options: Options, network: Network, name: PassName, way: Way
) -> tuple[LevelPlan, ...]:
    own = options.of(name)
    box = scene.window_box(*surroundings(scene, own, network))
    mask = scene.mask_in(box)
    if repaints_canvas(name, own):
        mask = np.ones_like(mask)
    found, done = [], 0
    for stage in schedule(scene, own):
        coarse = averaged(mask[..., None], stage.scale)[..., 0]
        found.append(_level_plan(scene, options, network, name, way, coarse, stage, stage.until - done))
        done = stage.until
    return tuple(found)


def _level_plan(
    scene: Scene,
    options: Options,
    network: Network,
    name: PassName,
    way: Way,
    mask: Float,
    stage: Stage,
    evaluations: int,
) -> LevelPlan:
    own, scale = options.of(name), stage.scale
    if stage.corrects:
        own = correcting(own, network)
        options = options.with_pass(name, own)
    taps = wanted_taps(own)
    size = (mask.shape[0], mask.shape[1])
    kind = kind_of(own.objective)
    pixels = size[0] * size[1] if kind.every_pixel else int((mask > 0).sum())
    shortened = network.truncated(taps) if taps else None
    tile = tile_of(network, way == "thrifty", stage.corrects) if kind.thrifty else 0
    boxes: list[Box] = []
    framed = _framed(mask) if kind.matches else None
    if framed is not None:
        size, boxes, pixels = framed.framed, [framed.box], framed.box.area * 4 // 3
    elif shortened is not None and kind.whole_canvas:
        boxes = [whole(size)]
    elif shortened is not None:
        align = max(shortened.strides().values())
        found = clusters(torch.from_numpy(mask)[None, None], shortened.reach(), align)
        boxes = [near for near, _ in region_boxes(shortened, found, tile)]
    sizes = [] if shortened is None else [changed_boxes(shortened, shortened.sizes(size), box) for box in boxes]
    works = [] if shortened is None else [_work(shortened, one) for one in sizes]
    count = _counted(options, name, size, mask, pixels, network, shortened, sizes, evaluations, bool(tile))
    if framed is not None and shortened is not None:
        window = scene.window_box(*surroundings(scene, own, network))
        count = _with_copies(count, options, shortened, size, framed.box, window)
    factor = 3 if tile else 2
    style = 2 if kind.matches else (3 if own.style_from == "similar" else 1) if own.weights["style"] else 0
    area = scene.canvas[0] * scene.canvas[1] / scale**2 if own.style_from == "whole" else size[0] * size[1]
    per_pixel = 0.0 if shortened is None else _work(shortened, _everything(shortened, (256, 256))) / 256**2
    return LevelPlan(
        scale,
        (mask.shape[0], mask.shape[1]),
        len(boxes),
        pixels,
        evaluations,
        factor * sum(works),
        style * per_pixel * area + 3 * sum(works),
        count,
    )


def _finishing(scene: Scene) -> int:
    """Bytes on the host of writing a finished picture, then of measuring it."""
    top, left, bottom, right = wide_box(scene)
    written = _WRITTEN * _a_value(scene) * math.prod(scene.canvas)
    return max(written, _MEASURING + _A_MEASURED_PIXEL * (bottom - top) * (right - left))


def _kept(scene: Scene, levels: Sequence[LevelPlan]) -> int:
    """Bytes on the host that a finished pass leaves: its window, and its picture for the next pass."""
    return _KEPT * math.prod(levels[-1].window) + 3 * _a_value(scene) * math.prod(scene.canvas)


def _a_value(scene: Scene) -> int:
    """Bytes of one value of the target: its depth."""
    return int(scene.target.native.dtype.itemsize)


def _framed(mask: Float) -> Framed:
    """What is painted of a window, the object that may be lost at a very coarse scale taken as a pixel."""
    if not (mask > 0).any():
        mask = np.ones_like(mask)
    return Framed(torch.from_numpy(mask)[None, None])


def _with_copies(
    amount: Amount,
    options: Options,
    network: Network,
    size: tuple[int, int],
    box: Box,
    window: tuple[int, int, int, int],
) -> Amount:
    """What matching takes beside: the painting's features, its patches, distances, and the wanted palette.

    size: of the painting that is looked at, with its frame; box: the object's in it; window: at full resolution.
    """
    channels, taps = network.channels(), taps_of(options.of("second_pass"))[0]
    painting = _everything(network, size)
    object_boxes = changed_boxes(network, network.sizes(size), box)
    theirs = sum(channels[tap] * painting[tap].area for tap in taps)
    ours = sum(channels[tap] * object_boxes[tap].area for tap in taps)
    grid, own = size[0] * size[1] // recipe.GRID**2, box.area // recipe.GRID**2
    patch = 9 * (recipe.AXES + 3)
    hypercolumns = sum(channels[tap] for tap in taps)
    # The field with its patches, before and after they get their length; choices of every fourth position at once.
    compared = 2 * (grid + own) * (patch + hypercolumns) + 2 * own * (10 * 34 + 2 * patch)
    distances = 2 * 1024 * min(recipe.MOST_CANDIDATES, grid) + min(recipe.MOST_CANDIDATES, grid) * patch
    stays = _FLOAT * (theirs + 3 * ours)
    matching = _FLOAT * (compared + distances + 14 * size[0] * size[1])
    # Colours in CIELAB, in double precision, three channels of several fields.
    colours = 8 * 3 * 10 * (window[2] - window[0]) * (window[3] - window[1])
    if options.device == "cpu":
        return Amount(stays + max(amount.host, matching, colours))
    return Amount(amount.host + colours, stays + max(amount.device, _CUDA_LIBRARIES + matching))


def _everything(network: Network, size: tuple[int, int]) -> dict[str, Box]:
    return {name: whole(one) for name, one in network.sizes(size).items()}


def _work(network: Network, boxes: Mapping[str, Box]) -> float:
    """Multiply-adds of the convolutions of one forward evaluation."""
    return float(sum(boxes[name].area * weight.numel() for name, (weight, _) in network.parameters.items()))


def _copies(taps: str, by_head: bool = False) -> int:
    """Float32 copies of a layer that `natural`'s losses which look at such layers keep, as they declare.

    What painting keeps beside is counted by `_with_copies`.
    """
    looking = [loss for loss in declared().values() if loss.taps == taps and "normalised" in loss.objectives]
    heads = [loss.copies_by_head for loss in looking if loss.copies_by_head is not None]
    return max(heads) if by_head and heads else max(loss.copies for loss in looking)


def activations(
    network: Network, boxes: Mapping[str, Box], taps: tuple[str, ...], content: str | None, element: int
) -> int:
    """Bytes at the peak of one box's evaluation with its gradient: what autograd keeps, and the largest gradients.

    taps: those whose second moments are taken; content: the tap that is compared with a reference. A layer's
    output is kept once, a maximum's places as 64-bit numbers. Losses keep weighted copies, in float32, which turn
    into gradients of the same size.
    """
    channels = network.channels()
    kept = sum(channels[name] * box.area for name, box in boxes.items()) * element
    for layer in network.layers:
        if layer.kind == "max":
            kept += 8 * channels[layer.output] * boxes[layer.output].area
    copies = 1 if element == _FLOAT else 2
    for tap in taps:
        kept += copies * _copies("style") * _FLOAT * channels[tap] * boxes[tap].area
    if content is not None:
        own = _copies("content", content in network.heads)
        kept += own * _FLOAT * channels[content] * boxes[content].area
    # The library lays every convolution's weights out anew, for either direction.
    kept += 2 * element * sum(weight.numel() for weight, _ in network.parameters.values())
    return kept + _FLOAT * max(_gradient(network, layer, boxes) for layer in network.layers)


def _gradient(network: Network, layer: Layer, boxes: Mapping[str, Box]) -> int:
    """Numbers that a layer's gradient takes: its output's and its inputs'."""
    channels = network.channels()
    return sum(channels[name] * boxes[name].area for name in (layer.output, *layer.inputs))


def _counted(
    options: Options,
    name: PassName,
    size: tuple[int, int],
    mask: Float,
    pixels: int,
    network: Network,
    shortened: Network | None,
    sizes: Sequence[Mapping[str, Box]],
    evaluations: int,
    one_at_a_time: bool,
) -> Amount:
    own = options.of(name)
    element = 2 if options.precision == "bf16" else _FLOAT
    window = size[0] * size[1] * _FLOAT
    rows, columns = np.flatnonzero((mask > 0).any(1)), np.flatnonzero((mask > 0).any(0))
    frame = int((rows[-1] - rows[0] + 5) * (columns[-1] - columns[0] + 5)) * _FLOAT
    vector = 3 * pixels * _FLOAT
    # The history's rows take memory when they are first written to; on a graphics card at once.
    pairs = own.history if options.device != "cpu" else min(own.history, evaluations)
    solver = (2 * pairs + 7) * vector
    style_taps, content_tap = taps_of(own)
    style = style_taps if any(loss.taps == "style" for loss in _weighed(own)) else ()
    content = content_tap if any(loss.taps == "content" for loss in _weighed(own)) else None
    evaluated = kept = setup = 0
    if shortened is not None:
        channels = shortened.channels()
        each = [activations(shortened, one, style, content, element) for one in sizes]
        evaluated = max(each, default=0) if one_at_a_time else sum(each)
        if content is not None:
            kept = sum(channels[content] * one[content].area * element for one in sizes)
        setup = _target_features(shortened, own, size, element)
        # The surroundings of one region, layer by layer; the window, recoloured and compared with the object.
        widest = max((channels[key] * box.area for one in sizes for key, box in one.items()), default=0)
        setup = max(setup, 4 * widest * element) + _STUDIED * window
    # Pictures: mask, target and in the first pass the source of the window on all levels; what the recorder has of
    # them. The start is there until the evaluations.
    pictures, start = int((7 if name == "first_pass" else 4) * 4 / 3 * window + 4 * 4 / 3 * frame), 3 * window
    # The objective's own: target and mask of the window; what losses of pixels compare the frame with.
    tensors = 4 * window + 20 * frame
    # The start, and the coarser level's change on it.
    setup = max(setup, 9 * window + vector)
    # Losses of pixels; a preconditioner's transforms take no more.
    evaluated = round((_GAPS_OF_TILES if one_at_a_time else _GAPS) * evaluated + _GAPS * 24 * frame)
    # The Poisson start and the membrane: double precision, three channels, several fields.
    host_setup = 3 * 2 * 12 * frame if name == "first_pass" else 0
    computing = tensors + kept + solver + max(evaluated, setup + start)
    if options.device == "cpu":
        return Amount(pictures + max(computing, host_setup + start))
    return Amount(pictures + host_setup + start, _CUDA_LIBRARIES + computing)


def _weighed(own: PassOptions) -> list[Loss]:
    """The losses of a pass."""
    return [loss for name, loss in declared().items() if own.weights[name]]


def _target_features(network: Network, own: PassOptions, size: tuple[int, int], element: int) -> int:
    """Bytes while one tile of the target is looked at for its style."""
    if not any(loss.taps == "style" for loss in _weighed(own)):
        return 0
    reach = network.reach()
    tile = (min(size[0], TILE + 2 * reach), min(size[1], TILE + 2 * reach))
    channels, taps = network.channels(), taps_of(own)[0]
    areas = {name: channels[name] * box.area for name, box in _everything(network, tile).items()}
    # The taps; of one at a time, a weighted copy; and the two activations between which a layer computes.
    one = _FLOAT * max(areas[tap] for tap in taps) + 2 * max(areas.values()) * element
    return int(sum(areas[tap] for tap in taps) * element + one)


def measured_rate(network: Network, options: Options, taps: frozenset[str]) -> float:
    """Multiply-adds a second of this network's convolutions, forward and gradient, on a patch of its input.

    The patch is as large as makes it a fraction of a second's work, on a card more.
    """
    device = torch.device(options.device)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    network = network.truncated(taps).to(device, dtype)
    per_pixel = _work(network, _everything(network, (64, 64))) / 64**2
    side = int(min(512, max(48, math.sqrt((2e10 if device.type == "cuda" else 4e8) / max(per_pixel, 1)))))
    patch = torch.zeros(1, 3, side, side, device=device)
    evaluate = RegionFeatures(network, patch, whole((side, side)), taps)

    def once() -> float:
        began = time.perf_counter()
        found = evaluate(patch.requires_grad_(True))
        total = torch.stack([value.float().square().mean() for value in found.values()]).sum()
        float(torch.autograd.grad(total, patch)[0].sum())
        return time.perf_counter() - began

    once()
    return 2 * _work(network, _everything(network, (side, side))) / min(once(), once())


def seconds_of(plan: Plan, options: Options, loaded: Mapping[PassName, Backbone]) -> dict[PassName, float]:
    """Seconds that the passes will take, from the measured rate of their convolutions.

    What is not a convolution takes about as long again on a small network, and is counted by the solver's traffic.
    """
    found = {}
    for one in plan.passes:
        own, network = options.of(one.name), loaded[one.name].network
        taps = wanted_taps(own)
        rate = measured_rate(network, options, taps) if taps else math.inf
        traffic = sum(
            level.evaluations * level.pixels * 3 * _FLOAT * (4 * own.history + 60) for level in one.levels
        )
        speed = 4e11 if options.device.startswith("cuda") else 4e9
        found[one.name] = one.multiply_adds / rate + traffic / speed
    return found


def rows(decision: Decision, options: Options, loaded: Mapping[PassName, Backbone]) -> list[tuple[str, ...]]:
    """The plan in words: what is said, then a column for each pass."""
    plan = decision.plan
    seconds = seconds_of(plan, options, loaded)

    def every(text: str) -> tuple[str, ...]:
        return (text, *("" for _ in plan.passes[1:]))

    def each(label: str, of: Callable[[PassPlan], str]) -> tuple[str, ...]:
        return (label, *(of(one) for one in plan.passes))

    def size(height: int, width: int) -> str:
        return f"{width}x{height}"

    top, left, bottom, right = plan.region
    fine = {one.name: one.levels[-1] for one in plan.passes}
    return [
        ("preset", *every(options.preset)),
        ("canvas", *every(size(*plan.canvas))),
        ("source", *every(size(*plan.source))),
        ("object", *every(f"{size(bottom - top, right - left)} at row {top}, column {left}")),
        each("start", lambda one: options.init if one.name == "first_pass" else "the first pass"),
        each("backbone", lambda one: one.backbone),
        each("weights", lambda one: one.weights),
        each("device", lambda _: f"{plan.device}, {plan.precision}"),
        each(
            "window",
            lambda one: f"{size(*fine[one.name].window)}, {fine[one.name].pixels / 1e6:.3g} megapixels optimised",
        ),
        each("evaluations, at most", lambda one: f"{one.evaluations}: {_by_level(one)}"),
        each("features", lambda one: "all at once" if one.way == "full" else "tile by tile, twice (thrifty)"),
        each("memory, about", lambda one: shown_amount(plan.held, one.amount, plan.device)),
        each("time, about", lambda one: _duration(seconds[one.name])),
        ("at hand", *every(shown_bytes(decision.hand))),
    ]


def _by_level(one: PassPlan) -> str:
    by_scale: dict[int, int] = {}
    for level in one.levels:
        by_scale[level.scale] = by_scale.get(level.scale, 0) + level.evaluations
    return ", ".join(f"{count} at 1:{scale}" for scale, count in by_scale.items())


def _duration(seconds: float) -> str:
    """
    >>> [_duration(seconds) for seconds in (0.2, 600, 9000, 1e6, 1e12)]
    ['1 s', '10 min', '2.5 hours', '12 days', 'more than a year']
    """
    if seconds < 7200:
        return f"{max(1, round(seconds))} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    if seconds > 365 * 86400:
        return "more than a year"
    return f"{seconds / 3600:.1f} hours" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"


def shown_amount(held: int, amount: Amount, device: str) -> str:
    """The peak of a pass in words."""
    host = shown_gib(held + amount.host)
    return host if not amount.device else f"{shown_gib(amount.device)} on {device}, {host} beside it"


def shown(plan: Plan) -> str:
    """A plan's peak in words."""
    return shown_amount(0, plan.peak, plan.device)


def shown_bytes(hand: Amount) -> str:
    """What is at hand, in words."""
    return (
        shown_gib(hand.host)
        if hand.device >= 1 << 62
        else f"{shown_gib(hand.device)} on the device, {shown_gib(hand.host)} beside it"
    )
