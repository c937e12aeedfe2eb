"""The pictures that were brought to the studio: files of a private folder, reached by ids."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import warnings
from collections import OrderedDict
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.pictures import Float, Picture, load_mask, load_picture, picture_size

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
KEPT_PIXELS = 60_000_000
"""How many decoded pixels stay in memory between two requests; the newest picture stays whatever its size."""
_ID = re.compile(r"[0-9a-f]{24}")


class PictureStore:
    """A folder, 0700, with a folder for each picture, which is named by its content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decoded: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def add(self, data: bytes, name: str) -> str:
        """Keep a picture; its id. Raises InputError for one that is too large or can't be read."""
        if len(data) > MAX_BYTES:
            raise InputError(f"'{name}' is over {MAX_BYTES // 2**20} MiB; give a smaller file")
        key = hashlib.sha256(data).hexdigest()[:24]
        known = self.folder / key
        with self._lock:
            if known.is_dir():
                return key
            known.mkdir(mode=0o700)
            path = known / plain_name(name)
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
        found = (
            [one for one in folder.iterdir() if not one.name.startswith(".")] if _is_folder(key, folder) else []
        )
        if not found:
            raise InputError("this picture is not in the studio; bring it again")
        return found[0]

    def picture(self, key: str) -> Picture:
        """The decoded picture; the last few stay at hand. Raises InputError."""
        with self._lock:
            known = self._decoded.pop(key, None)
            if known is not None:
                self._decoded[key] = known
                return known
        path = self.path(key)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = load_picture(path, max_pixels=MAX_PIXELS)
            except InputError as error:
                raise InputError(str(error).replace(str(path), path.name)) from error
        with self._lock:
            self._decoded[key] = found
            while len(self._decoded) > 1 and sum(map(_pixels, self._decoded.values())) > KEPT_PIXELS:
                self._decoded.popitem(last=False)
        return found

    def mask(self, key: str) -> Float:
        """The picture as a mask, (H, W) in 0..1. Raises InputError."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_mask(self.path(key), max_pixels=MAX_PIXELS)

    def id_of(self, path: Path) -> str:
        """The id of a file: it is taken into the store where it is not there. Raises InputError."""
        if path.parent.parent == self.folder and _ID.fullmatch(path.parent.name) and path.is_file():
            return path.parent.name
        try:
            return self.add(path.read_bytes(), path.name)
        except OSError as error:
            raise InputError(f"'{path}' can't be read ({error.strerror}); put it back") from error

    def remove(self, key: str) -> None:
        """Forget a picture. Raises InputError for an id that is none."""
        folder = self.path(key).parent
        with self._lock:
            self._decoded.pop(key, None)
            shutil.rmtree(folder)


def plain_name(name: str) -> str:
    """A file name of plain letters, its suffix kept.

    >>> plain_name("../a cat.PNG")
    'a_cat.PNG'
    """
    plain = re.sub(r"[^\w.-]+", "_", name.replace("\\", "/").rpartition("/")[2], flags=re.ASCII)
    return plain.lstrip("._-")[-80:] or "picture"


def _is_folder(key: str, folder: Path) -> bool:
    return _ID.fullmatch(key) is not None and folder.is_dir()


def _pixels(picture: Picture) -> int:
    rows, columns = picture.pixels.shape[:2]
    return int(rows * columns)
