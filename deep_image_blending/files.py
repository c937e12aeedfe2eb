"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deep_image_blending.errors import InputError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on a clean exit flush it to disk and rename it to `path`.

    When the body raises, the temporary file goes and an earlier `path` stays as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def require_writable(path: Path) -> None:
    """Raise InputError where a file can't be written: before the work, not after it.

    What is there and is no plain file (a folder, a device, a pipe, a socket) is never replaced.
    """
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise InputError(f"'{path}' is a device or a pipe, not a file; give a file name")
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"folder '{path.parent}' can't be written to; choose another, or change its permissions")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
