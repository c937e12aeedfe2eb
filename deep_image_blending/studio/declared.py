"""The options that a page offers, made from the options' declarations; what it may ask for, and nothing else."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deep_image_blending.declaration import Option
from deep_image_blending.errors import InputError
from deep_image_blending.losses.declaration import declared
from deep_image_blending.options.catalogue import catalogue, names_of
from deep_image_blending.options.presets import names, preset
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures.placement import Placement

PLACED = ("ss", "x", "y", "rotate", "flip")
"""What dragging sets."""
FIRST_SIGHT = ("strength", "num_steps", "style_weight", "content_weight")
"""Shown without unfolding, where the preset's objective knows them."""
# Words without a list of choices may name files or weights to download; the mask is the page's own.
_LEFT_OUT = ("matte", "demo", "preset", "fit_mask", "max_pixels", "canvas", *names_of(Placement))
_GROUPS = ("Method", "Losses")


@functools.cache
def offered() -> Mapping[str, Option]:
    """The options that a page may set besides pictures, preset and place."""
    return {
        name: one
        for name, one in catalogue().items()
        if one.group in _GROUPS
        and one.decides
        and name not in _LEFT_OUT
        and (one.choices or one.kind in ("number", "whole number", "switch"))
    }


def described() -> dict[str, Any]:
    """The offered options and the presets' values, as a page needs them."""
    return {
        "options": [
            {
                "name": name,
                "label": name.removesuffix("_weight").replace("_", " ").replace("num steps", "evaluations"),
                "help": one.help,
                "kind": one.kind,
                "choices": one.choices,
                "low": one.low,
                "high": one.high,
                "scope": one.scope,
                "first_sight": name in FIRST_SIGHT,
            }
            for name, one in offered().items()
        ],
        "presets": {name: _values(preset(name)) for name in names()},
        "starts": {name: preset(name).init for name in names()},
    }


def given_of(asked: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """The options of a blend, by their names, of what a page asks for. Raises InputError."""
    chosen = asked.get("preset", "natural")
    if chosen not in names():
        raise InputError("there is no such preset")
    own = options_of_page(_table(asked, "options"))
    given: dict[str, Any] = {**files, "preset": chosen, **placed(asked), **own}
    # The mask is as it was drawn.
    given["matte"] = "off"
    return given


def placed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the object's place, each checked. Raises InputError."""
    place, known = _table(asked, "place"), catalogue()
    return {name: known[name].coerced(place[name]) for name in PLACED if place.get(name) not in (None, False)}


def options_of_page(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a page may set, each checked. Raises InputError."""
    found = {}
    for name, value in options.items():
        if name not in offered():
            raise InputError(f"the studio does not set {name!r}")
        if value is not None:
            one = offered()[name]
            found[name] = value if one.pair and one.for_passes(value, 2) else one.coerced(value)
    return found


def command_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The `blend run` that makes the same picture, word by word."""
    words = ["blend", "run"]
    for name, value in given.items():
        one = catalogue()[name]
        if isinstance(value, bool):
            flag = one.flag if value else one.negative
            words += [] if flag is None else [flag]
        else:
            words += [one.flag, _digits(value) if isinstance(value, float) else str(value)]
    return tuple(words)


def _digits(value: float) -> str:
    """A number as short as it can be read back from."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def as_text(command: tuple[str, ...] | list[str]) -> str:
    """A command to copy into a shell."""
    return shlex.join(map(str, command))


def _values(options: Options) -> dict[str, Any]:
    """A preset's values of the offered options; those that have no effect in it are left out."""
    objectives = {options.first.objective, options.second.objective}
    weights = {loss.option.name: name for name, loss in declared().items()}
    found: dict[str, Any] = {}
    for name, one in offered().items():
        if one.objectives and not objectives & set(one.objectives):
            continue
        if name in weights:
            passes = [
                own.weights[weights[name]]
                for own, scope in ((options.first, "first"), (options.second, "second"))
                if one.scope in ("both", scope) and own.objective in declared()[weights[name]].objectives
            ]
            if passes:
                found[name] = passes
        elif hasattr(options.second, name):
            owners = {"first": [options.first], "second": [options.second]}.get(one.scope)
            found[name] = [getattr(own, name) for own in owners or [options.first, options.second]]
        elif hasattr(options, name):
            found[name] = [getattr(options, name)]
    return found


def _table(asked: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = asked.get(name, {})
    if not isinstance(table, Mapping):
        raise InputError(f"{name} is no table")
    return table
