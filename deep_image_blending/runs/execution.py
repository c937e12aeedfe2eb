"""From files and options to a finished run: what the command line and the Python API share."""

from __future__ import annotations

import dataclasses
import functools
import gc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deep_image_blending.errors import InputError, RunError, is_out_of_memory, require_one_of
from deep_image_blending.files import sha256_of
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.networks import backbones
from deep_image_blending.networks.backbones import Backbone, Download, load_backbone
from deep_image_blending.options.options import PASSES as PASSES
from deep_image_blending.options.options import Options, PassName, PassOptions, Precision
from deep_image_blending.passes.levels import pass_levels, require_on_canvas, wanted_taps
from deep_image_blending.passes.prepared import Prepared
from deep_image_blending.passes.result import PassFailed, PassResult
from deep_image_blending.passes.start import membrane_for
from deep_image_blending.passes.two_passes import Phase, blend_of, first_pass, second_pass
from deep_image_blending.pictures.images import Picture, Pixels, in_srgb, load_mask, load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Float, Scene, compose_scene, looks_inverted
from deep_image_blending.runs import directory as runs
from deep_image_blending.runs import plan
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.solve.lbfgs import LBFGS
from deep_image_blending.solve.loop import Evaluation, LoopState, Observer, settled

Say = Callable[[str], None]


@dataclass(frozen=True)
class Inputs:
    """The pictures of a run. mask (h, w) in 0..1, or None for the source's alpha channel."""

    source: Picture
    mask: Float | None
    target: Picture
    mask_path: Path | None = None

    def described(self) -> dict[str, Any]:
        """Paths and hashes, for the manifest."""
        entries: dict[str, Any] = {
            "source": {"path": str(self.source.path), "sha256": self.source.sha256},
            "target": {"path": str(self.target.path), "sha256": self.target.sha256},
        }
        if self.mask_path is not None:
            entries["mask"] = {"path": str(self.mask_path), "sha256": sha256_of(self.mask_path)}
        return entries


def read_inputs(source: Path, mask: Path | None, target: Path, max_pixels: int | None = None) -> Inputs:
    """Read the three files. Raises InputError that names the one that is wrong."""
    limit: dict[str, Any] = {} if max_pixels is None else {"max_pixels": max_pixels}
    return Inputs(
        load_picture(source, **limit),
        None if mask is None else load_mask(mask, **limit),
        load_picture(target, **limit),
        None if mask is None else mask.absolute(),
    )


def inputs_of(run: RunDirectory) -> Inputs:
    """The inputs that a run was made of. Raises InputError when one is gone or has changed."""
    entries = run.manifest.get("inputs", {})
    paths: dict[str, Path | None] = {"mask": None}
    for name in ("source", "target", "mask"):
        if name not in entries:
            continue
        path = Path(entries[name]["path"])
        if not path.is_file():
            raise InputError(f"run '{run.path}' was made of '{path}', which is gone; put it back")
        if sha256_of(path) != entries[name]["sha256"]:
            raise InputError(f"'{path}' has changed since run '{run.path}' was made of it; start a new run")
        paths[name] = path
    if paths.get("source") is None or paths.get("target") is None:
        raise InputError(f"run '{run.path}' does not say what it was made of; start a new run")
    source, target = paths["source"], paths["target"]
    assert source is not None
    assert target is not None
    return read_inputs(source, paths["mask"], target)


def scene_of(inputs: Inputs, options: Options, say: Say) -> Scene:
    """Place the object; say what looks odd."""
    scene = compose_scene(inputs.source, inputs.mask, inputs.target, options.placement)
    if options.first.objective == "published":
        require_on_canvas(scene)
    if looks_inverted(scene.mask):
        say("the mask is white at its border and darker inside: if the object is painted black, invert the mask")
    return scene


def with_membrane(options: Options, scene: Scene, say: Say) -> Options:
    """The options with what the scene decides, which is said."""
    if options.first.membrane != "auto":
        return options
    agreement = scene.agreement()
    membrane = membrane_for(agreement)
    alike = "alike" if membrane == "full" else "not alike"
    say(f"membrane {membrane}: around the object source and target are {alike} (R² {max(agreement, 0):.2f})")
    return options.with_pass("first_pass", dataclasses.replace(options.first, membrane=membrane))


def scene_from_first_pass(
    first: Path, mask: Path | None, target: Path, options: Options, say: Say, max_pixels: int | None = None
) -> tuple[Inputs, Scene, Options]:
    """The scene of a second pass on any saved picture; without a mask the whole canvas is its object."""
    inputs = read_inputs(first, mask, target, max_pixels)
    scene, options = first_pass_scene(inputs.source, inputs.mask, inputs.target, options, say)
    return inputs, scene, options


