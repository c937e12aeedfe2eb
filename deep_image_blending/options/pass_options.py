"""What one pass optimises, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deep_image_blending.declaration import check, option
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.losses.declaration import declared
from deep_image_blending.networks.backbones import require_backbone
from deep_image_blending.options.groups import LOSSES, METHOD

PassName = Literal["first_pass", "second_pass"]
PaintingName = Literal["strokes", "broad", "dots", "soft", "poster", "drawing"]
PASSES: tuple[PassName, ...] = ("first_pass", "second_pass")

_RELATIVE = ("normalised",)
_PAINTED = ("painted",)
_COARSE_TO_FINE = ("normalised", "painted")
OBJECTIVES = ("normalised", "published", "painted")


class Weights(Mapping[str, float]):
    """The weight of each loss by its name; 0, which leaves it out, for those that are not named.

    Raises InputError for a loss that is none, and for a weight that is negative or not finite.

    >>> Weights(style=0.5)["style"], Weights(style=0.5)["content"]
    (0.5, 0.0)
    """

    def __init__(self, given: Mapping[str, float] | None = None, **more: float) -> None:
        losses = declared()
        values = {**(given or {}), **more}
        for name in values:
            if name not in losses:
                raise InputError(f"there is no loss {name!r}; {suggestion(name, losses)}")
        self._values: dict[str, float] = {
            name: loss.option.coerced(values.get(name, 0.0)) for name, loss in losses.items()
        }

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Weights({ {name: value for name, value in self.items() if value} })"

    def changed(self, **more: float) -> Weights:
        """The same with other weights for some losses."""
        return Weights({**self._values, **more})


@dataclass(frozen=True)
class PassOptions:
    """What one pass optimises, and how. Raises InputError for a value out of its range.

    objective: `normalised` losses (terms are relative, so weights mean the same at every size and for every
    backbone), `published`, the WACV 2020 program's, or `painted`, a second pass's alone. cutoff: of the Sobolev
    preconditioner, in units of the Laplacian's eigenvalues (0..8); 0 leaves it out.
    """

    weights: Weights = field(default_factory=Weights)
    backbone: str = option(
        "embedded",
        "Network that sees the pictures: auto, embedded, random, or one of torchvision's, such as vgg19.",
        METHOD,
        of_target=True,
        metavar="NAME",
    )
    num_steps: int = option(
        60,
        "Evaluations in each pass: more take longer and change more.",
        METHOD,
        low=1,
        pair=True,
        also=("--first-steps", "--second-steps"),
        common=True,
    )
    levels: int = option(
        0,
        "Resolutions, coarse to fine; 0: by the object's size.",
        METHOD,
        low=0,
        high=8,
        objectives=_COARSE_TO_FINE,
    )
    tolerance: float = option(
        0.0,
        "A resolution ends early when ten evaluations improve it by less than this share; 0: never.",
        METHOD,
        low=0,
    )
    history: int = option(
        20, "Earlier steps that the solver (L-BFGS) learns from: more take more memory.", METHOD, low=1, high=1000
    )
    canvas: bool = option(
        False,
        "The second pass repaints the whole canvas, as published, and not the object alone.",
        METHOD,
        scope="second",
        objectives=("normalised", "published"),
        negative="--no-canvas",
    )
    smoothing: bool = option(
        False,
        "Calm ResNet's features before style is taken from them (SWAG).",
        METHOD,
        of_target=True,
        objectives=_RELATIVE,
        negative="--no-smoothing",
    )
    colour_weight: float = option(
        0.0,
        "Weight, inside content, of keeping the object's own colour.",
        LOSSES,
        low=0,
        pair=True,
        objectives=_RELATIVE,
        common=True,
    )
    style_layers: tuple[str, ...] | None = option(
        None, "Layers for style, with commas between.", LOSSES, of_target=True, metavar="NAMES"
    )
    content_layer: str | None = option(None, "Layer for content.", LOSSES, metavar="NAME")
    style_from: Literal["whole", "surroundings", "similar"] = option(
        "whole",
        "Style of the whole target, of the object's surroundings, or of the parts that resemble the object.",
        LOSSES,
        of_target=True,
        objectives=_RELATIVE,
    )
    palette: float = option(
        1.0,
        "Colours of the style: the object's own (0) to the target's (1).",
        LOSSES,
        of_target=True,
        low=0,
        high=1,
        objectives=_RELATIVE,
    )
    grain: float = option(
        0.0,
        "Share of the target's grain that lies on the object when the second pass begins.",
        LOSSES,
        low=0,
        high=2,
        scope="second",
        objectives=_RELATIVE,
    )
    membrane: Literal["auto", "full", "edges", "none"] = option(
        "full",
        "How far the target's colour flows into the object: through it (full), up to its edges, none, or auto.",
        LOSSES,
        scope="first",
        objectives=_RELATIVE,
    )
    statistics: Literal["gram", "covariance"] = option(
        "gram",
        "What style compares: gram matrices, or covariance, which is blind to the mean colour.",
        LOSSES,
        objectives=_RELATIVE,
    )
    strength: float = option(
        0.8,
        "How far the object is painted in the painting's colours: its own palette (0) to the painting's (1).",
        METHOD,
        low=0,
        high=1,
        scope="second",
        objectives=_PAINTED,
        common=True,
    )
    painting: Literal["auto", "strokes", "broad", "dots", "soft", "poster", "drawing"] = option(
        "auto",
        "What is painted into: directed or broad strokes, dots, soft touches, a flat poster, a drawing; or auto.",
        METHOD,
        scope="second",
        objectives=_PAINTED,
    )
    reproduce_zero_content: bool = option(
        False,
        "Compare the second pass's content with itself, as the published code does.",
        LOSSES,
        scope="second",
        objectives=("published",),
    )
    objective: str = "normalised"
    line_search: str = "armijo"
    cutoff: float = 0.0

    def __post_init__(self) -> None:
        check(self)
        require_backbone(self.backbone)
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("line_search", self.line_search, ("armijo", "fixed"))
        if not 0 <= self.cutoff <= 8:
            raise InputError(f"cutoff {self.cutoff} is out of range; give 0 to 8")
        for name, loss in declared().items():
            if self.weights[name] and self.objective not in loss.objectives:
                raise InputError(
                    f"there is no loss {name!r} in the objective {self.objective}; leave its weight out"
                )


def _one_of(what: str, given: Any, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise InputError(f"{what} {given!r} is not there; {suggestion(str(given), choices)}")
