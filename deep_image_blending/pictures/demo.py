"""The bundled demo cases, in the package's `data/`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from deep_image_blending.errors import InputError, suggestion
from deep_image_blending.pictures.placement import Placement

DEFAULT = "shuttle"


@dataclass(frozen=True)
class Demo:
    """A case's files and its placement."""

    name: str
    title: str
    source: Path
    mask: Path
    target: Path
    ss: int | None
    ts: int | None
    x: float
    y: float

    @property
    def placement(self) -> Placement:
        return Placement(ss=self.ss, ts=self.ts, x=self.x, y=self.y)

    def scaled(self, ts: int) -> Demo:
        """The same case on a target whose longer side is `ts`: object and place go with it."""
        with Image.open(self.target) as target:
            factor = ts / (self.ts or max(target.size))
        if self.ss is None:
            with Image.open(self.source) as source:
                longer = max(source.size)
        else:
            longer = self.ss
        ss = max(1, round(longer * factor))
        return dataclasses.replace(self, ss=ss, ts=ts, x=self.x * factor, y=self.y * factor)


def demos() -> list[Demo]:
    """All bundled cases, by name. Raises InputError when the demo data is missing."""
    folder = Path(__file__).parents[1] / "data"
    cases = sorted(folder.glob("*/case.json"))
    if cases:
        return [_read(path) for path in cases]
    raise InputError(f"the demo pictures are missing from '{folder}'; give --source-file and --target-file")


def demo_named(name: str = DEFAULT) -> Demo:
    """A bundled case; without a name, the one that `blend run` does without options. Raises InputError."""
    found = {demo.name: demo for demo in demos()}
    if name not in found:
        raise InputError(f"unknown demo {name!r}; {suggestion(name, found)}")
    return found[name]


def demo_unless_given(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """Without any picture, a bundled demo's, and its name. Raises InputError where one is missing."""
    pictures = [name for name in ("source_file", "mask_file", "target_file") if given.get(name) is not None]
    name = given.get("demo")
    if name is not None and pictures:
        raise InputError(f"give either --demo or --{pictures[0].replace('_', '-')}, not both")
    if pictures:
        require_pictures(given)
        return given, None
    demo = demo_named(name or DEFAULT)
    title = demo.name
    ts = given.get("ts")
    if ts is not None and int(ts) > 0:
        demo = demo.scaled(int(ts))
    settled = {
        "source_file": demo.source,
        "mask_file": demo.mask,
        "target_file": demo.target,
        **{key: getattr(demo, key) for key in ("ss", "ts", "x", "y") if getattr(demo, key) is not None},
    }
    return {**settled, **{key: value for key, value in given.items() if value is not None}}, title


def require_pictures(given: Mapping[str, Any]) -> None:
    """Raise InputError where source or target is missing."""
    for name in ("source_file", "target_file"):
        if given.get(name) is None:
            raise InputError(f"--{name.replace('_', '-')} is missing; give the picture's path")


def _read(path: Path) -> Demo:
    case = json.loads(path.read_text(encoding="utf-8"))

    def picture(stem: str) -> Path:
        return next(iter(sorted(path.parent.glob(f"{stem}.*"))))

    return Demo(
        path.parent.name,
        case["title"],
        picture("source"),
        picture("mask"),
        path.parents[1] / case["target"] if "target" in case else picture("target"),
        case["ss"],
        case["ts"],
        float(case["x"]),
        float(case["y"]),
    )