def first_pass_scene(
    first: Picture, mask: Float | None, target: Picture, options: Options, say: Say
) -> tuple[Scene, Options]:
    """A canvas-sized first-pass picture as the object, inside `mask` or, where that is None, everywhere.

    mask: of the canvas's size, or placed on it as a source's would be.
    """
    placement = options.placement
    scene = compose_scene(first, np.ones(first.pixels.shape[:2], np.float32), target, Placement(ts=placement.ts))
    height, width = scene.canvas
    if first.pixels.shape[:2] != (height, width):
        raise InputError(
            f"'{first.path}' is {first.pixels.shape[1]}x{first.pixels.shape[0]} but '{target.path}' is "
            f"{width}x{height}: a first-pass picture has the size of its canvas (see --ts)"
        )
    if mask is None:
        say("no mask: the second pass works on the whole canvas")
        second = dataclasses.replace(options.second, region="canvas")
        return scene, dataclasses.replace(options, second=second)
    if mask.shape != (height, width):
        blank = dataclasses.replace(first, pixels=np.zeros((*mask.shape, 3), np.uint8), alpha=None)
        placed = compose_scene(blank, mask, target, placement)
        part, top, left = placed.canvas_mask_crop()
        mask = np.zeros((height, width), np.float32)
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    if not (mask > 0).any():
        raise InputError("the mask is empty: no pixel is above black; paint the object white")
    return dataclasses.replace(scene, mask=mask), options


def resolve_device(name: str) -> str:
    """`auto`, `cpu`, `cuda[:N]` or `mps` -> a device that is there. InputError lists those that are."""
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name == "auto":
        return available[1] if len(available) > 1 else "cpu"
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        raise InputError(f"device {name!r} is not there; available: {', '.join(available)}")
    return wanted


def resolve_precision(name: str, device: str) -> Precision:
    """`auto` is bf16 on a CUDA device that computes it natively, float32 elsewhere."""
    require_one_of("precision", name, ("auto", "float32", "bf16"))
    if name == "auto":
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    return "bf16" if name == "bf16" else "float32"


def load_backbones(
    options: Options,
    passes: Sequence[PassName],
    *,
    asked: str,
    weights: Path | None,
    download: Download | None,
    say: Say,
    planning: bool = False,
) -> tuple[Options, dict[PassName, Backbone]]:
    """The networks of the passes. asked: `auto` or a name. planning: weights that are not at hand may be zeros.

    With `auto` a preset's backbone whose weights can't be had gives way to the embedded one, which is said. A
    backbone asked for by name never does.
    """
    loaded: dict[PassName, Backbone] = {}
    for name in passes:
        pass_options = options.of(name)
        try:
            loaded[name] = load_backbone(
                pass_options.backbone,
                wanted_taps(pass_options),
                weights=weights,
                download=download,
                planning=planning,
            )
        except InputError as error:
            if asked != "auto" or weights is not None or pass_options.backbone in ("embedded", "random"):
                raise
            line_search = ", and a line search" if pass_options.line_search == "fixed" else ""
            say(f"{name.replace('_', ' ')}: using the embedded backbone{line_search}, since {error}")
            pass_options = on_embedded(pass_options)
            options = options.with_pass(name, pass_options)
            loaded[name] = load_backbone("embedded", wanted_taps(pass_options))
    return options, loaded


def on_embedded(options: PassOptions) -> PassOptions:
    """The same pass on the embedded backbone, with its layers where it lacks the ones asked for.

    The published fixed step goes with VGG-16's features and diverges on others: a line search takes its place.
    """
    style, content = backbones.default_taps("embedded")
    kept = tuple(tap for tap in options.style_layers or style if tap in style) or style
    return dataclasses.replace(
        options,
        backbone="embedded",
        style_layers=kept,
        content_layer=options.content_layer if options.content_layer in style else content,
        line_search="wolfe",
        history=min(options.history, 20),
    )


def begin_run(run: RunDirectory, inputs: Inputs, scene: Scene, options: Options, decisions: Sequence[str]) -> None:
    """Write the plain cut-and-paste, then the manifest, with which the run begins."""
    run.write_picture(run.path / "composite.png", scene.composed(*scene.pasted()), scene.target)
    height, width = scene.canvas
    run.update(
        inputs=inputs.described(),
        placement={
            **dataclasses.asdict(options.placement),
            "top": scene.top,
            "left": scene.left,
            "object": [scene.mask.shape[0], scene.mask.shape[1]],
            "region": list(scene.region()),
            "canvas": [height, width],
        },
        options=options.to_json(),
        decisions=list(decisions),
        versions=runs.versions(),
        command=runs.command_line(),
        device=_device_name(options.device),
        backbone={},
        passes={},
    )


