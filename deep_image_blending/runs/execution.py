"""A job carried out: scene, networks, memory, then pass by pass, with or without a run directory."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deep_image_blending.errors import InputError, RunError, is_out_of_memory
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.networks.backbones import Backbone
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.painting_kind import painting_of
from deep_image_blending.options.pass_options import PassName
from deep_image_blending.options.run_options import Options
from deep_image_blending.options.stored import options_to_dict
from deep_image_blending.passes import (
    Conduct,
    PassFailed,
    PassResult,
    Phase,
    evaluations_of,
    first_pass,
    membrane_for,
    require_room,
    schedule,
    second_pass,
)
from deep_image_blending.pictures import Float, Pixels, in_srgb, load_picture
from deep_image_blending.pictures.scene import Scene
from deep_image_blending.runs import plan
from deep_image_blending.runs.devices import arithmetic, described, free_caches, give_back_freed
from deep_image_blending.runs.directory import RunDirectory, command_line, versions
from deep_image_blending.runs.inputs import Say, scene_of, start_picture
from deep_image_blending.runs.job import Hooks, Job, on_host
from deep_image_blending.runs.networks import Wanted, load_backbones
from deep_image_blending.runs.recorder import Interrupted, Recorded, Recorder
from deep_image_blending.runs.room import require_room_for_pictures
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import LoopState, Observer


@dataclass(frozen=True)
class Ready:
    """A job whose scene is placed, whose networks are loaded, and whose memory is planned."""

    job: Job
    scene: Scene
    options: Options
    loaded: Mapping[PassName, Backbone]
    decision: plan.Decision
    start: Float | None
    said: tuple[str, ...]
    matte: Mapping[str, Any] | None = None

    @property
    def thrifty(self) -> bool:
        return self.decision.plan.way == "thrifty"


@dataclass(frozen=True)
class Outcome:
    """What an execution made: the passes' results, the options as they were settled, and what was decided."""

    scene: Scene
    options: Options
    decisions: tuple[str, ...]
    results: Mapping[PassName, PassResult] = field(default_factory=dict)
    folder: Path | None = None


def execute(job: Job, hooks: Hooks | None = None) -> Outcome:
    """Do the passes of a job.

    Raises InputError for what can't be done, Interrupted where the user stops it, PassFailed where the
    optimisation fails, and RunError where the disk or memory fails.
    """
    hooks = hooks or Hooks()
    with arithmetic(job.machine.threads, job.options.precision):
        return carry_out(prepare(job, hooks), hooks)


def carry_out(ready: Ready, hooks: Hooks) -> Outcome:
    """Do the passes of a job that is prepared, in the arithmetic that the caller has set. Raises as `execute`."""
    job = ready.job
    if not job.passes:
        return Outcome(ready.scene, ready.options, ready.said, {}, job.folder)
    if job.folder is None:
        return _passes(ready, hooks, None)
    with _opened(job) as run, _within_memory():
        with job.timings.part("writing"):
            if job.mode == "new":
                begin_run(run, ready)
            else:
                known = run.manifest.get("decisions", [])
                run.update(decisions=[*known, *(said for said in ready.said if said not in known)])
                _restore_pictures(run, ready)
        outcome = _passes(ready, hooks, run)
        seconds = job.timings.seconds()
        run.update(timings={name: round(spent, 3) for name, spent in seconds.items()})
        return outcome


def prepare(job: Job, hooks: Hooks | None = None, planning: bool = False) -> Ready:
    """Place the scene, load the networks, and settle what options and memory leave open.

    planning: weights that are not at hand may be zeros. Raises InputError, where the memory does not suffice too.
    """
    hooks = hooks or Hooks()
    said: list[str] = list(job.said)
    # Said when all is settled: what can't be done is one line alone.
    say = said.append
    placement, timings = job.options.placement, job.timings
    sizes = {"source": job.inputs.source.pixels.shape, "target": job.inputs.target.pixels.shape}
    require_room_for_pictures(sizes, placement, on_host(job.machine, job.options))
    placed = scene_of(job.inputs, job.options, say, timings)
    scene, options = placed.scene, placed.options
    start = start_picture(options, scene.canvas, job.start)
    wanted = Wanted(job.named, job.machine.weights, hooks.download, planning)
    with timings.part("networks"):
        options, loaded = load_backbones(options, job.passes, wanted, say)
    for name, source in {one.network.name: one.source for one in loaded.values()}.items():
        say(f"backbone {name} ({source}) on {options.device}, {options.precision}")
    with timings.part("planning"):
        if job.mode == "new" and "first_pass" in job.passes:
            options = _with_membrane(options, scene, say)
        if "second_pass" in job.passes:
            options = _with_painting(options, scene, say)
        for one in job.passes:
            require_room(scene, options.of(one), loaded[one].network)
        limit = None if job.machine.max_memory is None else round(job.machine.max_memory * 2**30)
        decision = plan.decide(scene, options, loaded, job.passes, wanted=job.machine.memory, limit=limit)
    if decision.said is not None:
        say(decision.said)
    for message in said:
        hooks.say(message)
    return Ready(job, scene, options, loaded, decision, start, tuple(said), placed.matte)


