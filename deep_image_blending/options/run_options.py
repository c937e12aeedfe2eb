"""Every option that decides a run's pictures, resolved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deep_image_blending.declaration import check, option, options_of
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.options.groups import METHOD, PICTURES
from deep_image_blending.options.machine import Precision
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.pictures.placement import Placement

STARTS = ("noise", "paste", "poisson")


@dataclass(frozen=True)
class Options:
    """All options that decide a run's pictures. Raises InputError for a value out of its range.

    published_input: pixels enter the network as in the published program.
    """

    first: PassOptions
    second: PassOptions
    placement: Placement = field(default_factory=Placement)
    preset: str = option(
        "natural",
        "natural, painterly, wacv2020, resnet, or the path of your own (.toml); see `blend presets`.",
        METHOD,
        metavar="NAME|PATH",
        common=True,
        decides=False,
    )
    matte: Literal["off", "auto", "hard", "soft"] = option(
        "off",
        "Tighten a loosely drawn mask to the object: auto where it is sure, hard, soft (soft edges), off.",
        PICTURES,
        common=True,
    )
    init: str = option(
        "poisson",
        "What the first pass starts from: noise, paste, poisson, or an image.",
        METHOD,
        scope="first",
        metavar="START|PATH",
    )
    seed: int = option(0, "Seed of the noise start.", METHOD, low=0, high=2**63 - 1, scope="first")
    device: str = "cpu"
    precision: Precision = "float32"
    published_input: bool = False

    def __post_init__(self) -> None:
        check(self)
        if self.first.objective == "painted":
            raise InputError("the objective painted is a second pass's; give the first pass another")

    def of(self, name: PassName) -> PassOptions:
        """The options of one pass."""
        return self.first if name == "first_pass" else self.second

    def with_pass(self, name: PassName, options: PassOptions) -> Options:
        """The same with other options for one pass."""
        if name == "first_pass":
            return dataclasses.replace(self, first=options)
        return dataclasses.replace(self, second=options)

    def fingerprint(self, name: PassName) -> str:
        """A hash of everything that decides a pass's result: what is declared to, for that pass."""
        own = _deciding(self.of(name), name)
        whole = {
            **_deciding(self, name),
            **{key: getattr(self, key) for key in ("device", "precision", "published_input")},
            "placement": {**_deciding(self.placement, name), "square": self.placement.square},
            "pass": {**own, "weights": dict(self.of(name).weights)},
        }
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def with_init(init: str) -> str:
    """A start that is there: one of the words, or the absolute path of an image. Raises InputError."""
    if init in STARTS:
        return init
    if not Path(init).exists():
        raise InputError(
            f"--init {init!r} is neither a start nor a picture that is there; {suggestion(init, STARTS)}"
        )
    return str(Path(init).absolute())


def _deciding(owner: Any, name: PassName) -> Mapping[str, Any]:
    """The values of an owner's fields that decide a pass's result: the declared ones, and those without a flag."""
    other = "second" if name == "first_pass" else "first"
    declared = options_of(type(owner))
    left_out = {key for key, one in declared.items() if not one.decides or one.scope == other}
    undeclared = {"objective", "line_search", "cutoff"} & {part.name for part in dataclasses.fields(owner)}
    return {key: getattr(owner, key) for key in (*declared, *sorted(undeclared)) if key not in left_out}
