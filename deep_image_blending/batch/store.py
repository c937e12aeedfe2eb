"""Where a batch's files lie: a folder, or an object store by its address.

What is written to a folder is written whole or not at all; object stores do so by themselves. Listings are never
taken from a cache: a batch that is started again must see what is there.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from deep_image_blending.errors import BlendError, InputError, reason_of
from deep_image_blending.files import atomic_write

_PIECE = 2**20
_WRITING = ".writing"
"""Folder in each of what is being written: the pictures and the records grow too many to be listed each time."""
REMEDY = "pip install 'deep-image-blending[batch]'"


def is_url(path: str) -> bool:
    """Whether a path is an address, such as s3://bucket/folder."""
    return "://" in path


class Store:
    """A folder of files, here or far. root: a path, or an address that fsspec knows."""

    def __init__(self, root: str) -> None:
        if is_url(root) and not root.partition("://")[2].strip("/"):
            raise InputError(f"'{root}' names no place; give one such as s3://bucket/folder")
        root = root.removeprefix("file://").rstrip("/") or "/"
        # Workers have working folders of their own.
        self.root = root if is_url(root) else str(Path(root).absolute())
        self.far = _upath(self.root) if is_url(self.root) else None
        self._made: set[Path] = set()

    def require_usable(self, write: bool = True) -> None:
        """Raise InputError where nothing can be listed or, with `write`, no folder be made."""
        try:
            next(self.names(), None)
            if write and self.far is None:
                Path(self.root).mkdir(parents=True, exist_ok=True)
                if not os.access(self.root, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            remedy = "give another folder" if self.far is None else "check the address, and its credentials"
            raise InputError(f"'{self.root}' can't be used ({reason_of(error)}); {remedy}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        self.copy_in(name, io.BytesIO(data))

    def copy_in(self, name: str, stream: IO[bytes]) -> None:
        """Write what a stream still holds, in constant memory."""
        if self.far is not None:
            with _plainly(f"{self.root}/{name}"), (self.far / name).open("wb") as written:
                shutil.copyfileobj(stream, written, _PIECE)
            return
        path = Path(self.root) / name
        writing = path.parent / _WRITING
        if writing not in self._made:
            writing.mkdir(parents=True, exist_ok=True)
            self._made.add(writing)
        with atomic_write(path, writing) as local:
            shutil.copyfileobj(stream, local, _PIECE)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        with _plainly(f"{self.root}/{name}"):
            found: bytes = self._path(name).read_bytes()
        return found

    def exists(self, name: str) -> bool:
        with _plainly(f"{self.root}/{name}"):
            return bool(self._path(name).exists())

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with _plainly(f"{self.root}/{name}"):
            self._path(name).unlink(missing_ok=True)

    def names(self, folder: str = "") -> Iterator[str]:
        """The names of the files in a folder, in no order; none where there is no such folder."""
        if self.far is None:
            path = Path(self.root) / folder
            if path.is_dir():
                with os.scandir(path) as entries:
                    yield from (one.name for one in entries if not one.name.startswith("."))
            return
        far = self.far / folder if folder else self.far
        try:
            with _plainly(f"{self.root}/{folder}"):
                far.fs.invalidate_cache()
                listed = far.fs.ls(far.path, detail=False)
        except FileNotFoundError:
            return
        yield from (str(one).rstrip("/").rpartition("/")[2] for one in listed)

    def _path(self, name: str) -> Any:
        return self.far / name if self.far is not None else Path(self.root) / name


def local_copy(path: str, fresh: bool = False) -> Path:
    """A file of this machine: the path itself, or, of an address, a copy that is made once.

    fresh: make it now, whether or not there is one. Raises FileNotFoundError.
    """
    if not is_url(path):
        return Path(path)
    folder = Path(tempfile.gettempdir()) / f"deep-image-blending-{os.getuid() if hasattr(os, 'getuid') else 0}"
    folder.mkdir(mode=0o700, exist_ok=True)
    copy = folder / f"{hashlib.sha256(path.encode()).hexdigest()[:24]}-{path.rpartition('/')[2]}"
    if fresh or not copy.exists():
        with _plainly(path):
            data = _upath(path).read_bytes()
        with atomic_write(copy) as stream:
            stream.write(data)
    return copy


def readable(path: str) -> bool:
    """Whether there is a file at a path or an address. Raises InputError where the address can't be reached."""
    if not is_url(path):
        return Path(path).is_file()
    try:
        with _plainly(path):
            return bool(_upath(path).exists())
    except OSError as error:
        raise InputError(f"'{path}' can't be reached ({reason_of(error)}); check the address") from error


@contextmanager
def _plainly(address: str) -> Iterator[None]:
    """Raise as an OSError with a name and a reason what libraries of object stores raise in their own ways."""
    try:
        yield
    except (FileNotFoundError, BlendError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, reason, address) from error


def _upath(address: str) -> Any:
    try:
        from upath import UPath

        return UPath(address, use_listings_cache=False)
    except ImportError as error:
        missing = error.name or "universal-pathlib"
        more = REMEDY if missing == "upath" else f"install {missing} (s3:// needs s3fs, gs:// gcsfs, az:// adlfs)"
        raise InputError(f"'{address}' needs a library more: {more}") from None
    except ValueError as error:
        raise InputError(f"'{address}' is no address that can be written to ({error})") from None
