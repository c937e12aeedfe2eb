"""The Python API: paths, PIL images or arrays in, arrays out; nothing is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending import passes
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.networks.backbones import Backbone
from deep_image_blending.networks.download import fetch
from deep_image_blending.options.options import Options, PassName, PassOptions, Weights, preset
from deep_image_blending.pictures.images import Picture, load_mask, load_picture
from deep_image_blending.pictures.placement import Placement
from deep_image_blending.pictures.scene import Float, Scene, as_float
from deep_image_blending.runs import execution as pipeline
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
    passes: Mapping[str, passes.PassResult]


def blend(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    placement: Placement | None = None,
    preset: str = "natural",
    observers: tuple[Observer, ...] = (),
    **options: Any,
) -> BlendResult:
    """Both passes.

    mask: the object in white; None takes the source's alpha channel. placement: where the object goes; default:
    native sizes, centred. options: `backbone`, `weights_file`, `device`, `precision`, `init`, `seed`, `steps`, and
    any field of PassOptions or Weights by name; a pair sets the two passes apart.

    Raises InputError for bad input, RunError where the optimisation fails.
    """
    scene, resolved, loaded, said = _prepared(source, mask, target, placement, preset, options, pipeline.PASSES)
    first = passes.first_pass(
        scene, resolved, loaded["first_pass"], init_picture=_start(options), observers=observers
    )
    second = passes.second_pass(scene, resolved, loaded["second_pass"], first.seen(), observers=observers)
    return BlendResult(
        second.written(),
        first.written(),
        _composite(scene),
        resolved,
        tuple(said),
        {"first_pass": first, "second_pass": second},
    )


def first_pass(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    placement: Placement | None = None,
    preset: str = "natural",
    observers: tuple[Observer, ...] = (),
    **options: Any,
) -> BlendResult:
    """The first pass alone; as `blend`."""
    scene, resolved, loaded, said = _prepared(source, mask, target, placement, preset, options, ("first_pass",))
    result = passes.first_pass(
        scene, resolved, loaded["first_pass"], init_picture=_start(options), observers=observers
    )
    written = result.written()
    return BlendResult(written, written, _composite(scene), resolved, tuple(said), {"first_pass": result})


def second_pass(
    first: Pictured,
    mask: Pictured | None,
    target: Pictured,
    *,
    preset: str = "natural",
    observers: tuple[Observer, ...] = (),
    **options: Any,
) -> BlendResult:
    """The second pass on any picture of the target's size. mask: of that size, or None for the whole canvas."""
    said: list[str] = []
    resolved = _resolved(Placement(), preset, options, ("second_pass",))
    frozen, canvas = load_picture(first), load_picture(target)
    plane = None if mask is None else load_mask(mask)
    scene, resolved = pipeline.first_pass_scene(frozen, plane, canvas, resolved, said.append)
    resolved, loaded = _backbones(resolved, options, ("second_pass",), said)
    result = passes.second_pass(scene, resolved, loaded["second_pass"], scene.source_canvas(), observers=observers)
    return BlendResult(result.written(), None, _composite(scene), resolved, tuple(said), {"second_pass": result})


def poisson_blend(
    source: Pictured, mask: Pictured | None, target: Pictured, *, placement: Placement | None = None
) -> Pixels:
    """Poisson cloning (Pérez et al., 2003) alone: (H, W, 3) in the target's depth."""
    scene = pipeline.scene_of(_inputs(source, mask, target), _placed(placement), lambda _: None)
    window = scene.window(1)
    start = passes.poisson_start(window)
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

    scene = pipeline.scene_of(_inputs(source, mask, target), _placed(placement), lambda _: None)
    return evaluate_scene(scene, load_picture(picture).pixels, backbone=backbone)


def _prepared(
    source: Pictured,
    mask: Pictured | None,
    target: Pictured,
    placement: Placement | None,
    name: str,
    options: dict[str, Any],
    which: tuple[PassName, ...],
) -> tuple[Scene, Options, dict[PassName, Backbone], list[str]]:
    said: list[str] = []
    resolved = _resolved(placement, name, options, which)
    scene = pipeline.scene_of(_inputs(source, mask, target), resolved, said.append)
    resolved = pipeline.with_membrane(resolved, scene, said.append)
    resolved, loaded = _backbones(resolved, options, which, said)
    return scene, resolved, loaded, said


def _inputs(source: Pictured, mask: Pictured | None, target: Pictured) -> pipeline.Inputs:
    return pipeline.Inputs(load_picture(source), None if mask is None else load_mask(mask), load_picture(target))


def _placed(placement: Placement | None) -> Options:
    return dataclasses.replace(preset("natural"), placement=placement or Placement())


def _resolved(
    placement: Placement | None, name: str, options: dict[str, Any], which: tuple[PassName, ...]
) -> Options:
    """The preset's options with those given by keyword. Raises InputError for a keyword that is none."""
    base = preset(name)
    device = pipeline.resolve_device(options.get("device", "auto"))
    base = dataclasses.replace(
        base,
        placement=placement or base.placement,
        device=device,
        precision=pipeline.resolve_precision(options.get("precision", "auto"), device),
        seed=options.get("seed", base.seed),
        init=_init_name(options.get("init", base.init)),
    )
    own = {"device", "precision", "seed", "init", "weights_file"}
    weights = {field.name for field in dataclasses.fields(Weights)}
    fields = {field.name for field in dataclasses.fields(PassOptions)} - {"weights"}
    unknown = sorted(set(options) - own - weights - fields)
    if unknown:
        known = sorted(own | weights | fields)
        raise InputError(f"unknown option {unknown[0]!r}; {suggestion(unknown[0], known)}")
    for position, pass_name in enumerate(pipeline.PASSES):
        if pass_name not in which:
            continue
        current = base.of(pass_name)
        # Grain is the second pass's, as on the command line.
        mine = {
            name: _for_pass(name, value, position)
            for name, value in options.items()
            if name not in own and (name, pass_name) != ("grain", "first_pass")
        }
        changed = dataclasses.replace(
            current.weights, **{name: value for name, value in mine.items() if name in weights}
        )
        rest = {name: value for name, value in mine.items() if name in fields}
        if rest.get("backbone", current.backbone) != current.backbone and rest.get("backbone") != "auto":
            rest = {"style_layers": None, "content_layer": None, **rest}
        if rest.get("backbone") == "auto":
            del rest["backbone"]
        base = base.with_pass(pass_name, dataclasses.replace(current, weights=changed, **rest))
    return base


def _for_pass(name: str, value: Any, position: int) -> Any:
    if isinstance(value, tuple) and name != "style_layers":
        return value[position]
    return value


def _init_name(init: Any) -> str:
    return init if isinstance(init, str) and init in ("noise", "paste", "poisson") else "image"


def _start(options: dict[str, Any]) -> Float | None:
    init = options.get("init")
    if init is None or (isinstance(init, str) and init in ("noise", "paste", "poisson")):
        return None
    return as_float(load_picture(init).pixels)


def _backbones(
    resolved: Options, options: dict[str, Any], which: tuple[PassName, ...], said: list[str]
) -> tuple[Options, dict[PassName, Backbone]]:
    weights = options.get("weights_file")
    return pipeline.load_backbones(
        resolved,
        which,
        asked=options.get("backbone", "auto"),
        weights=None if weights is None else Path(weights),
        download=fetch,
        say=said.append,
    )


def _composite(scene: Scene) -> Pixels:
    return scene.composed(*scene.pasted())


__all__ = ["BlendResult", "Picture", "blend", "evaluate", "first_pass", "poisson_blend", "second_pass"]