def begin_run(run: RunDirectory, ready: Ready) -> None:
    """Write the manifest, with which the run begins, then the mask and the plain cut-and-paste."""
    job, scene, options = ready.job, ready.scene, ready.options
    height, width = scene.canvas
    run.update(
        scene=job.inputs.kind,
        inputs=job.inputs.described(),
        placement={
            **{part.name: getattr(options.placement, part.name) for part in dataclasses.fields(options.placement)},
            "top": scene.top,
            "left": scene.left,
            "object": [scene.mask.shape[0], scene.mask.shape[1]],
            "region": list(scene.region()),
            "canvas": [height, width],
        },
        options=options_to_dict(options),
        matte=dict(ready.matte or {}),
        decisions=list(ready.said),
        versions=versions(),
        command=command_line(),
        device=described(options.device),
        backbone={},
        passes={},
    )
    _restore_pictures(run, ready)


def run_pass(
    ready: Ready,
    name: PassName,
    hooks: Hooks,
    run: RunDirectory | None,
    first: Float | Pixels | None = None,
    resume: bool = False,
) -> PassResult:
    """One pass; with a run directory its picture, losses, frames, checkpoints and measures are written there.

    first: the frozen first-pass picture, where the run's folder does not hold it. resume: go on from the newest
    whole checkpoint. A pass that runs out of memory is tried once more, the thrifty way, from its newest
    checkpoint; that is said.
    """
    backbone, options = ready.loaded[name], ready.options
    if run is not None and resume:
        _require_same_weights(run, name, backbone)
    state = _resumed(run, name, ready) if run is not None and resume else None
    if run is not None:
        _mark_begun(run, ready, name, backbone)
    if name == "second_pass" and first is None and run is not None:
        first = saved_first_pass(run, ready.scene)
    try:
        result, saved = _attempted(ready, name, hooks, run, first, state, ready.thrifty)
        if result is None and not ready.thrifty:
            del state
            free_caches(options.device)
            _note(run, f"{_title(name)}: out of memory; trying once more, tile by tile and in less memory")
            if run is not None:
                run.update_pass(name, memory="thrifty")
            again = _resumed(run, name, ready) if run is not None and (resume or saved) else None
            result, _ = _attempted(ready, name, hooks, run, first, again, True)
    except PassFailed as failure:
        if run is not None:
            _write_result(run, ready.scene, failure.result)
            run.update_pass(name, status="failed", reason=str(failure))
        raise
    except Interrupted:
        if run is not None:
            run.update_pass(name, status="interrupted")
        raise
    if result is None:
        free_caches(options.device)
        remedy = plan.smaller_size(ready.scene, options, ready.loaded, name)
        reason = f"not enough memory; free some and --resume, or start anew: {remedy}"
        if run is not None:
            run.update_pass(name, status="failed", reason=reason)
        raise RunError(reason)
    if run is not None:
        _finish(run, ready, name, result, hooks)
    return result


def saved_first_pass(run: RunDirectory, scene: Scene) -> Pixels:
    """The frozen first-pass picture of a run, (H, W, 3) uint8 or uint16."""
    path = run.picture_path("first_pass")
    if not path.is_file():
        raise InputError(
            f"run '{run.path}' has no finished first pass; run 'blend first-pass' or 'blend run' first"
        )
    picture = load_picture(path).pixels
    if picture.shape[:2] != scene.canvas:
        height, width = scene.canvas
        raise InputError(
            f"'{path}' is {picture.shape[1]}x{picture.shape[0]} but the canvas is {width}x{height}: "
            "they must have the same size"
        )
    return picture


