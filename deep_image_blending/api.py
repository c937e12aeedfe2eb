"""The Python API: paths, PIL images or arrays in, arrays out; nothing is printed.

Every option of the command line is a keyword of its name: `--style-weight` is `style_weight`. What the command
line refuses is refused here, in the same words but for the flags' dashes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.errors import BlendError, InputError
from deep_image_blending.networks.download import fetch
from deep_image_blending.options.pass_options import PASSES, PassName
from deep_image_blending.options.resolve import placed
from deep_image_blending.options.run_options import STARTS, Options
from deep_image_blending.passes import PassResult, Phase, poisson_start
from deep_image_blending.pictures import Float, as_float, load_mask, load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Scene, compose_scene
from deep_image_blending.runs.execution import Outcome, execute
from deep_image_blending.runs.inputs import Inputs, SceneKind
from deep_image_blending.runs.job import Hooks, Job, job_of_first_pass, new_job, resumed_job
from deep_image_blending.solve.loop import Observer

Pictured = str | PathLike[str] | Image.Image | npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class BlendResult:
    """A finished blend; all pictures (H, W, 3) in the target's depth, equal to it where the mask is 0.

    decisions: what was decided for the caller, in words. options: every option, resolved.
    """

    picture: Pixels
    first_pass: Pixels | None
    composite: Pixels
    options: Options
    decisions: tuple[str, ...]
    passes: Mapping[PassName, PassResult]


@dataclass(frozen=True)
class Watch:
    """Who watches a blend from Python, and may stop it.

    observers: see every evaluation. phase: told what is computed before the evaluations. stop: asked after each
    evaluation; where it says True, `Interrupted` is raised.
    """

    observers: tuple[Observer, ...] = ()
    phase: Phase = lambda _: None
    stop: Callable[[], bool] = lambda: False

    def hooks(self) -> Hooks:
        return Hooks(self.observers, self.phase, stop=self.stop, download=fetch)


def blend(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    placement: Placement | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> BlendResult:
    """Both passes.

    mask: the object in white; None takes the source's alpha channel. placement: where the object goes, in place
    of the options `x`, `y`, `ss`, `ts`, ...; default: native sizes, centred. options: every option of `blend run`
    by its name; a tuple sets the two passes apart. With `output_dir` the run is kept on the disk as the command
    line keeps it, and `resume` goes on from there; then pictures are given as paths.

    Raises InputError for bad input, RunError where the optimisation fails, Interrupted where `watch` stops it.

    >>> import numpy as np
    >>> grey, white = np.full((16, 16, 3), 120, np.uint8), np.full((16, 16), 255, np.uint8)
    >>> result = blend(grey, white, np.zeros((32, 32, 3), np.uint8), backbone="random", num_steps=1)
    >>> result.picture.shape
    (32, 32, 3)
    """
    return _blended(_Pictures(source, mask, target), placement, watch, options, PASSES)


def first_pass(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    placement: Placement | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> BlendResult:
    """The first pass alone; as `blend`."""
    return _blended(_Pictures(source, mask, target), placement, watch, options, ("first_pass",))


def second_pass(
    first: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    watch: Watch | None = None,
    **options: Any,
) -> BlendResult:
    """The second pass on any picture of the target's size. mask: of that size, or None for the whole canvas."""
    with _in_pythons_words():
        job = job_of_first_pass(options, _Pictures(first, mask, target).read("first pass", options))
        return _result(execute(job, (watch or Watch()).hooks()))


def poisson_blend(
    source: Pictured, mask: Pictured | None, target: Pictured, *, placement: Placement | None = None
) -> Pixels:
    """Poisson cloning (Pérez et al., 2003) alone: (H, W, 3) in the target's depth."""
    scene = _scene(_Pictures(source, mask, target), placement)
    window = scene.window(1)
    start = poisson_start(window)
    weight = window.mask[..., None]
    return scene.composed(window, window.target + weight * (start - window.target))


