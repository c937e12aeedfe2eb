"""Folders of objects and of backgrounds, as the generator of scenes takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.files import sha256_of
from deep_image_blending.pictures import Float, demos, load_mask, load_picture, picture_size
from deep_image_blending.pictures.scene import mask_of

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".ppm", ".jxl", ".heic", ".gif"}
_MASKS = (".mask.png", "_mask.png", ".pbm")


@dataclass(frozen=True)
class Cut:
    """An object to scatter. size: (rows, columns) of its picture; box: (top, left, bottom, right) of its mask."""

    picture: Path
    mask: Path | None
    category: str
    size: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Background:
    """A picture to scatter on, and its (rows, columns)."""

    picture: Path
    size: tuple[int, int]


def objects_in(folder: Path) -> list[Cut]:
    """The objects of a folder, one subfolder a category, in the order of their names.

    An object is a picture with alpha, or one with a mask beside it: `cat.mask.png`, `cat_mask.png` or `cat.pbm`.
    Raises InputError for a folder without any, and for a picture that has neither.
    """
    found = [_cut(path, folder) for path in _pictures(folder) if not path.name.lower().endswith(_MASKS)]
    if not found:
        raise InputError(f"'{folder}' holds no objects; give FOLDER/<category>/name.png, with alpha or a mask")
    return found


def backgrounds_in(folder: Path) -> list[Background]:
    """The pictures of a folder and of those in it, in the order of their names. Raises InputError for none."""
    found = [Background(path, picture_size(path)) for path in _pictures(folder)]
    if not found:
        raise InputError(f"'{folder}' holds no pictures; give a folder of backgrounds")
    return found


def bundled() -> tuple[list[Cut], list[Background]]:
    """The objects and the backgrounds of the bundled demo cases, each object a category of its own."""
    cases = demos()
    cuts = [_read(case.source, case.mask, case.name) for case in cases]
    # Cases may share a background.
    targets = {case.name: case.target for case in cases}
    by_content = {sha256_of(path): path for _, path in sorted(targets.items(), reverse=True)}
    return cuts, [Background(path, picture_size(path)) for path in sorted(by_content.values())]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder; give one of pictures")
    inside = [path for path in folder.rglob("*") if path.suffix.lower() in PICTURES | {".pbm"} and path.is_file()]
    visible = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return sorted(visible, key=lambda path: path.relative_to(folder).as_posix())


def _cut(path: Path, folder: Path) -> Cut:
    beside = (path.with_name(path.stem + ending) for ending in _MASKS)
    mask = next((one for one in beside if one.is_file()), None)
    parts = path.relative_to(folder).parts
    return _read(path, mask, parts[0] if len(parts) > 1 else "object")


def _read(path: Path, mask: Path | None, category: str) -> Cut:
    picture = load_picture(path)
    if mask is None and picture.alpha is None:
        raise InputError(f"object '{path}' has neither alpha nor a mask; add '{path.stem}.mask.png'")
    solid = mask_of(picture, None if mask is None else load_mask(mask)) >= 0.5
    if not solid.any():
        raise InputError(f"the mask of object '{path}' is nowhere above half; paint the object white")
    return Cut(path, mask, category, _size(picture.pixels), _box(solid))


def _size(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _box(solid: Float | np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
