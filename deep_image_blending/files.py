"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deep_image_blending.errors import InputError

_TEMPORARY = re.compile(r"\..+\.(?P<owner>\d+)-[0-9a-f]{8}\.tmp")
_at_work: set[str] = set()
"""Names of the temporary files that this process writes now: another may have had its number before it."""
_NO_FILES = {
    stat.S_IFDIR: "folder",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


@contextlib.contextmanager
def atomic_write(path: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file; on a clean exit flush it to disk and rename it to `path`.

    folder: where the temporary file lies, on the same disk; default: beside `path`. It is listed at every writing:
    name one where `path` has very many files beside it.

    When the body raises, the temporary file goes and an earlier `path` stays as it was; what a process that was
    killed left of an earlier writing goes as well. A link stays, and the file that it names is written. Raises
    InputError for what is no regular file, and OSError, with the name of `path`, where the disk fails.
    """
    require_regular(path)
    path = Path(os.path.realpath(path))
    folder = path.parent if folder is None else folder
    for left in folder.glob(f".{glob.escape(path.name)}.*.tmp"):
        if not is_being_written(left):
            with contextlib.suppress(OSError):
                left.unlink()
    temporary = folder / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    _at_work.add(temporary.name)
    try:
        # The kernel takes the process's umask off these permissions.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # The system names the temporary file, or none.
        if isinstance(error, OSError) and error.errno and str(error.filename) in ("None", str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        _at_work.discard(temporary.name)
    _sync_directory(path.parent)


def is_being_written(path: Path) -> bool:
    """Whether the process that a temporary file names as its owner may still be at work.

    A name that is not one of ours counts as at work: it stays.
    """
    named = _TEMPORARY.fullmatch(path.name)
    if named is None or os.name != "posix":
        return True
    if int(named["owner"]) == os.getpid():
        return path.name in _at_work
    try:
        os.kill(int(named["owner"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def require_regular(path: Path) -> None:
    """Raise InputError where `path` leads to a folder, a device, a pipe or a socket, or nowhere.

    A path at which there is nothing yet is a file to be made.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"'{path}' can't be written: {error.strerror}; give another file name") from error
    if not stat.S_ISREG(mode):
        kind = _NO_FILES.get(stat.S_IFMT(mode), "special file")
        raise InputError(f"'{path}' is a {kind}; give a file name")


def require_writable(path: Path) -> None:
    """Raise InputError where a file can't be written: before the work, not after it.

    What is there and is no plain file (a folder, a device, a pipe, a socket) is never replaced.
    """
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"folder '{path.parent}' can't be written to; choose another, or change its permissions")
    require_regular(path)


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
