"""From what a user gave to options: one way, whoever asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deep_image_blending.declaration import Option, options_of
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.losses.declaration import declared
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.options.pass_options import PASSES, PassName, PassOptions
from deep_image_blending.options.presets import preset
from deep_image_blending.options.run_options import Options, with_init
from deep_image_blending.options.stored import options_to_dict
from deep_image_blending.pictures.placement import Placement

_PRESETS = {"normalised": "natural", "published": "wacv2020", "painted": "painterly"}
"""A preset with each objective, for messages."""
_EARLIER = {"first_steps": "num_steps", "second_steps": "num_steps"}


def checked_names(given: Mapping[str, Any]) -> None:
    """Raise InputError, with the nearest name, for an option that is none."""
    known = {*catalogue(), *_EARLIER}
    for name in given:
        if name not in known:
            raise InputError(f"unknown option {name!r}; {suggestion(name, known)}")


def resolve_options(
    given: Mapping[str, Any], passes: tuple[PassName, ...], base: Options | None = None
) -> Options:
    """The preset's options (or a stored run's, `base`), with what was given.

    Raises InputError for a value that is out of range or means nothing to these passes. The device is still open.

    >>> options = resolve_options({"style_weight": "0.1,2"}, ("first_pass", "second_pass"))
    >>> options.first.weights["style"], options.second.weights["style"]
    (0.1, 2.0)
    """
    name = given.get("preset")
    options = preset(str(name) if name is not None else "natural") if base is None else base
    if base is not None and name is not None:
        chosen = preset(str(name))
        options = dataclasses.replace(
            base,
            first=chosen.first if "first_pass" in passes else base.first,
            second=chosen.second,
            preset=chosen.preset,
            published_input=chosen.published_input,
        )
    changes: dict[str, Any] = {"placement": placed(given, options.placement)}
    if given.get("init") is not None and isinstance(given["init"], str | Path):
        changes["init"] = with_init(str(given["init"]))
    for key in ("seed", "matte"):
        if given.get(key) is not None:
            changes[key] = catalogue()[key].coerced(given[key])
    options = dataclasses.replace(options, **changes)
    _refuse_other_pass(given, passes)
    _refuse_without_effect(given, {one: options.of(one) for one in passes})
    for index, one in enumerate(passes):
        own = options.of(one)
        changed = _with_given(given, own, one, index, len(passes))
        options = options.with_pass(one, changed)
    for one in passes:
        if not any(options.of(one).weights.values()):
            raise InputError(
                f"the {one.replace('_', ' ')} has nothing to do: every weight is 0; give one of them more"
            )
    return options


def placed(given: Mapping[str, Any], base: Placement | None = None) -> Placement:
    """The placement with what was given."""
    known = options_of(Placement)
    changes = {name: known[name].coerced(given[name]) for name in known if given.get(name) is not None}
    return dataclasses.replace(base or Placement(), **changes)


def refuse_changes(stored: Options, asked: Options, path: Path) -> None:
    """Raise InputError that shows what differs."""
    before, after = flattened(options_to_dict(stored)), flattened(options_to_dict(asked))
    # What decides no picture may change; the preset's name is one of its options' values.
    free = {f"placement.{name}" for name, one in options_of(Placement).items() if not one.decides}
    changed = [key for key in before if key not in free and before[key] != after.get(key)]
    if changed:
        shown = "; ".join(f"{key} was {before[key]!r}, now {after.get(key)!r}" for key in changed)
        raise InputError(f"run '{path}' can't be continued with other options: {shown}")


def refuse_unused(given: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    """Raise InputError for an option that has no meaning in this form of a command."""
    for name in names:
        if given.get(name) is not None and given[name] is not False:
            raise InputError(f"--{name.replace('_', '-')} is not used by {what}; leave it out")


def _with_given(given: Mapping[str, Any], own: PassOptions, name: PassName, index: int, count: int) -> PassOptions:
    """One pass's options with what was given for it."""
    other = "second" if name == "first_pass" else "first"
    changes: dict[str, Any] = {}
    for one in options_of(PassOptions).values():
        value = _given(given, one, name, index, count)
        meant = one.scope != other and (not one.objectives or own.objective in one.objectives)
        if value is not None and meant and (one.name, value) != ("backbone", "auto"):
            changes[one.name] = value
    weights = {}
    for loss in declared().values():
        value = _given(given, loss.option, name, index, count)
        if value is not None and loss.scope != other and own.objective in loss.objectives:
            weights[loss.name] = value
    if weights:
        changes["weights"] = own.weights.changed(**weights)
    if changes.get("backbone", own.backbone) != own.backbone:
        # The preset's layers are those of its own backbone.
        changes = {"style_layers": None, "content_layer": None, **changes}
    return dataclasses.replace(own, **changes)


def _given(given: Mapping[str, Any], one: Option, name: PassName, index: int, count: int) -> Any:
    """The value of an option for one pass; None: not given."""
    if one.also is not None:
        alone = given.get(one.also[0 if name == "first_pass" else 1].removeprefix("--").replace("-", "_"))
        if alone is not None:
            return one.coerced(alone)
    value = given.get(one.name)
    if one.kind == "list" or value is None:
        return one.coerced(value)
    return one.for_passes(value, count)[index]


def _refuse_other_pass(given: Mapping[str, Any], passes: tuple[PassName, ...]) -> None:
    """Raise InputError for an option of a pass alone that is not done."""
    for one in catalogue().values():
        for flag, name in zip(one.also or (), PASSES, strict=False):
            if name not in passes and given.get(flag.removeprefix("--").replace("-", "_")) is not None:
                raise InputError(f"{flag} has no effect: the {name.replace('_', ' ')} is not done; leave it out")


def _refuse_without_effect(given: Mapping[str, Any], own: Mapping[PassName, PassOptions]) -> None:
    """Raise InputError for what none of the passes has a use for: an option, or the weight of a loss."""
    known = [(one, one.scope, one.objectives) for one in options_of(PassOptions).values() if one.objectives]
    known += [(loss.option, loss.scope, loss.objectives) for loss in declared().values()]
    for one, scope, objectives in known:
        if given.get(one.name) in (None, False):
            continue
        # A value that no pass could have is said first.
        if one.kind != "list":
            one.for_passes(given[one.name], len(own))
        objective = [part.objective for name, part in own.items() if scope in ("both", name.partition("_")[0])]
        if not objective or set(objective) & set(objectives):
            continue
        if objective[-1] == "published":
            raise InputError(
                f"{one.flag} has no effect on the published losses; leave it out, or take --preset natural"
            )
        presets = " or ".join(_PRESETS[name] for name in objectives if name in _PRESETS)
        raise InputError(f"{one.flag} goes with --preset {presets} only")


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tables within tables as one, each name with those of the tables around it: `first.weights.style`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update(flattened(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found
