"""Options as run.json and presets hold them: plain tables of names and values, and back.

Every earlier format of run.json is read: `upgraded` brings its options to this one's names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from deep_image_blending.declaration import options_of
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.options.pass_options import PassOptions, Weights
from deep_image_blending.options.run_options import Options
from deep_image_blending.pictures.placement import Placement

FORMAT = 2
"""Of run.json. Raised when a name or a meaning changes; `upgraded` then learns the step from the one before."""

_RENAMED = {"steps": "num_steps", "colour": "colour_weight", "zero_content": "reproduce_zero_content"}


def options_to_dict(options: Options) -> dict[str, Any]:
    """Every option by its name, as JSON and TOML can hold it."""
    return {
        **{
            part.name: _plain(getattr(options, part.name))
            for part in dataclasses.fields(options)
            if part.name not in ("first", "second", "placement")
        },
        "placement": _flat(options.placement),
        "first": _of_pass(options.first),
        "second": _of_pass(options.second),
    }


def options_from(stored: Mapping[str, Any], where: str) -> Options:
    """The options that `options_to_dict` gave. where: what they stand in, for the message.

    Raises InputError for an unknown name, with the nearest one, and for a value that is out of range or of another
    type.
    """
    values = _known(stored, Options, where)
    for name in ("first", "second"):
        part = _known(_table(values.get(name, {}), name, where), PassOptions, where)
        weights = _table(part.get("weights", {}), "weights", where)
        values[name] = _made(PassOptions, {**part, "weights": _weights(weights, where)}, where)
    placement = _known(_table(values.get("placement", {}), "placement", where), Placement, where)
    values["placement"] = _made(Placement, placement, where)
    made: Options = _made(Options, values, where)
    return made


def upgraded(stored: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The options of a run.json of an earlier format, by this format's names."""
    values = dict(stored)
    if version < 2:
        for name in ("first", "second"):
            part = {_RENAMED.get(key, key): value for key, value in dict(values.get(name, {})).items()}
            part["canvas"] = part.pop("region", "mask") == "canvas"
            if part.get("line_search") == "wolfe":
                part["line_search"] = "armijo"
            values[name] = part
    return values


def _made(owner: Any, values: Mapping[str, Any], where: str) -> Any:
    """An owner of these values, each of its declared type."""
    declared = options_of(owner)
    try:
        typed = {
            key: declared[key].coerced(value) if key in declared and value is not None else value
            for key, value in values.items()
        }
        for part in dataclasses.fields(owner):
            plain = {"bool": bool, "str": str, "float": (int, float)}.get(str(part.type))
            if part.name in typed and plain is not None and not isinstance(typed[part.name], plain):  # type: ignore[arg-type]
                raise InputError(f"{part.name} {typed[part.name]!r} is of another type")
        return owner(**typed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except TypeError as error:
        raise InputError(f"{where} is not complete ({error})") from error


def _weights(values: Mapping[str, Any], where: str) -> Weights:
    try:
        return Weights(values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _known(values: Mapping[str, Any], owner: Any, where: str) -> dict[str, Any]:
    names = [part.name for part in dataclasses.fields(owner)]
    for key in values:
        if key not in names:
            raise InputError(f"{where} has an unknown option {key!r}; {suggestion(str(key), names)}")
    return dict(values)


def _table(value: Any, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: {name} is {value!r}, not a table")
    return value


def _of_pass(options: PassOptions) -> dict[str, Any]:
    values = {name: value for name, value in _flat(options).items() if name != "weights"}
    return {**values, "weights": dict(options.weights)}


def _flat(owner: Any) -> dict[str, Any]:
    return {part.name: _plain(getattr(owner, part.name)) for part in dataclasses.fields(owner)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
