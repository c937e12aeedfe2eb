"""A run directory is written by one process at a time."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from deep_image_blending.errors import InputError

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def lock_of(path: Path) -> BaseFileLock:
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
        raise InputError(f"output directory '{path}' can't be written: {error.strerror}; give another") from error


def _held(lock: BaseFileLock) -> BaseFileLock:
    lock.acquire(timeout=0)
    return lock
