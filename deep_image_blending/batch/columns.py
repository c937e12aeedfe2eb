"""The columns that a manifest has besides the options of `blend run`, declared as these are."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from deep_image_blending.declaration import Option, check, option, options_of
from deep_image_blending.options.catalogue import catalogue, names_of
from deep_image_blending.options.machine import Machine
from deep_image_blending.options.output import Output

Method = Literal["natural", "poisson", "feather", "paste"]
_GROUP = "Manifest"
_KEPT = ("weights", "precision")


@dataclass(frozen=True)
class Whole:
    """What a row says of its picture as a whole. Raises InputError for a value out of its range."""

    id: str | None = option(None, "Name of the picture; default: made from the row's content.", _GROUP)
    scene: str | None = option(
        None, "Pictures of one scene go to the same part of a split; default: the id.", _GROUP
    )
    method: Method = option(
        "natural",
        "How objects are blended: natural (the two passes), poisson, feather or paste.",
        _GROUP,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Alteration:
    """What is done to an object before it is placed. Raises InputError for a value out of its range."""

    brightness: float = option(1.0, "Factor of its levels.", _GROUP, above=0, high=10)

    def __post_init__(self) -> None:
        check(self)

    @property
    def nothing(self) -> bool:
        """Whether the object stays as it is."""
        return self == Alteration()


@dataclass(frozen=True)
class Label:
    """What annotations say of an object. Raises InputError for a value out of its range."""

    category: str = option("object", "What the object is.", _GROUP)
    annotate: bool = option(
        True, "False: a distractor, which annotations leave out.", _GROUP, kind="True or False"
    )

    def __post_init__(self) -> None:
        check(self)


@functools.cache
def of_objects() -> Mapping[str, Option]:
    """The columns that each object of a row may have: options of `blend run`, and those of this file."""
    left_out = {*names_of(Machine, Output), "demo", "first_pass_file"} - set(_KEPT)
    run = {name: one for name, one in catalogue().items() if name not in left_out}
    # Flags that set one pass alone are no options of their own: a pair says the same.
    return {**run, **options_of(Alteration), **options_of(Label)}


@functools.cache
def of_rows() -> Mapping[str, Option]:
    """The columns of a row but `objects`, a list of tables of those that differ from object to object."""
    return {**options_of(Whole), **of_objects()}
