"""The ways to blend that a study compares: one thing is different in each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from deep_image_blending.losses.declaration import declared
from deep_image_blending.options.pass_options import PASSES, PassOptions
from deep_image_blending.options.run_options import Options

FULL = "all losses"


@dataclass(frozen=True)
class Variant:
    """One way to blend, `folder` its subdirectory's name."""

    label: str
    options: Options

    @property
    def folder(self) -> str:
        return self.label.replace(" ", "-")


def variants(options: Options) -> list[Variant]:
    """All losses; then without each that a pass has; then from the other start: noise, or Poisson's solution.

    A loss is left out of both passes. `colour` is the part of content that holds the object's colour. What would
    leave a pass without any loss is not among them.
    """
    found = [Variant(FULL, options)]
    for term in (*declared(), "colour"):
        changed = dataclasses.replace(
            options, first=_without(options.first, term), second=_without(options.second, term)
        )
        if changed != options and all(_has_losses(changed.of(name)) for name in PASSES):
            label = {"tv": "total variation"}.get(term, term)
            found.append(Variant(f"without {label}", changed))
    other = "poisson" if options.init == "noise" else "noise"
    label = {"poisson": "from Poisson", "noise": "from noise"}[other]
    return [*found, Variant(label, dataclasses.replace(options, init=other))]


def _without(options: PassOptions, term: str) -> PassOptions:
    if term == "colour":
        return dataclasses.replace(options, colour_weight=0.0) if options.weights["content"] else options
    return dataclasses.replace(options, weights=options.weights.changed(**{term: 0.0}))


def _has_losses(options: PassOptions) -> bool:
    return any(options.weights.values())