def _passes(ready: Ready, hooks: Hooks, run: RunDirectory | None) -> Outcome:
    job = ready.job
    first: Float | Pixels | None = None
    if job.inputs.kind == "first pass":
        first = ready.scene.source_canvas()
    results: dict[PassName, PassResult] = {}
    if run is not None and job.mode == "again":
        kept = run.keep_previous("second_pass")
        if kept is not None:
            hooks.say(f"the earlier second pass is kept as {kept.name}")
    for name in job.passes:
        with hooks.of_pass(name) as own:
            result = run_pass(ready, name, own, run, first, resume=job.mode == "resume")
            results[name] = result
            if name == "first_pass":
                # The next pass need not read the file.
                first = result.seen()
            if name != job.passes[-1] and own.stop():
                raise Interrupted(after=name)
    return Outcome(ready.scene, ready.options, ready.said, results, job.folder)


@contextlib.contextmanager
def _opened(job: Job) -> Iterator[RunDirectory]:
    assert job.folder is not None
    made = RunDirectory.create(job.folder, force=job.output.force) if job.mode == "new" else None
    with made or RunDirectory.open(job.folder) as run:
        yield run


def _restore_pictures(run: RunDirectory, ready: Ready) -> None:
    """The plain cut-and-paste, the mask and a given first pass, where they are not there."""
    scene, inputs = ready.scene, ready.job.inputs
    if not (run.path / "composite.png").exists():
        run.write_picture(run.path / "composite.png", scene.composed(*scene.pasted()), scene.target)
    if not (run.path / "mask.png").exists():
        run.write_mask(scene.canvas_mask())
    if inputs.kind == "first pass" and not run.picture_path("first_pass").exists():
        run.write_picture(run.picture_path("first_pass"), inputs.source.pixels, scene.target)
        run.update_pass("first_pass", status="done", ended="given", file=str(inputs.source.path))


_MEMBRANES = {
    "full": "around the object the pictures are alike, so the target's light may flow through it",
    "edges": "around the object the pictures differ, so its colours are held up to its contours",
}
"""What a membrane that was chosen means, for who looks at pictures."""


def _with_membrane(options: Options, scene: Scene, say: Say) -> Options:
    """The options with what the scene decides, which is said."""
    if options.first.membrane != "auto":
        return options
    membrane = membrane_for(scene.agreement())
    say(f"membrane {membrane}: {_MEMBRANES[membrane]}")
    return options.with_pass("first_pass", dataclasses.replace(options.first, membrane=membrane))


def _with_painting(options: Options, scene: Scene, say: Say) -> Options:
    """The options with the kind of painting that the object comes into, which is said."""
    if options.second.painting != "auto" or not kind_of(options.second.objective).matches:
        return options
    painting = painting_of(scene)
    say(painting.said())
    return options.with_pass("second_pass", dataclasses.replace(options.second, painting=painting.kind))


def _mark_begun(run: RunDirectory, ready: Ready, name: PassName, backbone: Backbone) -> None:
    named = {"name": backbone.network.name, "source": backbone.source, "sha256": backbone.sha256}
    run.update_pass(
        name,
        {
            "backbone": {**run.manifest.get("backbone", {}), name: named},
            "options": options_to_dict(ready.options),
            "metrics": {key: value for key, value in run.manifest.get("metrics", {}).items() if key != name},
        },
        status="running",
        memory="thrifty" if ready.thrifty else "full",
        pid=os.getpid(),
        reason=None,
    )


def _attempted(
    ready: Ready,
    name: PassName,
    hooks: Hooks,
    run: RunDirectory | None,
    first: Float | Pixels | None,
    state: LoopState | None,
    thrifty: bool,
) -> tuple[PassResult | None, bool]:
    """The pass, and whether a checkpoint was written; None where it ran out of memory, and may be tried again."""
    backbone = ready.loaded[name]
    recorder: Recorder | None = None
    last: Observer = _stopping(hooks)
    if run is not None:
        recorded = Recorded(run, name, ready.scene, ready.options, backbone.network, state, ready.job.timings)
        recorder = Recorder(recorded, ready.job.output.checkpoint_every, hooks.stop)
        last = recorder
    conduct = Conduct(
        (*hooks.observers, last),
        _freeing(hooks.phase),
        state,
        hooks.prepared,
        thrifty,
        ready.job.timings,
    )
    try:
        if name == "first_pass":
            result = first_pass(ready.scene, ready.options, backbone, ready.start, conduct)
        else:
            assert first is not None
            result = second_pass(ready.scene, ready.options, backbone, first, conduct)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, recorder is not None and recorder.saved
    except PassFailed:
        if recorder is not None:
            recorder.flush()
        raise
    if recorder is not None:
        recorder.flush()
    return result, recorder is not None and recorder.saved


