"""The run directory: manifest, pictures, loss tables, frames and checkpoints."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import re
import shutil
import struct
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from deep_image_blending.config import TERMS, PassName
from deep_image_blending.errors import InputError, RunError
from deep_image_blending.files import atomic_write
from deep_image_blending.scene import Float

MANIFEST = "run.json"
FORMAT = 1
COLUMNS = ("evaluation", "seconds", "total", *TERMS)
KEPT_CHECKPOINTS = 2


class RunDirectory:
    """A folder that holds a run. One process at a time may have it open for writing.

    Raises InputError when another process holds it, or when it is not a run.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], lock: FileLock | None) -> None:
        self.path = path
        self.manifest = manifest
        self._lock = lock

    @classmethod
    def create(cls, path: Path, *, force: bool = False) -> RunDirectory:
        """Make or take over a folder for a new run. A finished run is kept unless `force`."""
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
        if force:
            run._clear()
        return run

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> RunDirectory:
        """An existing run. Raises InputError when there is none, or its manifest can't be read."""
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise InputError(f"'{path}' is not a run directory: it has no {MANIFEST}")
        lock = _lock(path) if write else None
        try:
            stored = json.loads(manifest.read_text(encoding="utf-8"))
            if not isinstance(stored, dict) or stored.get("format") != FORMAT:
                raise ValueError(f"format {FORMAT} expected")
        except (OSError, ValueError) as error:
            if lock is not None:
                lock.release()
            raise InputError(f"'{manifest}' can't be read ({error}); start a new run") from error
        return cls(path, stored, lock)

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
        self._write(self.path / MANIFEST, (json.dumps(self.manifest, indent=2) + "\n").encode())

    def update_pass(self, name: PassName, **entries: Any) -> None:
        """Set entries of one pass's status and write the manifest."""
        passes = dict(self.manifest.get("passes", {}))
        passes[name] = {**passes.get(name, {}), **entries}
        self.update(passes=passes)

    def picture_path(self, name: PassName) -> Path:
        """Where the pass's picture lies."""
        return self.path / f"{name}.png"

    def losses_path(self, name: PassName) -> Path:
        """Where the pass's loss table lies."""
        return self.path / f"{name}.losses.csv"

    def write_losses(self, name: PassName, rows: Sequence[Mapping[str, float]]) -> None:
        """One row an evaluation; a term that the pass does not have is empty."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _number(key, value) for key, value in row.items()})
        self._write(self.losses_path(name), text.getvalue().encode())

    def read_losses(self, name: PassName) -> list[dict[str, float]]:
        """The rows that `write_losses` wrote; empty where there is no table."""
        path = self.losses_path(name)
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as stream:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]

    def keep_previous(self, name: PassName) -> Path | None:
        """Move an earlier result of a pass to the next free number, and forget its frames and checkpoints."""
        path = self.picture_path(name)
        self.drop_checkpoints(name)
        for frame in self.frames(name):
            frame.unlink()
        if not path.exists():
            return None
        number = 1
        while (kept := path.with_name(f"{name}.{number}.png")).exists():
            number += 1
        path.rename(kept)
        losses = self.losses_path(name)
        if losses.exists():
            losses.rename(losses.with_name(f"{name}.{number}.losses.csv"))
        return kept

    def write_frame(self, name: PassName, index: int, pixels: Float) -> None:
        """A moment of a pass: the object's box at full resolution, (h, w, 3) in 0..255."""
        folder = self.path / "frames"
        self._make(folder)
        data = io.BytesIO()
        Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8)).save(
            data, "JPEG", quality=95, subsampling=0
        )
        self._write(folder / f"{name}.{index:06d}.jpg", data.getvalue())

    def frames(self, name: PassName) -> list[Path]:
        """The frames of a pass, in order."""
        return sorted((self.path / "frames").glob(f"{name}.*.jpg"))

    def save_checkpoint(
        self, name: PassName, tensors: Mapping[str, Any], numbers: Mapping[str, Any], evaluation: int
    ) -> None:
        """Write a checkpoint whole, its SHA-256 before it; the newest two are kept."""
        folder = self.path / "checkpoints"
        self._make(folder)
        payload = _packed(tensors, numbers)
        path = folder / f"{name}.{evaluation:06d}.ckpt"
        self._write(path, hashlib.sha256(payload).digest() + payload)
        for old in self._checkpoints(name)[:-KEPT_CHECKPOINTS]:
            old.unlink(missing_ok=True)

    def load_checkpoint(self, name: PassName) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest whole checkpoint as (tensors, numbers); a damaged one is passed over, with a warning."""
        for path in reversed(self._checkpoints(name)):
            try:
                data = path.read_bytes()
            except OSError as error:
                warnings.warn(f"checkpoint '{path}' can't be read ({error.strerror})", stacklevel=2)
                continue
            if len(data) > 32 and hashlib.sha256(data[32:]).digest() == data[:32]:
                return _unpacked(data[32:])
            warnings.warn(f"checkpoint '{path}' is damaged; going back to the one before", stacklevel=2)
        return None

    def drop_checkpoints(self, name: PassName) -> None:
        """Forget a pass's checkpoints: it is done, or begins anew."""
        for path in self._checkpoints(name):
            path.unlink(missing_ok=True)

    def _checkpoints(self, name: PassName) -> list[Path]:
        return sorted((self.path / "checkpoints").glob(f"{name}.*.ckpt"))

    def _clear(self) -> None:
        for pattern in ("*.png", "*.losses.csv", "blend.*", MANIFEST):
            for path in self.path.glob(pattern):
                if re.match(r"(composite|(first|second)_pass|blend|run)\b", path.name):
                    path.unlink()
        for folder in ("checkpoints", "frames"):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def _write(self, path: Path, data: bytes) -> None:
        try:
            with atomic_write(path) as stream:
                stream.write(data)
        except OSError as error:
            raise _unwritable(path, error) from error


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


def _lock(path: Path) -> FileLock:
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"run directory '{path}' is in use by another process; wait for it, or give another --output-dir"
        ) from error
    except OSError as error:
        raise InputError(f"output directory '{path}' can't be written: {error.strerror}") from error
    return lock


def _unwritable(path: Path, error: OSError) -> RunError:
    reason = error.strerror or type(error).__name__
    return RunError(f"'{path}' could not be written ({reason}); earlier files are intact, free space and --resume")


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
