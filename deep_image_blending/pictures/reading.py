"""Reading pictures and masks from files, arrays and PIL images."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from deep_image_blending.errors import InputError, reason_of
from deep_image_blending.pictures import formats, png
from deep_image_blending.pictures.bit_depth import Float, Pixels, as_integers, blocks
from deep_image_blending.pictures.colour import ink_to_rgb, is_srgb, to_srgb
from deep_image_blending.pictures.metadata import ORIENTATION, description, resolution, upright
from deep_image_blending.pictures.picture import DEFAULT_MAX_PIXELS, Picture
from deep_image_blending.pictures.raster import READ, Raster, refusing, require_size, split_alpha
from deep_image_blending.pictures.tiff import TIFF_SIGNATURES, read_tiff, tiff_size

Pictured = str | PathLike[str] | Image.Image | npt.NDArray[Any]

# Only decoders of pictures: Pillow's others run programs (EPS) or read what no camera or editor writes.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
_FIRST_FRAME = "it has more than one frame or page: the first was taken"
_FAINT = 0.1
_PIXEL, _DEEP_PIXEL = 24, 34
"""Bytes a pixel that decoding takes beside the file, at the most: of 8 bits a channel, and of more. Measured
(tests/runs/test_plan.py)."""

# Pillow's size limit, the warning filters and a logger's level belong to the whole process.
_decoding = threading.Lock()


def load_picture(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """A path, a PIL image or an array -> Picture.

    Arrays: (H, W), or (H, W, C) of C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; uint8, uint16, bool, or float in
    0..1 (kept at 16 bits). What of a file is left out is said in a warning and in `notes`. Raises
    InputError that names the file and the remedy.
    """
    path, raster, sha256 = _raster(pictured, max_pixels)
    with refusing(str(path)):
        return _in_colour(path, raster, sha256, max_pixels)


def read_picture(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a file. Raises InputError where it is missing, no picture, damaged, or larger than `max_pixels`.

    A damaged colour profile or damaged metadata are left out with a warning.
    """
    return load_picture(path, max_pixels=max_pixels)


