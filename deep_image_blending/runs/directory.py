"""The run directory: manifest, pictures, loss tables, frames and checkpoints."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import platform
import re
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from PIL import Image
from safetensors import SafetensorError

from deep_image_blending.errors import InputError, RunError
from deep_image_blending.files import atomic_write
from deep_image_blending.options.options import TERMS, PassName
from deep_image_blending.pictures.images import Picture, Pixels, encode_picture
from deep_image_blending.pictures.png import Strips
from deep_image_blending.pictures.scene import Float

MANIFEST = "run.json"
FORMAT = 1
COLUMNS = ("evaluation", "seconds", "total", *TERMS)
KEPT_CHECKPOINTS = 2
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_PASS = "(first|second)_pass"
_OURS = re.compile(
    rf"composite\.png|{_PASS}(\.\d+)?\.(png|losses\.csv)|blend\.(mp4|gif|webp)|report\.html"
    rf"|{_PASS}\.\d{{6,}}\.(ckpt|jpg)"
)
_UNFINISHED = re.compile(rf"\.(run\.json|composite\.png|{_PASS}\..*)\.[^.]+\.tmp")


class RunDirectory:
    """A folder that holds a run. One process at a time may have it open for writing.

    Raises InputError when another process holds it, or when it is not a run.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], lock: BaseFileLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock
        self._strips: Strips = {}

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
            raise InputError(f"output directory '{path}' can't be made: {error.strerror}") from error
        lock = _lock(path)
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
            raise InputError(
                f"'{path}' is not a run directory: it has no {MANIFEST}; begin the run without --resume"
            )
        lock = _lock(path) if write else None
        try:
            stored = json.loads(manifest.read_text(encoding="utf-8"))
            if not isinstance(stored, dict) or stored.get("format") != FORMAT:
                raise ValueError(f"format {FORMAT} expected")
        except (OSError, ValueError) as error:
            if lock is not None:
                lock.release()
            raise InputError(f"'{manifest}' can't be read ({error}); start a new run") from error
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
        self._strips = {}

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
        """One row an evaluation; a term that the pass does not have is empty.

        The rows of a run of another version keep their columns.
        """
        text = io.StringIO(newline="")
        columns = dict.fromkeys((*COLUMNS, *(key for row in rows for key in row)))
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _number(key, value) for key, value in row.items()})
        self.write(self.losses_path(name), text.getvalue().encode())

    def read_losses(self, name: PassName) -> list[dict[str, float]]:
        """The rows that `write_losses` wrote, by the table's header; empty where there is no table.

        A table of another version, with more losses or fewer, is read as it is. Raises InputError for one that is
        not of numbers, or without evaluations and their total.
        """
        path = self.losses_path(name)
        if not path.is_file():
            return []
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                table = csv.DictReader(stream)
                if not {"evaluation", "total"} <= set(table.fieldnames or ()):
                    raise ValueError("no evaluations")
                return [_row(row) for row in table]
        except (ValueError, csv.Error) as error:
            raise InputError(f"loss table '{path}' is damaged; remove it, or make the pass again") from error

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

    def write_frame(self, name: PassName, index: int, pixels: Float) -> None:
        """A moment of a pass: the object's box at full resolution, (h, w, 3) in 0..255."""
        folder = self.path / "frames"
        self._make(folder)
        data = io.BytesIO()
        Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8)).save(
            data, "JPEG", quality=95, subsampling=0
        )
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
        payload = _packed(tensors, numbers)
        path = folder / f"{name}.{evaluation:06d}.ckpt"
        self.write(path, hashlib.sha256(payload).digest() + payload)
        with _reporting(path):
            for old in self._checkpoints(name)[:-KEPT_CHECKPOINTS]:
                old.unlink(missing_ok=True)

    def load_checkpoint(self, name: PassName) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest whole checkpoint as (tensors, numbers); a damaged one is passed over, with a warning.

        None where there is no whole one; said as well, if there were any. Raises InputError for a checkpoint of
        another version.
        """
        paths = self._checkpoints(name)
        for path in reversed(paths):
            try:
                data = path.read_bytes()
            except OSError as error:
                warnings.warn(f"checkpoint '{path}' can't be read ({error.strerror})", stacklevel=2)
                continue
            if len(data) > 32 and hashlib.sha256(data[32:]).digest() == data[:32]:
                try:
                    return _unpacked(data[32:])
                except (ValueError, struct.error, SafetensorError) as error:
                    raise InputError(f"checkpoint '{path}' is of another version; start a new run") from error
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
        """Remove an earlier run, its manifest first, so that what remains after a kill is no run; nothing else."""
        with _reporting(self.path):
            (self.path / MANIFEST).unlink(missing_ok=True)
            self._sweep()
            for folder in (self.path, self.path / "checkpoints", self.path / "frames"):
                for path in folder.glob("*"):
                    if _OURS.fullmatch(path.name) and path.is_file():
                        path.unlink()

    def _sweep(self) -> None:
        """Remove what a killed process left half-written, or had no time to remove."""
        for folder in (self.path, self.path / "checkpoints", self.path / "frames"):
            for path in folder.glob(".*.tmp"):
                if _UNFINISHED.fullmatch(path.name):
                    path.unlink()
        for name, entry in self.manifest.get("passes", {}).items():
            if entry.get("status") == "done":
                self.drop_checkpoints(name)

    def _make(self, folder: Path) -> None:
        with _reporting(folder):
            folder.mkdir(exist_ok=True)

    def write(self, path: Path, *pieces: bytes) -> None:
        """Write a file of the run whole. Raises RunError."""
        with _reporting(path), atomic_write(path) as stream:
            stream.writelines(pieces)

    def write_picture(self, path: Path, pixels: Pixels, like: Picture) -> None:
        """Write a picture of the run whole. Raises RunError where the disk fails.

        A run's pictures differ where the object is: what the last one had in common is not compressed again.
        """
        pieces, self._strips = encode_picture(path, pixels, like=like, known=self._strips)
        self.write(path, *pieces)


def require_free(path: Path, *, force: bool) -> None:
    """Raise InputError where a new run can't begin in `path`: a file, or a run that is not to be replaced."""
    if path.exists() and not path.is_dir():
        raise InputError(f"output directory '{path}' is a file; give a folder")
    if (path / MANIFEST).exists() and not force:
        raise InputError(
            f"'{path}' already holds a run; continue it with --resume, replace it with --force, "
            "or give another --output-dir"
        )


