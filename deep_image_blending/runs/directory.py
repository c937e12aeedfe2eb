"""The run directory: manifest, pictures, loss tables, frames and checkpoints."""

from __future__ import annotations

import errno
import io
import json
import os
import platform
import re
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import BaseFileLock
from PIL import Image

from deep_image_blending.errors import InputError, RunError, reason_of
from deep_image_blending.files import atomic_write, is_being_written
from deep_image_blending.options.pass_options import PassName
from deep_image_blending.options.stored import FORMAT
from deep_image_blending.pictures import Float, Picture, Pixels, encode_picture
from deep_image_blending.pictures.bit_depth import blocks
from deep_image_blending.runs import checkpoints, loss_table
from deep_image_blending.runs.lock import lock_of
from deep_image_blending.runs.manifest import manifest_of

MANIFEST = "run.json"
_FOLDERS = ("checkpoints", "frames")
_PASS = "(first|second)_pass"
_RESULTS = re.compile(rf"(composite|mask)\.png|{_PASS}(\.\d+)?\.(png|losses\.csv)|{_PASS}\.\d{{6,}}\.(ckpt|jpg)")
_OURS = re.compile(rf"{_RESULTS.pattern}|blend\.(mp4|gif|webp)|report\.html")
_ALWAYS = re.compile(rf"(composite|mask)\.png|{_PASS}\.(png|losses\.csv)")
"""What every run writes."""
_UNFINISHED = re.compile(rf"\.(run\.json|{_OURS.pattern})\.\d+-[0-9a-f]+\.tmp")
"""What a command that was killed leaves of a file that it was writing."""