def picture_size(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[int, int]:
    """(rows, columns) of a file, upright, from its heading alone. Raises InputError as `read_picture` does."""
    return picture_heading(path, max_pixels=max_pixels).size


@dataclass(frozen=True)
class Heading:
    """What a file's heading says.

    size: (rows, columns), upright. decoding: bytes that reading it takes at the most.
    """

    size: tuple[int, int]
    decoding: int


def picture_heading(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Heading:
    """A file's size and what reading it will take, before a pixel is decoded. Raises as `read_picture` does."""
    data, name = _bytes_of(path, max_pixels), str(path)
    with refusing(name), _quiet():
        if formats.is_jpeg_xl(data):
            (width, height), orientation = formats.jpeg_xl_size(data), 1
        elif data.startswith(TIFF_SIGNATURES):
            width, height, orientation = tiff_size(data)
        else:
            image = _opened(path, png.without_rows(data) if data.startswith(png.SIGNATURE) else data)
            width, height, orientation = *image.size, 1
            with suppress(Exception):
                # A PNG's own method decodes its rows before it looks.
                orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
        require_size(name, width, height, max_pixels)
    size = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    deep = data.startswith(TIFF_SIGNATURES) or (data.startswith(png.SIGNATURE) and data[24:25] == b"\x10")
    return Heading(size, len(data) + (_DEEP_PIXEL if deep else _PIXEL) * width * height)


def load_mask(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Float:
    """A path, a PIL image or an array -> (H, W) float32 in 0..1.

    Grey over the greatest value of its depth, without colour management; RGB by its luminance (ITU-R BT.601);
    times alpha. Where alpha varies and the rest is of one colour, or colourful, alpha is the mask: that is an
    object cut out. Where nothing is above level 1, that is white, with a warning; a mask that is faint everywhere
    is taken as it is, with another. Raises InputError as `load_picture` does.
    """
    path, raster, _ = _raster(pictured, max_pixels)
    with refusing(str(path)):
        if raster.frames > 1:
            warnings.warn(f"mask '{path}': {_FIRST_FRAME}", stacklevel=2)
        mask = _as_mask(path, raster)
    if 0 < mask.max() < _FAINT:
        level = round(float(mask.max()) * 255)
        warnings.warn(
            f"mask '{path}' reaches {level} of 255 at most: the object will hardly be seen; paint it white",
            stacklevel=2,
        )
    return mask


def _as_mask(path: Path, raster: Raster) -> Float:
    planes, alpha = raster.planes, raster.alpha
    if planes.shape[2] == 4:
        planes = ink_to_rgb(planes)
    if planes.max() == 1:
        # A label image: as a grey level, 1 is next to nothing.
        warnings.warn(f"mask '{path}' has the values 0 and 1 alone: 1 was taken for white", stacklevel=3)
        planes = planes * np.iinfo(planes.dtype).max
    grey = bool((planes[..., :1] == planes).all())
    if alpha is not None and alpha.min() < alpha.max() and (not grey or (planes == planes[:1, :1]).all()):
        return alpha
    weights = np.array([1.0] if planes.shape[2] == 1 else [1, 0, 0] if grey else [0.299, 0.587, 0.114])
    mask, most = np.empty(planes.shape[:2], np.float32), np.float32(np.iinfo(planes.dtype).max)
    for part in blocks(planes.shape):
        mask[part] = (planes[part] @ weights.astype(np.float32)) / most
        mask[part] = (mask[part] if alpha is None else mask[part] * alpha[part]).clip(0, 1)
    return mask


def _raster(pictured: Pictured, max_pixels: int) -> tuple[Path, Raster, str]:
    """Any picture -> its path, or what it is; its values; the SHA-256 of its bytes."""
    if isinstance(pictured, np.ndarray):
        planes, alpha = split_alpha("array", as_integers("array", pictured))
        return Path("array"), Raster(planes.copy(), alpha), _sha256(pictured)
    if isinstance(pictured, Image.Image):
        with refusing("image"):
            require_size("image", pictured.width, pictured.height, max_pixels)
            raster = _of_image("image", pictured)
        return Path("image"), raster, _sha256(raster.planes)
    path = Path(pictured)
    data, name = _bytes_of(path, max_pixels), str(path)
    with refusing(name), _quiet():
        raster = read_tiff(name, data, max_pixels) or _of_file(path, data, max_pixels)
    return path.absolute(), raster, hashlib.sha256(data).hexdigest()


def _sha256(array: npt.NDArray[Any]) -> str:
    heading = f"{array.shape} {array.dtype} ".encode()
    return hashlib.sha256(heading + array.tobytes()).hexdigest()


def _bytes_of(path: Path, max_pixels: int) -> bytes:
    # Four floats a pixel, uncompressed, and room for metadata.
    largest = 16 * max_pixels + 2**26
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"'{path}' is a folder; give a picture file")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"'{path}' is not a regular file; give a picture file")
        if status.st_size > largest:
            raise InputError(
                f"'{path}' has {status.st_size / 1e9:.1f} GB, more than {max_pixels / 1e6:.4g} megapixels need; "
                "if you mean it, raise the limit with --max-pixels"
            )
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"'{path}' does not exist; check the path") from error
    except PermissionError as error:
        raise InputError(f"'{path}' can't be read: permission denied; change its permissions") from error
    except OSError as error:
        reason = reason_of(error).lower()
        raise InputError(f"'{path}' can't be read: {reason}; check the path") from error
    except (ValueError, MemoryError) as error:
        raise InputError(f"{str(path)!r} can't be read: {error or 'out of memory'}; check the path") from error
    if not data:
        raise InputError(f"'{path}' is empty (0 bytes); give a picture file")
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """Decoders neither warn nor log, and leave the size limit to us."""
    loggers = [logging.getLogger(name) for name in ("tifffile", "PIL")]
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _of_file(path: Path, data: bytes, max_pixels: int) -> Raster:
    name = str(path)
    if formats.is_jpeg_xl(data):
        return formats.read_jpeg_xl(name, data, max_pixels)
    checked = png.checked(name, data, max_pixels) if data.startswith(png.SIGNATURE) else None
    image = _opened(path, data if checked is None else checked.data)
    require_size(name, image.width, image.height, max_pixels)
    if checked is None:
        return _of_image(name, image)
    raster = _of_image(name, image, checked.deep)
    profile = raster.profile if checked.profile is None else checked.profile
    return dataclasses.replace(raster, profile=profile, remarks=(*checked.remarks, *raster.remarks))