def versions() -> dict[str, str]:
    """The versions that decide a result."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("deep-image-blending", "torch", "torchvision", "numpy", "scipy", "pillow"):
        found[package] = metadata.version(package)
    return found


def command_line() -> list[str]:
    """The command that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _lock(path: Path) -> BaseFileLock:
    """The folder, held until release or the end of this process. Raises InputError where another holds it.

    Where the file system has no locks (some network ones), a file that names this process takes their place.
    """
    try:
        try:
            return _held(FileLock(path / ".lock"))
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            marker = path / ".lock.held"
            held = _held(SoftFileLock(marker))
            warnings.warn(
                f"the file system of '{path}' has no locks: '{marker.name}' in it says that the run is in use; "
                "remove that file if it stays after a crash",
                stacklevel=3,
            )
            return held
    except Timeout as error:
        raise InputError(
            f"run directory '{path}' is in use by another process; wait for it, or give another --output-dir"
        ) from error
    except OSError as error:
        raise InputError(f"output directory '{path}' can't be written: {error.strerror}") from error


def _held(lock: BaseFileLock) -> BaseFileLock:
    lock.acquire(timeout=0)
    return lock


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """What the disk refuses becomes a RunError that says how to go on."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
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


def _row(row: Mapping[str | None, str | None]) -> dict[str, float]:
    if None in row or None in row.values():
        raise ValueError("a row of another length")
    if not row["evaluation"] or not row["total"]:
        raise ValueError("a row without its evaluation or total")
    return {str(key): float(value) for key, value in row.items() if value}


def _number(key: str, value: float) -> str:
    if key == "evaluation":
        return str(int(value))
    return f"{value:.6f}" if key == "seconds" else repr(float(value))


def _packed(tensors: Mapping[str, Any], numbers: Mapping[str, Any]) -> bytes:
    """A JSON header of its length, then the tensors as safetensors."""
    from safetensors.torch import save

    header = json.dumps(dict(numbers)).encode()
    body = save({name: tensor.detach().contiguous().cpu().clone() for name, tensor in tensors.items()})
    return struct.pack("<Q", len(header)) + header + body


def _unpacked(payload: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors.torch import load

    (length,) = struct.unpack_from("<Q", payload)
    numbers = json.loads(payload[8 : 8 + length])
    return dict(load(payload[8 + length :])), numbers


def process_alive() -> int:
    """This process's number, as the manifest names it while a pass runs."""
    return os.getpid()
