"""The pictures that were brought to the studio: files of a private folder, reached by ids."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.pictures import picture_size

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
_ID = re.compile(r"[0-9a-f]{24}")


class PictureStore:
    """A folder, 0700, with a folder for each picture, which is named by its content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def add(self, data: bytes, name: str) -> str:
        """Keep a picture; its id. Raises InputError for one that is too large or can't be read."""
        if len(data) > MAX_BYTES:
            raise InputError(f"'{name}' is over {MAX_BYTES // 2**20} MiB; give a smaller file")
        key = hashlib.sha256(data).hexdigest()[:24]
        known = self.folder / key
        if known.is_dir():
            return key
        known.mkdir(mode=0o700)
        path = known / _plain(name)
        try:
            with atomic_write(path) as stream:
                stream.write(data)
            path.chmod(0o600)
            picture_size(path, max_pixels=MAX_PIXELS)
        except InputError as error:
            shutil.rmtree(known)
            raise InputError(str(error).replace(str(path), name)) from error
        except BaseException:
            shutil.rmtree(known)
            raise
        return key

    def path(self, key: str) -> Path:
        """A picture's file. Raises InputError for an id that is none."""
        folder = self.folder / key
        if not _ID.fullmatch(key) or not folder.is_dir():
            raise InputError("this picture is not in the studio; bring it again")
        return next(path for path in folder.iterdir() if not path.name.startswith("."))

    def remove(self, key: str) -> None:
        """Forget a picture. Raises InputError for an id that is none."""
        shutil.rmtree(self.path(key).parent)


def _plain(name: str) -> str:
    """A file name of plain letters, its suffix kept.

    >>> _plain("../a cat.PNG")
    'a_cat.PNG'
    """
    return (
        re.sub(r"[^\w.-]+", "_", name.replace("\\", "/").rpartition("/")[2], flags=re.ASCII).lstrip("._")[-80:]
        or "picture"
    )
