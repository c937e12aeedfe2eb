"""A row of a manifest: one picture to make."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deep_image_blending.batch.columns import Alteration, Label, Method, Whole, of_objects, of_rows
from deep_image_blending.batch.store import is_url
from deep_image_blending.declaration import Option, chosen, options_of
from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.options.pass_options import PASSES

_PICTURES = ("source_file", "mask_file", "target_file")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
FAILED = ".failed"
"""What the record's name of a picture that failed ends in, so that no id may."""
_ALTERED = {*options_of(Alteration), *options_of(Label)}
_OF_TARGET = ("target_file", "ts")


@dataclass(frozen=True)
class Insertion:
    """One object of a row. given: options of `blend run`, by name; paths are absolute, or addresses."""

    given: Mapping[str, Any]
    alteration: Alteration
    label: Label


@dataclass(frozen=True)
class Row:
    """A picture to make: its objects are blended one after the other.

    content: SHA-256 of what the row says, its id left out. made_up: the id is a part of that.
    """

    id: str
    scene: str
    method: Method
    objects: tuple[Insertion, ...]
    content: str
    made_up: bool


def row_of(values: Mapping[str, Any], folder: str) -> Row:
    """A row of what a manifest's line says; None and empty text count as not given.

    folder: what relative paths start from. Raises InputError for an unknown column, a value that is out of range,
    and a missing picture's name.
    """
    said = {name: value for name, value in values.items() if value not in (None, "")}
    content = _content(said)
    listed = said.pop("objects", None)
    shared = _checked(said, of_rows())
    whole = chosen(Whole, shared)
    shared = {name: value for name, value in shared.items() if name not in options_of(Whole)}
    objects = tuple(_insertion({**shared, **own}, folder) for own in _tables(listed))
    name = whole.id if whole.id is not None else content[:20]
    if not _NAME.fullmatch(name) or name.endswith(FAILED):
        raise InputError(f"id {name!r} can't be a file's name; use letters, digits, '.', '_' and '-'")
    return Row(name, whole.scene or name, whole.method, objects, content, made_up=whole.id is None)


def _content(said: Mapping[str, Any]) -> str:
    own = {name: value for name, value in said.items() if name != "id"}
    return hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()


def _tables(listed: Any) -> list[Mapping[str, Any]]:
    """The tables of `objects`; one empty table where the row is its only object's."""
    if listed is None:
        return [{}]
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except ValueError as error:
            raise InputError(f"objects is no JSON ({error}); give a list of tables") from None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, Mapping) for one in listed):
        raise InputError("objects is not a list of tables; give one table for each object")
    tables: list[Mapping[str, Any]] = []
    for number, one in enumerate(listed, 1):
        try:
            own = _checked({key: value for key, value in one.items() if value not in (None, "")}, of_objects())
            for name in _OF_TARGET:
                if name in own:
                    raise InputError(f"{name} is the row's, not an object's; move it out of objects")
        except InputError as error:
            raise InputError(f"object {number}: {error}") from None
        tables.append(own)
    return tables


def _checked(said: Mapping[str, Any], known: Mapping[str, Option]) -> dict[str, Any]:
    """The values, each tried by its declaration. Pairs stay as they were given."""
    for name, value in said.items():
        if name not in known:
            if name in catalogue():
                raise InputError(f"column {name!r} is not a row's to decide: the batch does; leave it out")
            raise InputError(f"unknown column {name!r}; {suggestion(str(name), known)}")
        one = known[name]
        if one.pair:
            one.for_passes(value, len(PASSES))
        else:
            one.coerced(value)
    return dict(said)


def _insertion(values: Mapping[str, Any], folder: str) -> Insertion:
    for name in ("source_file", "target_file"):
        if name not in values:
            raise InputError(f"{name} is missing; give the picture's path")
    given = {name: value for name, value in values.items() if name not in _ALTERED}
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name not in _PICTURES
    }
    _resolvable(tuple(sorted((name, value) for name, value in settings.items() if name not in ("x", "y", "ss"))))
    for name in (*_PICTURES, "weights"):
        if name in given:
            given[name] = _located(str(given[name]), folder)
    return Insertion(given, chosen(Alteration, values), chosen(Label, values))


@functools.lru_cache(4096)
def _resolvable(settings: tuple[tuple[str, Any], ...]) -> None:
    """Raise InputError where options don't go together."""
    from deep_image_blending.options.resolve import resolve_options

    resolve_options(dict(settings), PASSES)


def _located(path: str, folder: str) -> str:
    if is_url(path) or Path(path).is_absolute():
        return path
    if is_url(folder):
        return f"{folder.rstrip('/')}/{path}"
    return str((Path(folder) / path).absolute())
