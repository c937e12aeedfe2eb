"""run.json: what it must hold to be read, and how an earlier format becomes this one.

The policy of its format number: a name or a meaning that changes raises it by one, and `manifest_of` learns the
step; entries that are merely added don't. Every format that ever was is read, and a test opens a run of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deep_image_blending.options.stored import FORMAT, options_from, upgraded

_TABLES = (
    *("inputs", "placement", "matte", "options", "versions"),
    *("device", "backbone", "passes", "metrics", "timings"),
)
_LISTS = ("decisions", "command", "wrote")


def manifest_of(stored: Any) -> dict[str, Any]:
    """A manifest of this format. Raises ValueError that says what is wrong, InputError for options out of
    range."""
    if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
        raise ValueError(f"format {FORMAT} expected")
    version = stored["format"]
    if not 1 <= version <= FORMAT:
        raise ValueError(f"format {version} is of a later version; this one reads up to {FORMAT}")
    found = dict(stored)
    for name in _TABLES:
        if name in found and not isinstance(found[name], dict):
            raise ValueError(f"{name} is not a table")
    for name in _LISTS:
        if name in found and not _texts(found[name]):
            raise ValueError(f"{name} is not a list of words")
    passes = found.get("passes", {})
    for name in ("passes", "backbone", "metrics", "inputs"):
        if not all(isinstance(entry, dict) for entry in found.get(name, {}).values()):
            raise ValueError(f"an entry of {name} is not a table")
    for name, entry in found.get("inputs", {}).items():
        if not (isinstance(entry.get("path"), str) and isinstance(entry.get("sha256"), str)):
            raise ValueError(f"inputs: {name} has no path and sha256")
    for name, entry in found.get("backbone", {}).items():
        if not all(isinstance(entry.get(key), str) for key in ("name", "source", "sha256")):
            raise ValueError(f"backbone: {name} has no name, source and sha256")
    for name, measures in found.get("metrics", {}).items():
        if not all(isinstance(value, int | float) for value in measures.values()):
            raise ValueError(f"metrics: {name} is not of numbers")
    for name, entry in passes.items():
        _check_pass(name, entry)
    if not all(isinstance(seconds, int | float) for seconds in found.get("timings", {}).values()):
        raise ValueError("timings is not of numbers")
    _check_placement(found.get("placement", {}))
    if found.get("scene", "placed") not in ("placed", "first pass"):
        raise ValueError("scene is of an unknown kind")
    if "options" in found:
        found["options"] = upgraded(found["options"], version)
        options_from(found["options"], "run.json")
    if version < 2:
        given = _table(passes.get("first_pass")).get("ended") == "given"
        found["scene"] = "first pass" if given else "placed"
    found["format"] = FORMAT
    return found


def _check_placement(placed: Mapping[str, Any]) -> None:
    for key, count in {"object": 2, "canvas": 2, "region": 4}.items():
        if key in placed and not (_wholes(placed[key]) and len(placed[key]) == count):
            raise ValueError(f"placement: {key} is not {count} whole numbers")
    if "region" in placed and "canvas" in placed:
        (top, left, bottom, right), (rows, columns) = placed["region"], placed["canvas"]
        if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
            raise ValueError("placement: the region is not on the canvas")


def _check_pass(name: str, entry: Mapping[str, Any]) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "status": str,
        "memory": str,
        "reason": str,
        "ended": str,
        "evaluations": int,
        "steps": int,
        "seconds": (int, float),
        "first": dict,
        "last": dict,
    }
    for key, kind in kinds.items():
        if key in entry and not isinstance(entry[key], kind):
            raise ValueError(f"passes: {name}: {key} is of another type")
    for key in ("first", "last"):
        if not all(isinstance(value, int | float) for value in entry.get(key, {}).values()):
            raise ValueError(f"passes: {name}: {key} is not of numbers")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int for one in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
