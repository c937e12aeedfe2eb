"""The runs of the studio's folder: what is shown of them, and how a page opens one again."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.losses.declaration import declared
from deep_image_blending.options.presets import names, preset
from deep_image_blending.options.run_options import Options
from deep_image_blending.options.stored import options_from
from deep_image_blending.studio.declared import PLACED, as_text, offered
from deep_image_blending.studio.pictures import PictureStore

FILES = {
    "paste": "composite.png",
    "mask": "mask.png",
    "first": "first_pass.png",
    "second": "second_pass.png",
    "video": "blend.mp4",
    "report": "report.html",
}
THUMBNAIL = 240
MOST = 200


def run_folder(runs: Path, name: str) -> Path:
    """The folder of a run by its name. Raises InputError for a name that is none."""
    if name not in {path.parent.name for path in runs.glob("*/run.json")}:
        raise InputError("this run is not in the studio's folder")
    return runs / name


def listed(runs: Path) -> list[dict[str, Any]]:
    """The newest runs first: name, seconds since 1970, preset, whether both passes are done."""
    manifests = sorted(runs.glob("*/run.json"), key=lambda path: -path.stat().st_mtime)[:MOST]
    found = []
    for path in manifests:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            passes = stored.get("passes", {})
            found.append(
                {
                    "name": path.parent.name,
                    "at": path.stat().st_mtime,
                    "preset": str(stored.get("options", {}).get("preset", "")),
                    "done": passes.get("second_pass", {}).get("status") == "done",
                }
            )
        except (OSError, ValueError, AttributeError):
            continue
    return found


def thumbnail(folder: Path) -> bytes:
    """A small JPEG of the furthest picture of a run. Raises InputError where there is none."""
    for which in ("second", "first", "paste"):
        path = folder / FILES[which]
        if path.is_file():
            with warnings.catch_warnings(), Image.open(path) as image:
                warnings.simplefilter("ignore")
                small = image.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
            stream = io.BytesIO()
            small.save(stream, "JPEG", quality=85)
            return stream.getvalue()
    raise InputError("this run has no picture yet")


def settings(folder: Path, store: PictureStore) -> dict[str, Any]:
    """What a page needs to go on with a run: ids of its pictures, its options, its place. Raises InputError."""
    manifest = folder / "run.json"
    try:
        stored = json.loads(manifest.read_text(encoding="utf-8"))
        options = options_from(stored["options"], f"'{manifest}'")
        inputs: Mapping[str, Any] = stored["inputs"]
        ids = {
            name: store.id_of(Path(inputs[name]["path"]))
            for name in ("source", "target", "mask")
            if name in inputs
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"run '{folder.name}' can't be opened ({error})") from error
    done = {which: (folder / name).is_file() for which, name in FILES.items()}
    return {
        "run": folder.name,
        "pictures": ids,
        "preset": options.preset,
        "place": {name: getattr(options.placement, name) for name in PLACED},
        "options": _changed(options),
        "region": stored.get("placement", {}).get("region"),
        "command": as_text(stored.get("command", [])),
        "decisions": stored.get("decisions", []),
        "metrics": stored.get("metrics", {}),
        "done": done,
    }


def made(folder: Path, which: str) -> Path:
    """A file of a run by its word; a film and a report are made where they are not there. Raises InputError."""
    if which not in FILES:
        raise InputError("a run has no such file")
    path = folder / FILES[which]
    if which == "video" and not path.is_file():
        from deep_image_blending.runs.directory import RunDirectory
        from deep_image_blending.views.video import make_video

        with RunDirectory.open(folder) as run:
            path, _ = make_video(run)
            run.remember(path)
    if which == "report" and not path.is_file():
        from deep_image_blending.runs.directory import RunDirectory
        from deep_image_blending.views.report import write_report

        with RunDirectory.open(folder) as run:
            write_report([run], path)
            run.remember(path)
    if not path.is_file():
        raise InputError("this picture of the run is not there yet")
    return path


def newest_frame(folder: Path) -> str | None:
    """The name of the newest moment of a run that is under way."""
    for name in ("second_pass", "first_pass"):
        found = max((path.name for path in (folder / "frames").glob(f"{name}.*.jpg")), default=None)
        if found is not None:
            return found
    return None


def _changed(options: Options) -> dict[str, Any]:
    """The offered options that differ from the preset's, as a page gives them: a pair where the passes differ."""
    usual = preset(options.preset) if options.preset in names() else preset("natural")
    weights = {loss.option.name: name for name, loss in declared().items()}

    def values(of: Options, name: str) -> list[Any]:
        owners = {"first": [of.first], "second": [of.second]}.get(offered()[name].scope, [of.first, of.second])
        if name in weights:
            return [own.weights[weights[name]] for own in owners]
        return [getattr(own, name) for own in owners] if hasattr(of.first, name) else [getattr(of, name)]

    found: dict[str, Any] = {}
    for name in offered():
        now, before = values(options, name), values(usual, name)
        # What the scene decides, it decides again.
        if now != before and "auto" not in before:
            found[name] = now[0] if len(set(now)) == 1 else ",".join(f"{one:g}" for one in now)
    return found
