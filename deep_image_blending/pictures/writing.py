"""Writing pictures: depth, colour profile, metadata and resolution kept, whole or not at all."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write, require_writable
from deep_image_blending.pictures import png, tiff
from deep_image_blending.pictures.bit_depth import Pixels
from deep_image_blending.pictures.picture import Picture

WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_DEEP = ("PNG", "TIFF")
_LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383}
_LONGEST_JPEG_EXIF = 65_533


def write_picture(path: Path, pixels: Pixels, *, like: Picture | None = None) -> None:
    """Write (H, W, 3) uint8 or uint16, as `encode_picture` does, whole or not at all.

    Raises InputError as `check_writable` and `encode_picture` do; OSError where the disk fails.
    """
    check_writable(path)
    data = encode_picture(path, pixels, like=like)
    with atomic_write(path) as file:
        file.write(data)


def write_png(path: Path, values: npt.NDArray[Any]) -> None:
    """Write (H, W) grey, (H, W, 3) or (H, W, 4) with alpha, uint8 or uint16, as PNG, whole or not at all.

    Raises InputError for another extension, and as `check_writable` does; OSError where the disk fails.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"'{path}' is no PNG: what has alpha or grey alone is written as .png; change the name")
    check_writable(path)
    from imagecodecs import png_encode

    data = png_encode(np.ascontiguousarray(values), level=6)
    with atomic_write(path) as file:
        file.write(data)


def encode_picture(path: Path, pixels: Pixels, *, like: Picture | None = None) -> bytes:
    """The file of (H, W, 3) uint8 or uint16 in the format of the path's extension.

    like: whose colour profile, metadata and resolution the file carries, as far as the format can (BMP: resolution
    only); without it, a PNG names this program. JPEG is of quality 95 without colour subsampling, all others are
    lossless. Raises InputError for a format that can't hold the depth, the size or the profile.
    """
    kind = WRITABLE[path.suffix.lower()]
    kept = like if like is not None else Picture(path, pixels, pixels)
    height, width = pixels.shape[:2]
    if pixels.dtype == np.uint16 and kind not in _DEEP:
        raise InputError(f"'{path}' can't hold the target's 16 bits a channel; write a .png or .tif")
    if max(height, width) > _LONGEST_SIDE.get(kind, 2**31 - 1):
        raise InputError(f"'{path}': {kind} holds no side of {max(height, width)} pixels; write a .png or .tif")
    if kind == "BMP" and kept.native is not kept.pixels:
        raise InputError(f"'{path}' can't hold the target's colour profile; write a .png or .tif")
    pixels = np.ascontiguousarray(pixels)
    if kind == "PNG":
        return png.encode(pixels, like)
    if kind == "TIFF":
        return tiff.encode(pixels, kept)
    exif = kept.exif
    if kind == "JPEG" and exif is not None and len(exif) > _LONGEST_JPEG_EXIF:
        warnings.warn(f"'{path}': the target's metadata are too long for JPEG and were left out", stacklevel=2)
        exif = None
    settings: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    more = settings.get(kind, {})
    given = {"icc_profile": kept.profile, "exif": exif, "dpi": kept.dpi}
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **more, **{k: v for k, v in given.items() if v is not None})
    return stream.getvalue()


def check_writable(path: Path) -> None:
    """Raise InputError unless `path` has a known extension and is, or may become, a file that can be written."""
    if path.suffix.lower() not in WRITABLE:
        raise InputError(f"'{path}': unknown picture format; use one of {', '.join(sorted(WRITABLE))}")
    require_writable(path)


def check_unnamed(path: Path) -> None:
    """As `check_writable`, for a PNG that nobody named: only what this program has made is replaced there."""
    check_writable(path)
    if path.exists() and not png.names_us(path):
        raise InputError(
            f"'{path}' is there already, and not made by this command; give --output-file with another name, or "
            "with this one to replace it"
        )