@contextmanager
def _within_memory() -> Iterator[None]:
    """Where an allocator gives up, RunError says how to go on."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError("not enough memory; free some and --resume, or give smaller --ss and --ts") from error


@_within_memory()
def execute(
    run: RunDirectory,
    scene: Scene,
    options: Options,
    loaded: Mapping[PassName, Backbone],
    name: PassName,
    *,
    init_picture: Float | None = None,
    first: Float | Pixels | None = None,
    observers: Sequence[Observer] = (),
    resume: bool = False,
    checkpoint_every: float = 30.0,
    interrupted: Callable[[], bool] = lambda: False,
    prepared: Prepared | None = None,
    phase: Phase = lambda _: None,
    thrifty: bool = False,
) -> PassResult:
    """Run one pass in a run directory: its picture, losses, frames and checkpoints are written there.

    A finished pass is measured by `evaluate_scene`; the numbers stand under `metrics` in the manifest.

    resume: go on from the newest whole checkpoint. prepared, phase, thrifty: as for the passes themselves. A pass
    that runs out of memory is tried once more, the thrifty way, from its newest checkpoint; that is said.
    Raises Interrupted, PassFailed, RunError where the disk or memory fails, and InputError where the checkpoint
    is of other options or weights.
    """
    backbone = loaded[name]
    if resume:
        _require_same_weights(run, name, backbone)
    stored = _resumed(run, name, options) if resume else None
    named = {"name": backbone.network.name, "source": backbone.source, "sha256": backbone.sha256}
    measured = {key: value for key, value in run.manifest.get("metrics", {}).items() if key != name}
    run.update_pass(
        name,
        {
            "backbone": {**run.manifest.get("backbone", {}), name: named},
            "options": options.to_json(),
            "metrics": measured,
        },
        status="running",
        memory="thrifty" if thrifty else "full",
        pid=runs.process_alive(),
        reason=None,
    )
    if name == "second_pass" and first is None:
        first = saved_first_pass(run, scene)

    if name == "first_pass":
        make = functools.partial(first_pass, scene, options, backbone, init_picture=init_picture)
    else:
        assert first is not None
        make = functools.partial(second_pass, scene, options, backbone, first)

    def attempt(state: LoopState | None, thrifty: bool) -> tuple[PassResult | None, Recorder]:
        """The pass; None where it ran out of memory, and may be tried again."""
        recorder = Recorder(run, scene, options, name, backbone, state, checkpoint_every, interrupted)
        try:
            return make(
                observers=(*observers, recorder), resume=state, prepared=prepared, phase=phase, thrifty=thrifty
            ), recorder
        except PassFailed as failure:
            _write_result(run, scene, failure.result)
            recorder.flush()
            run.update_pass(name, status="failed", reason=str(failure))
            raise
        except Interrupted:
            run.update_pass(name, status="interrupted")
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None, recorder

    result, recorder = attempt(stored, thrifty)
    if result is None and not thrifty:
        resume = resume or recorder.saved
        del stored, recorder
        free_caches(options.device)
        _note(run, f"{name.replace('_', ' ')}: out of memory; trying once more, tile by tile and in less memory")
        run.update_pass(name, memory="thrifty")
        result, recorder = attempt(_resumed(run, name, options) if resume else None, True)
    if result is None:
        free_caches(options.device)
        remedy = plan.smaller_size(scene, options, loaded, name)
        reason = f"not enough memory; free some and --resume, or start anew: {remedy}"
        run.update_pass(name, status="failed", reason=reason)
        raise RunError(reason)
    pixels = _write_result(run, scene, result)
    recorder.flush()
    phase("measuring")
    run.update_pass(
        name,
        {"metrics": {**measured, name: _measures(scene, pixels)}},
        status="done",
        ended=result.status,
        evaluations=result.evaluations,
        seconds=round(result.seconds, 3),
        first=dict(result.first),
        last=dict(result.last),
        steps=options.of(name).steps,
    )
    run.drop_checkpoints(name)
    return result


def free_caches(device: str) -> None:
    """Give back what is held without need."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _note(run: RunDirectory, message: str) -> None:
    """Say it, and write it among the run's decisions."""
    warnings.warn(message, stacklevel=3)
    run.update(decisions=[*run.manifest.get("decisions", ()), message])


class Interrupted(Exception):
    """The user asked the run to stop; a checkpoint was written."""


