"""Presets: options by a name, as TOML files, ours in the folder beside and any user's own."""

from __future__ import annotations

import functools
import importlib.resources
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.options.run_options import Options
from deep_image_blending.options.stored import options_from, options_to_dict

_ORDER = ("natural", "painterly", "wacv2020", "resnet")
_RUN_KEYS = ("preset", "device", "precision")


def names() -> tuple[str, ...]:
    """The names of the presets that the package brings."""
    found = {path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml")}
    return (*(name for name in _ORDER if name in found), *sorted(found - set(_ORDER)))


@functools.cache
def preset(name: str) -> Options:
    """The options of a preset by its name, or by the path of a TOML file.

    Raises InputError, with the nearest name, for a name that is none, and for a file with a wrong key or value.

    >>> preset("natural").second.weights["content"]
    4.0
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"preset '{name}' does not exist, or is no file; give the path of a TOML file")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"preset '{name}' can't be read ({error}); give the path of a TOML file") from error
        return _parsed(text, path.stem, f"preset '{name}'")
    if name not in names():
        raise InputError(f"unknown preset {name!r}; {suggestion(name, names())}")
    return _parsed((_folder() / f"{name}.toml").read_text(encoding="utf-8"), name, f"preset {name!r}")


def as_toml(options: Options) -> str:
    """A preset as TOML, whole: every option, to start from. `preset` reads it back to equal options."""
    values = {key: value for key, value in options_to_dict(options).items() if key not in _RUN_KEYS}
    lines = [f"# A preset like {options.preset}: blend run --preset THIS.toml"]
    _tables(values, "", lines)
    return "\n".join(lines) + "\n"


def _parsed(text: str, name: str, where: str) -> Options:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not TOML ({error})") from error
    base = values.pop("like", None)
    if base is not None:
        values = _merged(options_to_dict(preset(str(base))), values)
    wrong = sorted(key for key in _RUN_KEYS if key in values and base is None)
    if wrong:
        raise InputError(f"{where} sets {wrong[0]!r}, which is not a preset's; leave it out")
    return options_from({**values, "preset": name}, where)


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `more`, table by table."""
    found = dict(base)
    for key, value in more.items():
        known = found.get(key)
        found[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return found


def _tables(values: Mapping[str, Any], prefix: str, lines: list[str]) -> None:
    for key, value in values.items():
        if not isinstance(value, dict) and value is not None:
            # TOML's strings, numbers, booleans and lists are written as JSON's.
            lines.append(f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    for key, value in values.items():
        if isinstance(value, dict):
            lines.extend(("", f"[{prefix}{key}]"))
            _tables(value, f"{prefix}{key}.", lines)


def _folder() -> Any:
    return importlib.resources.files("deep_image_blending.options") / "presets"
