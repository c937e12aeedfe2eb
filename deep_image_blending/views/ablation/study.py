"""Every variant of a blend, each a run of its own, and the sheet that shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from deep_image_blending import passes
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.options.pass_options import PASSES, PassName
from deep_image_blending.pictures import in_srgb, read_picture
from deep_image_blending.pictures.scene import Scene
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.runs.execution import Ready, begin_run, run_pass
from deep_image_blending.runs.job import Hooks
from deep_image_blending.solve.loop import Evaluation
from deep_image_blending.views.ablation.variant import Variant, variants
from deep_image_blending.views.contact_sheet import Pixels, contact_sheet, with_margin

Tell = Callable[[str, int, int], None]
"""Is told what is being computed, the evaluations made so far, and those that there may be in all."""


@dataclass(frozen=True)
class Row:
    """A variant's finished picture (H, W, 3), in the target's depth, and its measures by name."""

    label: str
    picture: npt.NDArray[Any]
    measures: Mapping[str, float]


def study(
    ready: Ready,
    folder: Path,
    tell: Tell = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Row]:
    """Paste and Poisson cloning, then every variant, each a run in its own subdirectory of `folder`.

    What variants have in common, a first pass among them, is computed once; the result is that of `blend run` with
    the same options, to the bit. Raises what `run_pass` does.
    """
    yield from _without_passes(ready.scene, tell)
    plan, maker = variants(ready.options), _Maker(ready, tell, stop)
    full: RunDirectory | None = None
    for variant in plan:
        with RunDirectory.create(folder / variant.folder, force=ready.job.output.force) as run:
            begin_run(run, _ready(ready, variant))
            for name in PASSES:
                maker.make(run, variant, name)
            if full is not None and variant is plan[-1]:
                yield _finished("without second pass", full, "first_pass")
            full = full or run
            yield _finished(variant.label, run, "second_pass")


def sheet(scene: Scene, rows: Sequence[Row], *, crop: bool, columns: int | None = None) -> Pixels:
    """The labelled pictures, (H, W, 3) uint8; crop: the object with a quarter of its longer side around it.

    columns: pictures a row; None: two rows.
    """
    columns = columns or -(-len(rows) // 2)
    box = with_margin(scene.region(), scene.canvas, 0.25) if crop else None
    return contact_sheet([(row.label, row.picture) for row in rows], crop=box, columns=columns, cell=360)


class _Maker:
    """Makes the passes of one variant after the other, and counts their evaluations."""

    def __init__(self, ready: Ready, tell: Tell, stop: Callable[[], bool]) -> None:
        self.ready, self.tell, self.stop = ready, tell, stop
        plan = variants(ready.options)
        self.total = sum(passes.evaluations_of(variant.options.of(name)) for variant in plan for name in PASSES)
        self.done = 0
        self._prepared = passes.Prepared(again=True)
        self._first: dict[str, RunDirectory] = {}

    def make(self, run: RunDirectory, variant: Variant, name: PassName) -> None:
        """One pass, or a copy of another variant's first pass of the same options."""
        what = f"{variant.label}, {name.replace('_', ' ')}"
        self.tell(what, self.done, self.total)
        key = variant.options.fingerprint(name)
        if name == "first_pass" and key in self._first:
            _take_first_pass(self._first[key], run)
        else:
            counter = _Counter(self.tell, what, self.done, self.total)
            hooks = Hooks((counter,), stop=self.stop, prepared=self._prepared)
            run_pass(_ready(self.ready, variant), name, hooks, run)
            if name == "first_pass":
                self._first[key] = run
        self.done += passes.evaluations_of(variant.options.of(name))
        self.tell(what, self.done, self.total)


def _without_passes(scene: Scene, tell: Tell) -> Iterator[Row]:
    """The paste, and Poisson cloning."""
    yield _row(scene, "paste", scene.composed(*scene.pasted()))
    tell("Poisson", 0, 0)
    window = scene.window(1)
    start = passes.poisson_start(window)
    cloned = scene.composed(window, window.target + window.mask[..., None] * (start - window.target))
    yield _row(scene, "Poisson", cloned)


def _ready(ready: Ready, variant: Variant) -> Ready:
    """The same scene with a variant's options, and the networks as a run of these options alone would load
    them."""
    loaded = {}
    for name, backbone in ready.loaded.items():
        wanted = passes.wanted_taps(variant.options.of(name))
        network = backbone.network.truncated(wanted) if wanted else backbone.network
        loaded[name] = dataclasses.replace(backbone, network=network)
    said = (*ready.said, f"ablation: {variant.label}")
    return dataclasses.replace(ready, options=variant.options, loaded=loaded, said=said)


def _take_first_pass(donor: RunDirectory, run: RunDirectory) -> None:
    """A first pass of the same options, made already."""
    run.copy_pass("first_pass", donor)
    entry = {**donor.manifest["passes"]["first_pass"], "taken_from": donor.path.name}
    more = {part: {"first_pass": donor.manifest[part]["first_pass"]} for part in ("backbone", "metrics")}
    run.update_pass("first_pass", more, **entry)


def _finished(label: str, run: RunDirectory, name: PassName) -> Row:
    """What a pass made, and the measures that it took of it."""
    return Row(label, read_picture(run.picture_path(name)).pixels, run.manifest["metrics"][name])


def _row(scene: Scene, label: str, picture: npt.NDArray[Any]) -> Row:
    seen = in_srgb(picture, scene.target)
    return Row(label, seen, evaluate_scene(scene, seen))


@dataclass(frozen=True)
class _Counter:
    """The observer that tells how far a study is."""

    tell: Tell
    what: str
    before: int
    total: int

    def __call__(self, record: Evaluation) -> None:
        self.tell(self.what, self.before + record.index, self.total)