class RunDirectory:
    """A folder that holds a run. One process at a time may have it open for writing.

    Raises InputError when another process holds it, or when it is not a run.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], lock: BaseFileLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock

    @classmethod
    def create(cls, path: Path, *, force: bool = False) -> RunDirectory:
        """Make or take over a folder for a new run, which it holds once its manifest is written.

        Another run's files go; a folder that holds a run is refused unless `force`. A folder whose process was
        killed before the manifest was whole holds none. Raises InputError.
        """
        require_free(path, force=force)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"output directory '{path}' can't be made: {error.strerror}; give another") from error
        lock = lock_of(path)
        try:
            # Another process may have begun a run in the meantime.
            require_free(path, force=force)
        except InputError:
            lock.release()
            raise
        run = cls(path, {"format": FORMAT}, lock)
        try:
            run._clear()
        except RunError:
            lock.release()
            raise
        return run

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> RunDirectory:
        """An existing run. Raises InputError when there is none, or its manifest can't be read."""
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise InputError(f"'{path}' is not a run directory: it has no {MANIFEST}; give the folder of a run")
        if write:
            _require_own_folders(path)
        lock = lock_of(path) if write else None
        try:
            stored = _read(path)
        except InputError:
            if lock is not None:
                lock.release()
            raise
        run = cls(path, stored, lock)
        if write:
            # On a disk that refuses it, what was left over stays.
            with suppress(OSError, RunError):
                run._sweep()
        return run

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, **entries: Any) -> None:
        """Set entries of the manifest and write it."""
        self.manifest.update(entries)
        self.write(self.path / MANIFEST, (json.dumps(self.manifest, indent=2) + "\n").encode())

    def update_pass(self, name: PassName, more: Mapping[str, Any] | None = None, **entries: Any) -> None:
        """Set entries of one pass's status (None: remove), and `more` of the manifest's own, in one write."""
        passes = dict(self.manifest.get("passes", {}))
        passes[name] = {k: v for k, v in {**passes.get(name, {}), **entries}.items() if v is not None}
        self.update(**(more or {}), passes=passes)

    def picture_path(self, name: PassName) -> Path:
        """Where the pass's picture lies."""
        return self.path / f"{name}.png"

    def losses_path(self, name: PassName) -> Path:
        """Where the pass's loss table lies."""
        return self.path / f"{name}.losses.csv"

    def write_losses(self, name: PassName, rows: Sequence[Mapping[str, float]]) -> None:
        """One row an evaluation; see `loss_table`."""
        self.write(self.losses_path(name), loss_table.as_csv(rows))

    def read_losses(self, name: PassName) -> list[dict[str, float]]:
        """The rows that `write_losses` wrote; empty where there is no table. Raises InputError for a damaged
        one."""
        return loss_table.read(self.losses_path(name))

    def keep_previous(self, name: PassName) -> Path | None:
        """Move an earlier result of a pass to the next free number, and forget its frames and checkpoints.

        The manifest says first that the pass is to be made again: killed at any moment, the run is unfinished,
        and no result is lost.
        """
        path, losses = self.picture_path(name), self.losses_path(name)
        self.update_pass(name, status="begun")
        with _reporting(path):
            self.drop_checkpoints(name)
            for frame in self.frames(name):
                frame.unlink()
            if not path.exists():
                return None
            number = 1
            while (kept := path.with_name(f"{name}.{number}.png")).exists():
                number += 1
            # The picture goes last: while it is here, the number is still to be taken.
            if losses.exists():
                losses.replace(losses.with_name(f"{name}.{number}.losses.csv"))
            path.rename(kept)
        return kept

    def write_frame(self, name: PassName, index: int, pixels: npt.NDArray[np.uint8]) -> None:
        """A moment of a pass: the object's box at full resolution, (h, w, 3)."""
        folder = self.path / "frames"
        self._make(folder)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=95, subsampling=0)
        self.write(folder / f"{name}.{index:06d}.jpg", data.getvalue())

    def frames(self, name: PassName) -> list[Path]:
        """The frames of a pass, in order."""
        return _in_order(self.path / "frames", f"{name}.*.jpg")

    def copy_pass(self, name: PassName, donor: RunDirectory) -> None:
        """Take another run's picture, loss table and frames of a pass."""
        self._make(self.path / "frames")
        for path in (donor.picture_path(name), donor.losses_path(name), *donor.frames(name)):
            self.write(self.path / path.relative_to(donor.path), path.read_bytes())

    def save_checkpoint(
        self, name: PassName, tensors: Mapping[str, Any], numbers: Mapping[str, Any], evaluation: int
    ) -> None:
        """Write a checkpoint whole, its SHA-256 before it; the newest two are kept.

        There is no state of a random generator in it: the noise start, drawn from its own seeded generator, is
        all that is random in a run, and is drawn anew from the seed.
        """
        folder = self.path / "checkpoints"
        self._make(folder)
        path = folder / f"{name}.{evaluation:06d}.ckpt"
        with _reporting(path), atomic_write(path) as stream:
            for piece in checkpoints.pieces(tensors, numbers):
                stream.write(piece)
        with _reporting(path):
            for old in self._checkpoints(name)[: -checkpoints.KEPT]:
                old.unlink(missing_ok=True)

    def load_checkpoint(self, name: PassName) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest whole checkpoint as (tensors, numbers); a damaged one is passed over, with a warning.

        None where there is no whole one; said as well, if there were any. Raises InputError for a checkpoint of
        another version.
        """
        paths = self._checkpoints(name)
        for path in reversed(paths):
            try:
                found = checkpoints.load(path)
            except OSError as error:
                warnings.warn(f"checkpoint '{path}' can't be read ({error.strerror})", stacklevel=2)
                continue
            if found is not None:
                return found
            before = "; going back to the one before" if path is not paths[0] else ""
            warnings.warn(f"checkpoint '{path}' is damaged{before}", stacklevel=2)
        if paths:
            title = name.replace("_", " ")
            warnings.warn(f"no checkpoint of the {title} is whole: it begins again", stacklevel=2)
        return None

    def drop_checkpoints(self, name: PassName) -> None:
        """Forget a pass's checkpoints: it is done, or begins anew."""
        with _reporting(self.path / "checkpoints"):
            for path in self._checkpoints(name):
                path.unlink(missing_ok=True)

    def _checkpoints(self, name: PassName) -> list[Path]:
        return _in_order(self.path / "checkpoints", f"{name}.*.ckpt")

    def _clear(self) -> None:
        """Remove what an earlier run's manifest says that it wrote; nothing else.

        Killed at any moment, the folder still says what is its own, and is a run that has not begun.
        """
        if not (self.path / MANIFEST).is_file():
            self._sweep()
            return
        self.update(wrote=_wrote(self.path))
        with _reporting(self.path):
            self._sweep()
            for path in _of_run(self.path):
                path.unlink(missing_ok=True)
        self.manifest["wrote"] = []

    def remember(self, path: Path) -> None:
        """Say in the manifest that a file of the run's own folder is the run's."""
        wrote = self.manifest.setdefault("wrote", [])
        if path.parent == self.path and path.name not in (MANIFEST, *wrote):
            self.update(wrote=[*wrote, path.name])

    def _sweep(self) -> None:
        """Remove what a killed process left half-written, or had no time to remove."""
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            for path in folder.glob(".*.tmp"):
                if _UNFINISHED.fullmatch(path.name) and not is_being_written(path):
                    path.unlink(missing_ok=True)
        for name, entry in self.manifest.get("passes", {}).items():
            if entry.get("status") == "done":
                self.drop_checkpoints(name)

    def _make(self, folder: Path) -> None:
        with _reporting(folder):
            if folder.is_symlink():
                raise RunError(f"'{folder}' is a link: the run writes into folders of its own; remove the link")
            folder.mkdir(exist_ok=True)

    def write(self, path: Path, *pieces: bytes) -> None:
        """Write a file of the run whole; the manifest first says that it is the run's. Raises RunError."""
        if path.name != MANIFEST:
            self.remember(path)
        with _reporting(path), atomic_write(path) as stream:
            stream.writelines(pieces)

    def write_mask(self, mask: Float) -> None:
        """The mask as the passes use it, (H, W) in 0..1, as 8-bit grey."""
        data, levels = io.BytesIO(), np.empty(mask.shape, np.uint8)
        for part in blocks(mask.shape):
            levels[part] = np.rint(mask[part] * 255)
        Image.fromarray(levels).save(data, "PNG")
        self.write(self.path / "mask.png", data.getvalue())

    def write_picture(self, path: Path, pixels: Pixels, like: Picture) -> None:
        """Write a picture of the run whole. Raises RunError where the disk fails."""
        self.write(path, encode_picture(path, pixels, like=like))


