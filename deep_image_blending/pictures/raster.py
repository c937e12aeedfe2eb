"""What a decoder gives: a file's own values, before colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import Float, Pixels, as_unit

READ = "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM, AVIF, JPEG 2000, JPEG XL, TGA or HEIC"
"""What is read, in words."""


@dataclass(frozen=True)
class Raster:
    """A file's own values, upright: (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) CMYK, uint8 or uint16.

    frames: pictures in the file, of which this is the first; remarks: what of the file was left out.
    """

    planes: Pixels
    alpha: Float | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()
    frames: int = 1


def split_alpha(name: str, values: Pixels) -> tuple[Pixels, Float | None]:
    """(H, W), (H, W, 1..4) -> (H, W, 1 or 3) and alpha."""
    planes = values[..., None] if values.ndim == 2 else values
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4) or not planes.size:
        raise InputError(f"'{name}' of shape {values.shape} is no picture; give (H, W), (H, W, 3) or (H, W, 4)")
    alpha = None
    if planes.shape[2] in (2, 4):
        alpha, planes = as_unit(planes[..., -1]), planes[..., :-1]
    return np.ascontiguousarray(planes), alpha


def require_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Raise InputError for a picture without pixels, or of more than `max_pixels`."""
    if width <= 0 or height <= 0:
        raise InputError(f"'{name}' is {width}x{height}, without pixels; give a picture of at least 1x1")
    if width * height > max_pixels:
        raise InputError(
            f"'{name}' is {width}x{height}, {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_pixels / 1e6:.4g}; if you mean it, raise the limit with --max-pixels"
        )


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Whatever a decoder raises on a damaged file becomes an InputError of one line."""
    try:
        yield
    except (InputError, Warning):
        raise
    except MemoryError as error:
        raise InputError(f"'{name}' does not fit into memory; give a smaller picture") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        # Pillow names the buffer that it was given.
        reason = type(error).__name__ if not reason or "BytesIO" in reason else reason
        raise InputError(f"'{name}' is no picture that can be read, or damaged ({reason}); give {READ}") from error
