"""What each loss is for: the blend with one of them left out at a time (as the ablation study of WACV 2020)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from deep_image_blending import passes
from deep_image_blending.measures import evaluate_scene
from deep_image_blending.networks.backbones import Backbone
from deep_image_blending.options.options import PASSES, TERMS, Options, PassName, PassOptions
from deep_image_blending.pictures.images import in_srgb, read_picture
from deep_image_blending.pictures.scene import Float, Scene
from deep_image_blending.runs import execution as pipeline
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.solve.loop import Evaluation
from deep_image_blending.views.contact_sheet import Pixels, contact_sheet, with_margin

FULL = "all losses"
Tell = Callable[[str, int, int], None]
"""Is told what is being computed, the evaluations made so far, and those that there may be in all."""


@dataclass(frozen=True)
class Variant:
    """One way to blend, `folder` its subdirectory's name."""

    label: str
    options: Options

    @property
    def folder(self) -> str:
        return self.label.replace(" ", "-")


@dataclass(frozen=True)
class Row:
    """A variant's finished picture (H, W, 3), in the target's depth, and its measures by name."""

    label: str
    picture: npt.NDArray[Any]
    measures: Mapping[str, float]


def variants(options: Options) -> list[Variant]:
    """All losses; then without each that a pass has; then from the other start: noise, or Poisson's solution.

    A loss is left out of both passes. `colour` is the part of content that holds the object's colour. What would
    leave a pass without any loss is not among them.
    """
    found = [Variant(FULL, options)]
    for term in (*TERMS, "colour"):
        changed = dataclasses.replace(
            options, first=_without(options.first, term), second=_without(options.second, term)
        )
        if changed != options and all(_has_losses(changed.of(name)) for name in PASSES):
            label = {"tv": "total variation"}.get(term, term)
            found.append(Variant(f"without {label}", changed))
    other = "poisson" if options.init == "noise" else "noise"
    label = {"poisson": "from Poisson", "noise": "from noise"}[other]
    return [*found, Variant(label, dataclasses.replace(options, init=other))]


def study(
    scene: Scene,
    inputs: pipeline.Inputs,
    options: Options,
    loaded: Mapping[PassName, Backbone],
    folder: Path,
    *,
    init_picture: Float | None = None,
    force: bool = False,
    thrifty: bool = False,
    tell: Tell = lambda what, done, total: None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Row]:
    """Paste and Poisson cloning, then every variant, each a run in its own subdirectory of `folder`.

    What variants have in common, a first pass among them, is computed once; the result is that of `blend run` with
    the same options, to the bit. Raises what `pipeline.execute` does.
    """
    yield _row(scene, "paste", scene.composed(*scene.pasted()))
    tell("Poisson", 0, 0)
    window = scene.window(1)
    start = passes.poisson_start(window)
    cloned = scene.composed(window, window.target + window.mask[..., None] * (start - window.target))
    yield _row(scene, "Poisson", cloned)
    plan = variants(options)
    total = sum(variant.options.of(name).evaluations for variant in plan for name in PASSES)
    done = 0
    prepared = passes.Prepared()
    made: dict[str, RunDirectory] = {}
    full: RunDirectory | None = None
    for variant in plan:
        with RunDirectory.create(folder / variant.folder, force=force) as run:
            pipeline.begin_run(run, inputs, scene, variant.options, (f"ablation: {variant.label}",))
            for name in PASSES:
                what = f"{variant.label}, {name.replace('_', ' ')}"
                tell(what, done, total)
                key = variant.options.fingerprint(name) + str(variant.options.of(name).steps)
                if name == "first_pass" and key in made:
                    _take_first_pass(made[key], run)
                else:
                    pipeline.execute(
                        run,
                        scene,
                        variant.options,
                        {name: _truncated(loaded[name], variant.options.of(name))},
                        name,
                        init_picture=init_picture,
                        thrifty=thrifty,
                        observers=(_Counter(tell, what, done, total),),
                        interrupted=interrupted,
                        prepared=prepared,
                    )
                    made.setdefault(key, run)
                done += variant.options.of(name).evaluations
                tell(what, done, total)
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


def _without(options: PassOptions, term: str) -> PassOptions:
    if term == "colour":
        return dataclasses.replace(options, colour=0.0) if options.weights.content else options
    return dataclasses.replace(options, weights=dataclasses.replace(options.weights, **{term: 0.0}))


def _has_losses(options: PassOptions) -> bool:
    return any(getattr(options.weights, term) for term in TERMS)


def _truncated(backbone: Backbone, options: PassOptions) -> Backbone:
    """The network as a run of these options alone would load it."""
    wanted = passes.wanted_taps(options)
    return dataclasses.replace(backbone, network=backbone.network.truncated(wanted)) if wanted else backbone


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
