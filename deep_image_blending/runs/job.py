"""A job: everything that decides what a blend is made of and how, settled before it begins.

Whoever starts a blend (command line, Python, batch) resolves a job here and hands it to `execute`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deep_image_blending.declaration import chosen
from deep_image_blending.errors import InputError
from deep_image_blending.networks.backbones import Download
from deep_image_blending.objectives.objective import Prepared
from deep_image_blending.options.catalogue import catalogue, names_of
from deep_image_blending.options.machine import Machine
from deep_image_blending.options.output import Output
from deep_image_blending.options.pass_options import PASSES, PassName
from deep_image_blending.options.picture_files import PictureFiles
from deep_image_blending.options.resolve import (
    checked_names,
    refuse_changes,
    refuse_unused,
    resolve_options,
)
from deep_image_blending.options.run_options import STARTS, Options
from deep_image_blending.options.stored import options_from
from deep_image_blending.passes import Phase
from deep_image_blending.pictures import Float
from deep_image_blending.pictures.demo import demo_unless_given
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.runs.devices import available_devices, resolve_device, resolve_precision
from deep_image_blending.runs.directory import RunDirectory, require_free, require_kept
from deep_image_blending.runs.inputs import Inputs, Say, SceneKind, inputs_of, read_inputs
from deep_image_blending.solve.loop import Observer
from deep_image_blending.timings import Timings

Mode = Literal["new", "resume", "again"]
_OF_MASK = ("ss", "x", "y", "grow", "feather", "fit_mask")
Given = Mapping[str, Any]
"""What a user gave, by the options' declared names; what is not among them is as the preset has it."""


@dataclass(frozen=True)
class Job:
    """A blend that can be executed.

    passes: those that are to be done. folder: the run directory; None keeps everything in memory. mode: begin a
    new run, `resume` one, or make a pass `again` from the saved first pass. named: the backbone was asked for by
    name, so that no other takes its place. start: (H, W, 3), 0..255, an image in memory that the first pass
    starts from. said: what was decided for the user so far. timings: where its seconds go.
    """

    inputs: Inputs
    options: Options
    passes: tuple[PassName, ...] = PASSES
    machine: Machine = field(default_factory=Machine)
    output: Output = field(default_factory=Output)
    folder: Path | None = None
    mode: Mode = "new"
    named: bool = False
    start: Float | None = None
    said: tuple[str, ...] = ()
    title: str | None = None
    timings: Timings = field(default_factory=Timings, compare=False)

    @property
    def name(self) -> str:
        """A name for the run, of its pictures."""
        if self.title is not None:
            return self.title
        if self.inputs.kind == "first pass":
            return f"{self.inputs.source.path.stem}-second"
        return f"{self.inputs.source.path.stem}-{self.inputs.target.path.stem}"


def _unsaid(_: str) -> None:
    """Nobody asked."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Hooks:
    """Who watches an execution, and may stop it.

    observers: see every evaluation. phase: told what is being computed before the evaluations. say: told what is
    decided for the user. stop: asked after every evaluation. download: fetches pretrained weights. around: a
    context that each pass runs in; it gives the hooks of that pass. prepared: what executions on one scene share.
    """

    observers: Sequence[Observer] = ()
    phase: Phase = _unsaid
    say: Say = _unsaid
    stop: Callable[[], bool] = _never
    download: Download | None = None
    around: Callable[[PassName], AbstractContextManager[Hooks]] | None = None
    prepared: Prepared = field(default_factory=Prepared)

    def of_pass(self, name: PassName) -> AbstractContextManager[Hooks]:
        """The hooks of one pass, while it runs."""
        return nullcontext(self) if self.around is None else self.around(name)


def new_job(given: Given, passes: tuple[PassName, ...] = PASSES, inputs: Inputs | None = None) -> Job:
    """The job of a new run. inputs: pictures in memory, in place of files.

    Raises InputError for an option that is none, a value out of range, and a picture that can't be read.
    """
    checked_names(given)
    title = files = None
    if inputs is None:
        given, title = demo_unless_given(given)
        named = chosen(PictureFiles, given)
        files = (named.source_file, named.mask_file, named.target_file)
    return _begun(given, passes, inputs, files, "placed", title)


def job_of_first_pass(given: Given, inputs: Inputs | None = None) -> Job:
    """The job of a second pass on any saved picture. Raises InputError."""
    checked_names(given)
    files = chosen(PictureFiles, given)
    if inputs is None:
        if files.first_pass_file is None or files.target_file is None:
            raise InputError("--first-pass-file needs --target-file, the picture that it was blended into")
        refuse_unused(given, ("source_file", "demo"), "a second pass on --first-pass-file")
    if (files.mask_file if inputs is None else inputs.mask) is None:
        refuse_unused(given, _OF_MASK, "a second pass without a mask, which works on the whole canvas")
    paths = None if inputs is not None else (files.first_pass_file, files.mask_file, files.target_file)
    return _begun(given, ("second_pass",), inputs, paths, "first pass")


def _begun(
    given: Given,
    passes: tuple[PassName, ...],
    inputs: Inputs | None,
    files: tuple[Path | None, Path | None, Path | None] | None,
    kind: SceneKind,
    title: str | None = None,
) -> Job:
    """A new run's job: its options are settled, then the files (source, mask, target), if any, are read."""
    timings = Timings()
    options = resolve_options(given, passes)
    machine, output = chosen(Machine, given), chosen(Output, given)
    if output.output_dir is not None:
        require_free(output.output_dir, force=output.force)
        start = None if options.init in STARTS else Path(options.init)
        require_kept(output.output_dir, (*(files or ()), start))
    options, said = _on_device(options, machine)
    if files is not None:
        source, mask, target = files
        assert source is not None
        assert target is not None
        with timings.part("reading"):
            inputs = read_inputs(source, mask, target, options.placement, kind, on_host(machine, options))
    assert inputs is not None
    return Job(
        inputs,
        options,
        passes,
        machine,
        output,
        folder=output.output_dir,
        named=_named(given),
        said=said,
        title=title,
        timings=timings,
    )