class Recorder:
    """The observer that keeps a run's loss table, frames and checkpoints."""

    def __init__(
        self,
        run: RunDirectory,
        scene: Scene,
        options: Options,
        name: PassName,
        backbone: Backbone,
        state: LoopState | None,
        every: float,
        interrupted: Callable[[], bool],
    ) -> None:
        self.run, self.name, self.every, self.interrupted = run, name, every, interrupted
        self.fingerprint = options.fingerprint(name)
        self.options = options.of(name)
        masked = self.options.region == "mask" and self.options.objective == "normalised"
        self.windows = {
            level.window.scale: level.window.cut_to_mask() if masked else level.window
            for level in pass_levels(name, scene, self.options, backbone.network)
        }
        self.region = scene.region()
        done = state.evaluation if state is not None else 0
        self.rows = _rows_until(run, name, done)
        self.saved_at, self.saved = state.seconds if state is not None else 0.0, False
        # The evaluations that become frames are the same however often the pass was continued.
        self.next_frame = 1
        while self.next_frame <= done:
            self.next_frame = frame_after(self.next_frame)

    def __call__(self, record: Evaluation) -> None:
        self.rows.append(
            {"evaluation": record.index, "seconds": record.seconds, "total": record.total, **record.terms}
        )
        if record.index >= self.next_frame or record.index == record.budget:
            self.run.write_frame(self.name, record.index, self._moment(record))
            self.next_frame = frame_after(record.index)
        solver = record.state.solver
        if solver.status != "running" or settled(record.state.recent, self.options.tolerance):
            # The level ends here. From a checkpoint, the engine would make one evaluation more.
            return
        stop = self.interrupted()
        if stop or record.seconds - self.saved_at >= self.every:
            self.save(record.state)
        if stop:
            raise Interrupted

    def save(self, state: LoopState) -> None:
        """Write the loss table, then the checkpoint that refers to it."""
        self.flush()
        tensors, numbers = state.solver.state_dict()
        parts = (part.name for part in dataclasses.fields(state) if part.name != "solver")
        loop = {name: getattr(state, name) for name in parts}
        self.run.save_checkpoint(
            self.name,
            tensors,
            {"solver": numbers, "loop": loop, "fingerprint": self.fingerprint},
            state.evaluation,
        )
        self.saved_at, self.saved = state.seconds, True

    def flush(self) -> None:
        self.run.write_losses(self.name, self.rows)

    def _moment(self, record: Evaluation) -> Float:
        """The object's box of the blend, at full resolution."""
        window = self.windows[record.scale]
        blend = blend_of(record.point, window, self.options)
        if window.scale > 1:
            blend = blend.repeat(window.scale, 0).repeat(window.scale, 1)
        if self.options.region == "canvas":
            return blend
        top, left, bottom, right = self.region
        rows = np.clip(np.arange(top, bottom) - window.top * window.scale, 0, blend.shape[0] - 1)
        columns = np.clip(np.arange(left, right) - window.left * window.scale, 0, blend.shape[1] - 1)
        return blend[np.ix_(rows, columns)]


def frame_after(index: int) -> int:
    """The next evaluation that becomes a frame: dense at first, where most changes, then ever sparser."""
    return index + max(1, index // 12)


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


def _resumed(run: RunDirectory, name: PassName, options: Options) -> LoopState | None:
    """Where the newest whole checkpoint stands."""
    stored = run.load_checkpoint(name)
    if stored is None:
        return None
    tensors, numbers = stored
    try:
        if numbers["fingerprint"] != options.fingerprint(name):
            raise InputError(
                f"the checkpoint of run '{run.path}' is of other options or another version; start with --force"
            )
        device = torch.device(options.device)
        tensors = {key: tensor.to(device) for key, tensor in tensors.items()}
        return LoopState(LBFGS.from_state_dict(tensors, numbers["solver"]), **numbers["loop"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"the checkpoint of run '{run.path}' is of another version; start a new run with --force"
        ) from error


def _require_same_weights(run: RunDirectory, name: PassName, backbone: Backbone) -> None:
    """Raise InputError where an unfinished pass was begun with another backbone's weights."""
    known = run.manifest.get("backbone", {}).get(name)
    if known is not None and known["sha256"] != backbone.sha256:
        raise InputError(
            f"run '{run.path}' can't be continued with other weights: {known['name']} was {known['source']} "
            f"({known['sha256'][:12]}), now {backbone.source} ({backbone.sha256[:12]}); give the same --weights"
        )


def _rows_until(run: RunDirectory, name: PassName, done: int) -> list[dict[str, float]]:
    """The loss table's first `done` rows; said where they are not all there."""
    try:
        rows = run.read_losses(name)[:done]
    except (InputError, OSError):
        rows = []
    if [row.get("evaluation") for row in rows] != list(range(1, done + 1)):
        warnings.warn(f"'{run.losses_path(name)}' is damaged: it begins at evaluation {done + 1}", stacklevel=2)
        return []
    return rows


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


def _device_name(device: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": device, "threads": torch.get_num_threads()}
    if device.startswith("cuda"):
        entry["model"] = torch.cuda.get_device_name(device)
    return entry