def _freeing(phase: Phase) -> Phase:
    """The same, and what the stage before has freed goes back to the system."""

    def begun(what: str) -> None:
        give_back_freed()
        phase(what)

    return begun


def _stopping(hooks: Hooks) -> Observer:
    def observe(_: object) -> None:
        if hooks.stop():
            raise Interrupted

    return observe


def _finish(run: RunDirectory, ready: Ready, name: PassName, result: PassResult, hooks: Hooks) -> None:
    """Write the pass's picture and its measures, and that it is done."""
    timings = ready.job.timings
    give_back_freed()
    with timings.part("writing"):
        pixels = _write_result(run, ready.scene, result)
    _freeing(hooks.phase)("measuring")
    with timings.part("measures"):
        measures = _measures(ready.scene, pixels)
    measured = {key: value for key, value in run.manifest.get("metrics", {}).items() if key != name}
    own = ready.options.of(name)
    run.update_pass(
        name,
        {"metrics": {**measured, name: measures}},
        status="done",
        ended=result.status,
        evaluations=result.evaluations,
        seconds=round(result.seconds, 3),
        first=dict(result.first),
        last=dict(result.last),
        steps=own.num_steps,
    )
    run.drop_checkpoints(name)


@contextlib.contextmanager
def _within_memory() -> Iterator[None]:
    """Where an allocator gives up, RunError says how to go on."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError("not enough memory; free some and --resume, or give smaller --ss and --ts") from error


def _note(run: RunDirectory | None, message: str) -> None:
    """Say it, and write it among the run's decisions."""
    warnings.warn(message, stacklevel=3)
    if run is not None:
        run.update(decisions=[*run.manifest.get("decisions", ()), message])


def _resumed(run: RunDirectory, name: PassName, ready: Ready) -> LoopState | None:
    """Where the newest whole checkpoint stands. Raises InputError for one that is not of this pass."""
    stored = run.load_checkpoint(name)
    if stored is None:
        return None
    (tensors, numbers), options = stored, ready.options
    other = InputError(
        f"the checkpoint of run '{run.path}' is of other options or another version; start with --force"
    )
    try:
        if numbers["fingerprint"] != options.fingerprint(name):
            raise other
        loop = dict(numbers["loop"])
        own = options.of(name)
        levels = len(list(schedule(ready.scene, own)))
        within = 0 <= loop["evaluation"] <= evaluations_of(own) and 0 <= loop["level"] < levels
        typed = all(map(math.isfinite, (loop["seconds"], *loop["recent"]))) and all(
            tensor.is_floating_point() for tensor in tensors.values()
        )
        if not within or not typed or int(numbers["solver"]["history"]) != own.history:
            raise other
        device = torch.device(options.device)
        tensors = {key: tensor.to(device) for key, tensor in tensors.items()}
        before = tensors.pop("before", None)
        return LoopState(LBFGS.from_state_dict(tensors, numbers["solver"]), **loop, before=before)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise other from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise other from error


def _require_same_weights(run: RunDirectory, name: PassName, backbone: Backbone) -> None:
    """Raise InputError where an unfinished pass was begun with another backbone's weights."""
    known = run.manifest.get("backbone", {}).get(name)
    if known is not None and known["sha256"] != backbone.sha256:
        raise InputError(
            f"run '{run.path}' can't be continued with other weights: {known['name']} was {known['source']} "
            f"({known['sha256'][:12]}), now {backbone.source} ({backbone.sha256[:12]}); give the same --weights"
        )


def _write_result(run: RunDirectory, scene: Scene, result: PassResult) -> Pixels:
    """Write the pass's picture; its pixels in sRGB, as reading it gives them."""
    pixels = result.written()
    run.write_picture(run.picture_path(result.name), pixels, scene.target)
    return in_srgb(pixels, scene.target)


def _measures(scene: Scene, pixels: Pixels) -> dict[str, float]:
    """The picture's measures, or none, which is said, where the memory does not suffice: the picture is there.

    The embedded network judges every run, whatever made it, so that runs can be compared.
    """
    try:
        return evaluate_scene(scene, pixels)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        warnings.warn("not enough memory to measure the picture; 'blend evaluate' does it later", stacklevel=2)
        return {}


def _title(name: PassName) -> str:
    return name.replace("_", " ")