def _opened(path: Path, data: bytes) -> Image.Image:
    """The file's heading as Pillow reads it. Raises InputError for what is no picture."""
    name, kinds = str(path), [*_READABLE]
    if formats.is_heif(data):
        formats.register_heif(name)
        kinds.append("HEIF")
    elif formats.is_tga(path):
        kinds.append("TGA")
    try:
        return Image.open(io.BytesIO(data), formats=kinds)
    except UnidentifiedImageError:
        formats.refuse_unread(name, data)
        raise InputError(f"'{name}' is no picture that can be read; give {READ}") from None


def _of_image(name: str, image: Image.Image, deep: Pixels | None = None) -> Raster:
    """deep: the values of a 16-bit PNG."""
    remarks: tuple[str, ...] = ()
    if image.format == "TIFF":
        # Loading turns a TIFF upright, takes the orientation out of its metadata and closes them.
        with suppress(Exception):
            image.getexif()
    frames = 1
    # A phone's photograph has further pictures behind it (MPO) that no one would miss.
    with suppress(Exception):
        frames = 2 if image.format != "MPO" and getattr(image, "is_animated", False) else 1
    image.load()
    try:
        exif, orientation = description(image.getexif()), image.getexif().get(ORIENTATION, 1)
    except Exception:
        exif, orientation, remarks = None, 1, ("its metadata are damaged and were left out",)
    planes, alpha = _values(name, image, deep)
    planes, alpha = upright(planes, orientation), None if alpha is None else upright(alpha, orientation)
    dpi = resolution(image.info.get("dpi"), orientation)
    profile = None if image.mode == "LAB" else image.info.get("icc_profile")
    return Raster(planes, alpha, profile, exif, dpi, remarks, frames)


def _values(name: str, image: Image.Image, deep: Pixels | None) -> tuple[Pixels, Float | None]:
    """(H, W, 1), (H, W, 3) or (H, W, 4) as the file has them, and alpha."""
    if deep is not None:
        planes, alpha = split_alpha(name, deep)
        if (key := image.info.get("transparency")) is not None:
            alpha = (planes != np.array(key)).any(2).astype(np.float32)
        return planes, alpha
    mode = image.mode
    if mode == "I":
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise InputError(
                f"'{name}' has 32-bit levels {levels.min()}..{levels.max()}; give 8 or 16 bits a channel"
            )
        return levels.astype(np.uint16)[..., None], None
    if mode == "F" or mode.startswith("I;16"):
        return split_alpha(name, as_integers(name, np.asarray(image)))
    if mode == "CMYK":
        return np.array(image), None
    if mode == "LAB":
        colours = ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return np.array(colours), None
    if mode == "La":
        image = image.convert("LA")
    grey = mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        planes, alpha = split_alpha(name, np.array(image.convert("RGBA")))
        return (planes[..., :1] if grey else planes), alpha
    wanted = "L" if grey else "RGB"
    return split_alpha(name, np.array(image if mode == wanted else image.convert(wanted)))


def _in_colour(path: Path, raster: Raster, sha256: str, max_pixels: int) -> Picture:
    """The raster in sRGB. Grey and CMYK are converted for good; RGB keeps its profile."""
    planes, profile, remarks = raster.planes, raster.profile, list(raster.remarks)
    native = ink_to_rgb(planes) if planes.shape[2] == 4 else planes
    native = np.repeat(planes, 3, 2) if planes.shape[2] == 1 else native
    pixels, kept = native, None
    if profile:
        # A grey picture may carry an RGB profile.
        named = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",), 4: (b"CMYK",)}[planes.shape[2]]
        coloured = profile[16:20] == b"RGB "
        try:
            if profile[16:20] not in named:
                raise ValueError(f"it is for {profile[16:20]!r} colours")
            if not is_srgb(profile):
                pixels = to_srgb(native if coloured else planes, profile)
        except (RuntimeError, ValueError) as error:
            remarks.append(f"its colour profile can't be used ({error}) and was ignored")
        else:
            native, kept = (native, profile) if coloured else (pixels, None)
    if raster.frames > 1:
        remarks.append(_FIRST_FRAME)
    for remark in remarks:
        warnings.warn(f"'{path}': {remark}", stacklevel=3)
    return Picture(
        path,
        pixels,
        native,
        raster.alpha,
        kept,
        raster.exif,
        raster.dpi,
        sha256,
        notes=tuple(remarks),
        max_pixels=max_pixels,
    )
