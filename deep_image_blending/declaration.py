"""A declaration of an option: the one place that says its name, type, help, group, range and choices.

An option is a field of a frozen dataclass, made by `option`. The command line, the Python API, a manifest's
columns, validation, run.json and the table in the docs are made from it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from deep_image_blending.errors import InputError, suggestion

Scope = Literal["both", "first", "second"]
T = TypeVar("T")
Kind = Literal["number", "whole number", "switch", "True or False", "word", "path", "list"]
TRUE, FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")

_METADATA = "option"


@dataclass(frozen=True)
class Option:
    """What is known of an option.

    name: the field's, and with dashes the flag's. kind: what values it takes. low, high: the closed range; above:
    an excluded lower bound. choices: the words that are taken. scope: the passes that it means something to.
    pair: takes one value for each pass, too. also: flags that set one pass alone, first and second. common: shown
    by plain `--help`. decides: another value may give another picture. objectives: the kinds of objective that it
    has an effect on; empty: all. of_target: it decides what the target's statistics are. negative: the flag that
    switches it off.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    group: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    scope: Scope = "both"
    pair: bool = False
    also: tuple[str, str] | None = None
    common: bool = False
    decides: bool = True
    of_target: bool = False
    objectives: tuple[str, ...] = ()
    metavar: str | None = None
    negative: str | None = None
    optional: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def range(self) -> str:
        """The values that are taken, in words; empty where all are."""
        if self.choices:
            return ", ".join(self.choices)
        low = f"{self.low:g}" if self.low is not None else None
        if self.above is not None:
            return f"above {self.above:g}" + (f", up to {self.high:g}" if self.high is not None else "")
        if self.high is not None:
            return f"{low} to {self.high:g}" if low is not None else f"up to {self.high:g}"
        return f"{low} or more" if low is not None else ""

    def checked(self, value: Any) -> Any:
        """The value, if it is one that the option takes. Raises InputError that names flag, value and range."""
        if value is None and self.optional:
            return None
        if self.kind in ("number", "whole number"):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{self.flag} {value!r} is not a {self.kind}")
            if not math.isfinite(value) or not self._within(value):
                allowed = self.range or "a finite number"
                shown = f"{value:g}" if isinstance(value, float) else value
                raise InputError(f"{self.flag} {shown} is out of range; give {allowed}")
        elif self.choices and value not in self.choices:
            raise InputError(f"{self.flag} {value!r} is not there; {suggestion(str(value), self.choices)}")
        return value

    def coerced(self, value: Any) -> Any:
        """A value as the option holds it, from text or from Python. Raises InputError.

        >>> Option("grain", "number", 0.0, "Grain.", "Losses", low=0, high=2).coerced("0.5")
        0.5
        """
        if value is None:
            return None
        convert: dict[Kind, Callable[[Any], Any]] = {
            "number": self._number,
            "whole number": self._whole,
            "switch": self._truth,
            "True or False": self._truth,
            "word": str,
            "path": self._path,
            "list": self._list,
        }
        return self.checked(convert[self.kind](value))

    def for_passes(self, value: Any, count: int) -> list[Any]:
        """The value of each of `count` passes; None: not given. A pair is `a,b` in text, a tuple or list in
        Python.

        >>> Option("num_steps", "whole number", 60, "Evaluations.", "Method", pair=True).for_passes("40,20", 2)
        [40, 20]
        """
        if value is None:
            return [None] * count
        if not self.pair:
            return [self.coerced(value)] * count
        parts: Sequence[Any] = value if isinstance(value, tuple | list) else str(value).split(",")
        if len(parts) == 1:
            return [self.coerced(parts[0])] * count
        if len(parts) != count:
            raise InputError(
                f"{self.flag} {_shown(value)!r} is not a {self.kind}, nor two with a comma, one for each pass"
            )
        return [self.coerced(part) for part in parts]

    def _within(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )

    def _number(self, value: Any) -> float:
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                raise InputError(f"{self.flag} {value!r} is not a number") from None
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise InputError(f"{self.flag} {value!r} is not a number")
        return float(value)

    def _whole(self, value: Any) -> int:
        number = self._number(value)
        if not math.isfinite(number) or number != int(number):
            raise InputError(f"{self.flag} {value!r} is not a whole number")
        # Not by way of a float: a large seed keeps its digits.
        return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else int(number)

    def _truth(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        if text not in (*TRUE, *FALSE):
            raise InputError(f"{self.flag} {value!r}: give True or False")
        return text in TRUE

    def _path(self, value: Any) -> Path:
        # An empty word would be the current folder.
        if not isinstance(value, str | Path) or value == "" or "\0" in str(value):
            raise InputError(f"{self.flag} {value!r} is not a path")
        return Path(value)

    def _list(self, value: Any) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, tuple | list):
            raise InputError(f"{self.flag} {value!r} is not a list of names")
        names = tuple(name for part in parts if (name := str(part).strip()))
        if not names:
            raise InputError(f"{self.flag} {value!r} names nothing; give a name, or leave it out")
        return names


def option(default: Any, help: str, group: str, **more: Any) -> Any:
    """A field of a frozen dataclass that is an option. more: the further parts of `Option`."""
    return dataclasses.field(default=default, metadata={_METADATA: {"help": help, "group": group, **more}})


def options_of(owner: Any) -> Mapping[str, Option]:
    """The options that a dataclass declares, by name, in their order."""
    return _options_of(owner)


@functools.cache
def _options_of(owner: Any) -> Mapping[str, Option]:
    hints = get_type_hints(owner)
    found = {}
    for field in dataclasses.fields(owner):
        if _METADATA not in field.metadata:
            continue
        said = dict(field.metadata[_METADATA])
        kind, choices, optional = _kind_of(hints[field.name])
        said.setdefault("kind", kind)
        said.setdefault("choices", choices)
        found[field.name] = Option(name=field.name, default=field.default, optional=optional, **said)
    return found


def check(owner: Any) -> None:
    """Raise InputError where a dataclass holds a value that its declarations don't take."""
    for name, declared in options_of(type(owner)).items():
        declared.checked(getattr(owner, name))


def chosen(owner: type[T], given: Mapping[str, Any]) -> T:
    """A dataclass of what was given, by its options' names; the others keep their defaults.

    >>> from deep_image_blending.pictures.placement import Placement
    >>> chosen(Placement, {"x": "24", "grow": 2, "quiet": True}).x
    24.0
    """
    known = options_of(owner)
    values = {name: known[name].coerced(value) for name, value in given.items() if name in known}
    return owner(**{name: value for name, value in values.items() if value is not None})


def _kind_of(hint: Any) -> tuple[Kind, tuple[str, ...], bool]:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    optional = type(None) in parts
    (plain,) = (part for part in parts if part is not type(None))
    if get_origin(plain) is Literal:
        return "word", get_args(plain), optional
    if get_origin(plain) is tuple:
        return "list", (), optional
    kinds: dict[Any, Kind] = {
        float: "number",
        int: "whole number",
        bool: "switch",
        str: "word",
        Path: "path",
    }
    return kinds[plain], (), optional


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