def evaluate(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    picture: Pictured,
    *,
    placement: Placement | None = None,
    backbone: str | None = "embedded",
) -> dict[str, float]:
    """Quality measures of a finished blend, by name; see `deep_image_blending.measures`.

    backbone: whose features measure style and content; None leaves these two out.
    """
    from deep_image_blending.measures import evaluate_scene

    scene = _scene(_Pictures(source, mask, target), placement)
    return evaluate_scene(scene, load_picture(picture).pixels, backbone=backbone)


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a blend as they were given."""

    source: Pictured
    mask: Pictured | None
    target: Pictured

    def read(self, kind: SceneKind, options: Mapping[str, Any]) -> Inputs:
        limit = {} if options.get("max_pixels") is None else {"max_pixels": int(options["max_pixels"])}
        path = Path(self.mask).absolute() if isinstance(self.mask, str | PathLike) else None
        mask = None if self.mask is None else load_mask(self.mask, **limit)
        return Inputs(load_picture(self.source, **limit), mask, load_picture(self.target, **limit), path, kind)


def _blended(
    pictures: _Pictures,
    placement: Placement | None,
    watch: Watch | None,
    options: Mapping[str, Any],
    passes: tuple[PassName, ...],
) -> BlendResult:
    with _in_pythons_words():
        return _result(execute(_job(pictures, placement, options, passes), (watch or Watch()).hooks()))


def _job(
    pictures: _Pictures, placement: Placement | None, options: Mapping[str, Any], passes: tuple[PassName, ...]
) -> Job:
    given = {**options, **(_placing(placement) if placement is not None else {})}
    start = given.get("init")
    image = start is not None and not (isinstance(start, str) and start in STARTS)
    if given.get("resume"):
        if given.get("output_dir") is None:
            raise InputError("--resume needs --output-dir, the run to continue")
        job = resumed_job(Path(given["output_dir"]), given, passes)
        if not job.passes:
            raise InputError(f"run '{job.folder}' is finished: there is nothing to resume")
        return job
    if image and not isinstance(start, str | PathLike):
        given["init"] = None
    job = new_job(given, passes, pictures.read("placed", given))
    if image and not isinstance(start, str | PathLike):
        assert start is not None
        # The file that a run could be resumed from is not there: run.json says so by a name that is no path.
        named = dataclasses.replace(job.options, init="an image in memory")
        return dataclasses.replace(job, options=named, start=_started(start))
    return job


def _started(picture: Pictured) -> Float:
    """The start (H, W, 3), 0..255, of an image in memory."""
    return as_float(load_picture(picture).pixels)


def _placing(placement: Placement) -> dict[str, Any]:
    from deep_image_blending.declaration import options_of

    return {name: value for name in options_of(Placement) if (value := getattr(placement, name)) is not None}


def _scene(pictures: _Pictures, placement: Placement | None) -> Scene:
    with _in_pythons_words():
        inputs = pictures.read("placed", {})
        return compose_scene(inputs.source, inputs.mask, inputs.target, placement or placed({}))


def _result(outcome: Outcome) -> BlendResult:
    scene = outcome.scene
    first, second = outcome.results.get("first_pass"), outcome.results.get("second_pass")
    last = second or first
    assert last is not None
    return BlendResult(
        last.written(),
        None if first is None else first.written(),
        scene.composed(*scene.pasted()),
        outcome.options,
        outcome.decisions,
        outcome.results,
    )


@contextmanager
def _in_pythons_words() -> Iterator[None]:
    """Errors that name keywords where the command line names flags."""
    try:
        yield
    except BlendError as error:
        words = re.sub(r"--([a-z][a-z-]*)", lambda flag: flag[1].replace("-", "_"), str(error))
        error.args = (words, *error.args[1:])
        raise


__all__ = ["BlendResult", "Watch", "blend", "evaluate", "first_pass", "poisson_blend", "second_pass"]
