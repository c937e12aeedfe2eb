"""The pictures that a run saved on its way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.options.pass_options import PASSES, PassName
from deep_image_blending.runs.directory import RunDirectory


@dataclass(frozen=True)
class Moment:
    """A saved picture of the run: where, of which pass, after how many evaluations. The paste is of no pass."""

    path: Path
    name: PassName | None
    evaluation: int


def saved_moments(run: RunDirectory) -> list[Moment]:
    """The paste, then every saved frame and the finished picture of each pass. InputError where there are none."""
    paste = run.path / "composite.png"
    if not paste.is_file():
        raise InputError(f"run '{run.path}' has no composite.png to show frames on")
    found = [Moment(paste, None, 0)]
    for name in PASSES:
        frames = [Moment(path, name, int(path.name.split(".")[1])) for path in run.frames(name)]
        found += frames
        finished = run.picture_path(name)
        if frames and finished.is_file():
            found.append(Moment(finished, name, frames[-1].evaluation))
    if len(found) == 1:
        raise InputError(f"run '{run.path}' has no frames: none of its passes has begun")
    return found