def resumed_job(path: Path, given: Given, passes: tuple[PassName, ...]) -> Job:
    """The job that continues a run. Raises InputError where that is another than the one that was begun."""
    timings = Timings()
    checked_names(given)
    refuse_unused(given, ("force", "demo"), "a run that is continued")
    run = RunDirectory.open(path, write=False)
    stored = stored_options(run)
    machine, output = chosen(Machine, given), chosen(Output, given)
    asked = resolve_options(given, passes, stored)
    if _of_device(machine):
        asked, _ = _on_device(asked, machine)
    refuse_changes(stored, asked, path)
    for name in ("source", "mask", "target"):
        file = given.get(f"{name}_file")
        known = run.manifest.get("inputs", {}).get(name, {}).get("path")
        if file is not None and str(Path(file).absolute()) != known:
            raise InputError(f"run '{path}' was made of '{known}', not of '{file}'; start a new run")
    placement, limit = stored.placement, given.get("max_pixels")
    if limit is not None:
        placement = dataclasses.replace(placement, max_pixels=int(limit))
    with timings.part("reading"):
        inputs = inputs_of(run, placement, on_host(machine, stored))
    done = {name for name, entry in run.manifest.get("passes", {}).items() if entry.get("status") == "done"}
    left = tuple(name for name in passes if name not in done)
    if left:
        _require_device(stored, path, "go on where it is, or start a new run")
    # A pass goes on the way it was begun, so that it ends with the same picture, bit for bit.
    begun = {run.manifest.get("passes", {}).get(name, {}).get("memory") for name in left}
    if machine.memory == "auto" and "thrifty" in begun:
        machine = dataclasses.replace(machine, memory="thrifty")
    threads, said = run.manifest.get("device", {}).get("threads"), []
    if machine.threads is None and isinstance(threads, int) and 1 <= threads <= 1024:
        machine = dataclasses.replace(machine, threads=threads)
    elif machine.threads != threads:
        said.append(f"{machine.threads} threads, where the run was begun with {threads}: the last bits may differ")
    return Job(
        inputs,
        stored,
        left,
        machine,
        output,
        path,
        "resume",
        named=_named(given),
        said=tuple(said),
        timings=timings,
    )


def again_job(path: Path, given: Given) -> Job:
    """The job that makes the second pass of a saved run once more. Raises InputError."""
    timings = Timings()
    checked_names(given)
    first = (name for name, one in catalogue().items() if one.scope == "first")
    unused = (*names_of(PictureFiles, Placement), *first, "matte", "output_dir", "force")
    refuse_unused(given, unused, f"the second pass of run '{path}'")
    run = RunDirectory.open(path, write=False)
    stored = stored_options(run)
    passes: tuple[PassName, ...] = ("second_pass",)
    machine, output = chosen(Machine, given), chosen(Output, given)
    options = resolve_options(given, passes, stored)
    said: tuple[str, ...] = ()
    if _of_device(machine):
        options, said = _on_device(options, machine)
    _require_device(options, path, "give another --device")
    with timings.part("reading"):
        inputs = inputs_of(run, stored.placement, on_host(machine, options))
    return Job(
        inputs,
        options,
        passes,
        machine,
        output,
        path,
        "again",
        named=_named(given),
        said=said,
        timings=timings,
    )


def stored_options(run: RunDirectory) -> Options:
    """The options that a run was begun with. Raises InputError."""
    manifest = run.path / "run.json"
    if "options" not in run.manifest:
        raise InputError(f"'{manifest}' does not say the run's options; start a new run")
    return options_from(run.manifest["options"], f"'{manifest}'")


def on_host(machine: Machine, options: Options) -> float | None:
    """GiB that the process may hold on the host; on a graphics card --max-memory means the card's."""
    return machine.max_memory if options.device == "cpu" else None


def _of_device(machine: Machine) -> bool:
    asked = (machine.device, machine.gpu_id, machine.gpu)
    return any(one is not None for one in asked) or machine.precision != "auto"


def _require_device(options: Options, path: Path, remedy: str) -> None:
    """Raise InputError where a run's device is not there, as on another machine."""
    available = available_devices()
    if options.device not in available:
        raise InputError(
            f"run '{path}' was begun on device {options.device!r}, which is not there "
            f"(available: {', '.join(available)}); {remedy}"
        )


def _on_device(options: Options, machine: Machine) -> tuple[Options, tuple[str, ...]]:
    device, said = resolve_device(machine)
    precision = resolve_precision(machine.precision, device)
    return dataclasses.replace(options, device=device, precision=precision), (said,) if said else ()


def _named(given: Given) -> bool:
    return given.get("backbone", "auto") not in (None, "auto")