def require_free(path: Path, *, force: bool) -> None:
    """Raise InputError where a new run can't begin in `path`: a file, or a run that is not to be replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"output directory '{path}' can't be had: {error.strerror}; give another") from error
    if not stat.S_ISDIR(mode):
        raise InputError(f"output directory '{path}' is a file; give a folder")
    _require_own_folders(path)
    if (path / MANIFEST).exists():
        wrote = _read(path)["wrote"]
        if not force:
            raise InputError(
                f"'{path}' already holds a run; continue it with --resume, replace it with --force, "
                "or give another --output-dir"
            )
        for entry in path.iterdir():
            ours = entry.name in wrote and (entry.is_symlink() or entry.is_file())
            if not ours and (entry.name in wrote or _ALWAYS.fullmatch(entry.name)):
                raise InputError(f"'{entry}' is not the run's; move it away, or give another --output-dir")
        return
    if any(_foreign(entry) for entry in path.iterdir()):
        raise InputError(
            f"'{path}' is not empty and holds no run; give a folder of its own. --force would not touch these "
            "files either: no run.json says that they are a run's"
        )


def require_kept(path: Path, files: Iterable[Path | None]) -> None:
    """Raise InputError where a run that is to be replaced holds a picture that the new one would be made of."""
    removed = {os.path.realpath(one) for one in _of_run(path)} if (path / MANIFEST).is_file() else set()
    for file in files:
        if file is not None and os.path.realpath(file) in removed:
            raise InputError(
                f"'{file}' is a part of the run in '{path}', which --force would remove; give another --output-dir"
            )


def require_no_result(path: Path) -> None:
    """Raise InputError where a file is a part of a run, which would be damaged if another were written there."""
    folder = path.parent.parent if path.parent.name in _FOLDERS else path.parent
    if (folder / MANIFEST).is_file() and (path.name == MANIFEST or _RESULTS.fullmatch(path.name)):
        raise InputError(f"'{path}' is a part of the run in '{folder}'; give another file name")


def require_own(path: Path) -> None:
    """Raise InputError where a file to be made in a run's folder is there and not the run's, but the user's."""
    if path.exists() and path.name not in _read(path.parent)["wrote"]:
        raise InputError(f"'{path}' is not the run's; move it away, or write to another --output-file")


def _require_own_folders(path: Path) -> None:
    """Raise InputError where a run's folders are links: what lies behind them is not the run's to remove."""
    for folder in (path / name for name in _FOLDERS):
        if folder.is_symlink():
            raise InputError(f"'{folder}' is a link: a run writes into folders of its own; remove the link")


def _foreign(path: Path) -> bool:
    """Whether a folder's entry is something else than what a killed command can leave."""
    return not (path.name in (".lock", ".lock.held") or _UNFINISHED.fullmatch(path.name))


def _wrote(path: Path) -> list[str]:
    """Names of the files beside a run's manifest that it says are the run's. Raises InputError."""
    return [name for name in _read(path)["wrote"] if Path(name).name == name]


def _of_run(path: Path) -> list[Path]:
    """The files that a new run in a run's folder removes. Raises InputError."""
    found = [entry for name in _FOLDERS for entry in (path / name).glob("*")]
    inside = [entry for entry in found if _OURS.fullmatch(entry.name) and entry.is_file()]
    return [*(path / name for name in _wrote(path)), *inside]


def _read(path: Path) -> dict[str, Any]:
    """A run's manifest; of an early format, `wrote` is what it could have written. Raises InputError."""
    manifest = path / MANIFEST
    try:
        stored = json.loads(manifest.read_text(encoding="utf-8"))
        found = manifest_of(stored)
    except (OSError, ValueError) as error:
        raise InputError(f"'{manifest}' can't be read ({error}); start a new run in another folder") from error
    early = [] if stored["format"] == FORMAT else [one.name for one in path.iterdir() if _OURS.fullmatch(one.name)]
    return {"wrote": early, **found}


def versions() -> dict[str, str]:
    """The versions that decide a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("deep-image-blending", "torch", "torchvision", "numpy", "scipy", "pillow"):
        found[package] = metadata.version(package)
    return found


def command_line() -> list[str]:
    """The command that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a RunError that says how to go on."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        if error.errno == errno.ENOENT:
            remedy = "the run directory has gone; start a new run"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "earlier files are intact; make the folder writable, then continue with --resume"
        else:
            remedy = "earlier files are intact; free space, then continue with --resume"
        raise RunError(f"'{path}' could not be written ({reason}): {remedy}") from error


def _in_order(folder: Path, pattern: str) -> list[Path]:
    """The files of a pass, by the evaluation that stands in their names."""
    numbered = [path for path in folder.glob(pattern) if _OURS.fullmatch(path.name)]
    return sorted(numbered, key=lambda path: int(path.name.split(".")[1]))
