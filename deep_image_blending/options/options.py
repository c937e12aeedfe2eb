"""Every option of a run, resolved, as frozen dataclasses; presets; to and from `run.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.pictures.placement import Placement

PassName = Literal["first_pass", "second_pass"]
PASSES: tuple[PassName, ...] = ("first_pass", "second_pass")
Precision = Literal["float32", "bf16"]
TERMS = ("gradient", "style", "content", "histogram", "tv")


@dataclass(frozen=True)
class Weights:
    """Weight of each loss term; 0 leaves it out."""

    gradient: float = 0.0
    style: float = 0.0
    content: float = 0.0
    histogram: float = 0.0
    tv: float = 0.0

    def __post_init__(self) -> None:
        for name in TERMS:
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                option = {"gradient": "grad", "histogram": "hist"}.get(name, name)
                raise InputError(f"--{option}-weight {value} is not a weight; give a number that is 0 or more")


@dataclass(frozen=True)
class PassOptions:
    """What one pass optimises, and how.

    objective: `normalised` losses (terms are relative, so weights mean the same at every size and for every
        backbone), or `published`, the WACV 2020 program's.
    steps: evaluations of the objective. style_layers, content_layer: None for the backbone's own.
    smoothing: activation smoothing of style features (SWAG). statistics: what style compares.
    style_from: which part of the target gives the style. colour: weight, inside the content term, of the colour
        of patches and of every pixel's hue and saturation. membrane: how far the first pass lets the target's
        colour into the object: all through it, as Poisson cloning does, or up to its edges; `auto` chooses by what
        surrounds the object in both pictures. region: optimise the mask's pixels or the whole canvas.
    palette: share of its own palette that the target's style keeps; the rest is the object's, so that 0 draws the
        target's texture in the object's colours. grain: how much of the target's fine texture lies on the object
        when a level of the pass starts, where the mask alone is optimised.
    levels: resolutions, coarse to fine; 0 lets the object's size decide. tolerance: relative decrease of the
        objective over ten evaluations below which a level ends early; 0 never does. cutoff: of the Sobolev
        preconditioner, in units of the Laplacian's eigenvalues (0..8); 0 leaves it out.
    """

    steps: int
    weights: Weights
    backbone: str
    objective: Literal["normalised", "published"] = "normalised"
    style_layers: tuple[str, ...] | None = None
    content_layer: str | None = None
    smoothing: bool = False
    statistics: Literal["gram", "covariance"] = "gram"
    style_from: Literal["whole", "surroundings", "similar"] = "whole"
    colour: float = 0.0
    palette: float = 1.0
    grain: float = 0.0
    region: Literal["mask", "canvas"] = "mask"
    membrane: Literal["auto", "full", "edges"] = "full"
    line_search: Literal["wolfe", "fixed"] = "wolfe"
    history: int = 20
    levels: int = 0
    tolerance: float = 0.0
    cutoff: float = 0.0
    zero_content: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"--num-steps {self.steps} leaves nothing to do; give 1 or more")
        if not 1 <= self.history <= 1000:
            raise InputError(f"--history {self.history} is out of range; give 1 to 1000")
        if self.objective == "published" and (self.palette < 1 or self.grain > 0):
            raise InputError("the published losses know neither palette nor grain; leave them out")
        if not 0 <= self.palette <= 1:
            raise InputError(
                f"--palette {self.palette} is out of range; give 0 (the object's) to 1 (the target's)"
            )
        if not 0 <= self.grain <= 2:
            raise InputError(f"--grain {self.grain} is out of range; give 0 (none) to 2 (twice the target's)")

    @property
    def evaluations(self) -> int:
        """Evaluations that the pass makes.

        The published program steps 20 evaluations at a time until their number exceeds `steps`.
        """
        return 20 * (self.steps // 20 + 1) if self.objective == "published" else self.steps


@dataclass(frozen=True)
class Options:
    """All options of a run. `init` is noise, paste, poisson or the path of an image."""

    preset: str
    first: PassOptions
    second: PassOptions
    placement: Placement = field(default_factory=Placement)
    init: str = "poisson"
    seed: int = 0
    device: str = "cpu"
    precision: Precision = "float32"
    published_input: bool = False

    def of(self, name: PassName) -> PassOptions:
        """The options of one pass."""
        return self.first if name == "first_pass" else self.second

    def with_pass(self, name: PassName, options: PassOptions) -> Options:
        """The same with other options for one pass."""
        if name == "first_pass":
            return dataclasses.replace(self, first=options)
        return dataclasses.replace(self, second=options)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Options:
        """The options that `to_json` gave. Raises InputError where they are not of this version's form."""
        try:
            values = dict(stored)
            for name in ("first", "second"):
                values[name] = _pass_from_json(values[name])
            values["placement"] = Placement(**values["placement"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError(f"run.json has options of another version ({error}); start a new run") from error

    def fingerprint(self, pass_name: PassName) -> str:
        """A hash of everything that decides a pass's result, except how long it may go on."""
        relevant = self.to_json()
        other = "second" if pass_name == "first_pass" else "first"
        del relevant[other]
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def _pass_from_json(stored: Mapping[str, Any]) -> PassOptions:
    values = dict(stored)
    values["weights"] = Weights(**values["weights"])
    if values.get("style_layers") is not None:
        values["style_layers"] = tuple(values["style_layers"])
    return PassOptions(**values)


VGG_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")

_NATURAL = Options(
    preset="natural",
    first=PassOptions(
        steps=60,
        weights=Weights(gradient=1.0, style=0.01, content=1.0),
        backbone="embedded",
        smoothing=True,
        style_from="similar",
        membrane="auto",
        cutoff=2.0,
        tolerance=2e-3,
    ),
    second=PassOptions(
        steps=60,
        weights=Weights(style=0.5, content=4.0, tv=0.02),
        backbone="embedded",
        smoothing=True,
        style_from="similar",
        colour=6.0,
        cutoff=0.3,
        tolerance=2e-3,
    ),
)

PRESETS: Mapping[str, Options] = {
    "natural": _NATURAL,
    "painterly": dataclasses.replace(
        _NATURAL,
        preset="painterly",
        first=dataclasses.replace(
            _NATURAL.first, weights=Weights(gradient=1.0, style=0.02, content=1.0), palette=0.3
        ),
        second=dataclasses.replace(
            _NATURAL.second,
            weights=Weights(style=2.5, content=0.5, tv=0.2),
            palette=0.3,
            grain=0.7,
            colour=30.0,
        ),
    ),
    "wacv2020": Options(
        preset="wacv2020",
        first=PassOptions(
            steps=1000,
            weights=Weights(gradient=1e4, style=1e4, content=1.0, tv=1e-6),
            backbone="vgg16",
            objective="published",
            style_layers=VGG_STYLE,
            content_layer="relu2_2",
            region="canvas",
            line_search="fixed",
            history=100,
            levels=1,
        ),
        second=PassOptions(
            steps=1000,
            weights=Weights(style=1e7, content=1.0),
            backbone="vgg16",
            objective="published",
            style_layers=VGG_STYLE,
            content_layer="relu2_2",
            region="canvas",
            line_search="fixed",
            history=100,
            levels=1,
        ),
        placement=Placement(ss=300, ts=512, square=True),
        init="noise",
        published_input=True,
    ),
    "resnet": Options(
        preset="resnet",
        first=PassOptions(
            steps=100,
            weights=Weights(gradient=1.0, style=0.02, content=0.5),
            backbone="resnet50",
            style_layers=("stem", "layer1", "layer2", "layer3", "layer4"),
            content_layer="layer1",
        ),
        second=PassOptions(
            steps=100,
            weights=Weights(style=1.0, content=1.0),
            backbone="vgg16",
            style_layers=("relu1_2", "relu2_2", "relu3_3"),
            content_layer="relu2_2",
        ),
    ),
}


def preset(name: str) -> Options:
    """The options of a preset. Raises InputError, with a suggestion, for a name that is none."""
    if name in PRESETS:
        return PRESETS[name]
    raise InputError(f"unknown preset {name!r}; {suggestion(name, PRESETS)}")
