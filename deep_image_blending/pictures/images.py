"""Reading and writing pictures safely: depth, orientation, colour profile and metadata kept."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write
from deep_image_blending.pictures import png

Pixels = npt.NDArray[Any]
"""uint8 or uint16."""
Float = npt.NDArray[np.float32]
Pictured = str | PathLike[str] | Image.Image | npt.NDArray[Any]

DEFAULT_MAX_PIXELS = 200_000_000
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
# Only decoders of pictures: Pillow's others run programs (EPS) or read what no camera or editor writes.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
_ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES = 274, 277, 278, 279
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _PREDICTOR, _ICC = 282, 283, 296, 317, 34675
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
# What describes the picture, not how this file lays it out: description, camera, resolution, program, date,
# artist, copyright, rating, the titles and keywords of Windows.
_DESCRIPTIVE = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 33432, 18246, 18249, *range(0x9C9B, 0x9CA0))
_STALE = (0xA002, 0xA003, _INTEROP_IFD)
_BLOCK = 1 << 20

# Pillow's size limit, the warning filters and a logger's level belong to the whole process.
_decoding = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    pixels: (H, W, 3) uint8 or uint16 in sRGB, upright. native: the same in the file's own RGB colour profile (is
    `pixels` itself where that is sRGB). alpha: (H, W) in 0..1 where the file has transparency. profile: the ICC
    profile of `native`; exif (orientation 1), dpi: kept for the output. sha256: of the file's bytes.
    """

    path: Path
    pixels: Pixels
    native: Pixels
    alpha: Float | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    sha256: str = ""


@dataclass(frozen=True)
class _Raster:
    """A file's own values, upright: (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) CMYK, uint8 or uint16."""

    planes: Pixels
    alpha: Float | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()


def load_picture(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """A path, a PIL image or an array -> Picture.

    Arrays: (H, W), or (H, W, C) of C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; uint8, uint16, bool, or float in
    0..1 (kept at 16 bits). Raises InputError that names the file and the remedy.
    """
    path, raster, sha256 = _raster(pictured, max_pixels)
    with _refusing(str(path)):
        return _picture(path, raster, sha256)


def read_picture(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a file. Raises InputError where it is missing, no picture, damaged, or larger than `max_pixels`.

    A damaged colour profile or damaged metadata are left out with a warning.
    """
    return load_picture(path, max_pixels=max_pixels)


def load_mask(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Float:
    """A path, a PIL image or an array -> (H, W) float32 in 0..1.

    Grey over the greatest value of its depth, without colour management; RGB by its luminance (ITU-R BT.601);
    times alpha. Where alpha varies and the rest is of one colour, or colourful, alpha is the mask: that is an
    object cut out. Where nothing is above level 1, that is white, with a warning. Raises InputError as
    `load_picture` does.
    """
    path, raster, _ = _raster(pictured, max_pixels)
    with _refusing(str(path)):
        planes, alpha = raster.planes, raster.alpha
        if planes.shape[2] == 4:
            planes = _ink_to_rgb(planes)
        if planes.max() == 1:
            # A label image: as a grey level, 1 is next to nothing.
            warnings.warn(f"mask '{path}' has the values 0 and 1 alone: 1 was taken for white", stacklevel=2)
            planes = planes * np.iinfo(planes.dtype).max
        grey = bool((planes[..., :1] == planes).all())
        if alpha is not None and alpha.min() < alpha.max() and (not grey or (planes == planes[:1, :1]).all()):
            return alpha
        weights = np.array([1.0] if planes.shape[2] == 1 else [1, 0, 0] if grey else [0.299, 0.587, 0.114])
        plane = (planes @ weights.astype(np.float32)) / np.float32(np.iinfo(planes.dtype).max)
        return np.asarray((plane if alpha is None else plane * alpha).clip(0, 1), np.float32)


def compose_like(
    target: Picture, result: Float, changed: npt.NDArray[np.bool_], top: int = 0, left: int = 0
) -> Pixels:
    """The array to write: `result` where `changed`, elsewhere the target's own pixels, bit for bit.

    result (h, w, 3) float, sRGB, 0..255; changed (h, w); top, left: where on the target they lie. In the target's
    depth and colour profile. A changed pixel that rounds to the target's sRGB value keeps the target's own, which
    sRGB may not reach.
    """
    written = target.native.copy()
    part = slice(top, top + changed.shape[0]), slice(left, left + changed.shape[1])
    maximum = np.iinfo(written.dtype).max
    values = np.rint(result[changed].clip(0, 255) * (maximum / 255)).astype(written.dtype)
    if target.native is not target.pixels and target.profile is not None:
        moved = (values != target.pixels[part][changed]).any(1)
        colours = result[changed][moved].clip(0, 255).astype(np.float32) / np.float32(255)
        values[~moved] = target.native[part][changed][~moved]
        values[moved] = _rounded(_converted(colours, _srgb(), target.profile), written.dtype)
    written[part][changed] = values
    return written


def in_srgb(written: Pixels, like: Picture) -> Pixels:
    """What reading a file of `written` (H, W, 3), in the depth and colour profile of `like`, gives in sRGB."""
    if like.native is like.pixels or like.profile is None:
        return written
    return _to_srgb(written, like.profile)


def write_picture(path: Path, pixels: Pixels, *, like: Picture | None = None) -> None:
    """Write (H, W, 3) uint8 or uint16, as `encode_picture` does, whole or not at all.

    Raises InputError as `check_writable` and `encode_picture` do; OSError where the disk fails.
    """
    check_writable(path)
    pieces, _ = encode_picture(path, pixels, like=like)
    with atomic_write(path) as file:
        file.writelines(pieces)


def encode_picture(
    path: Path, pixels: Pixels, *, like: Picture | None = None, known: png.Strips | None = None
) -> tuple[list[bytes], png.Strips]:
    """The file, in pieces, of (H, W, 3) uint8 or uint16 in the format of the path's extension.

    like: whose colour profile, metadata and resolution the file carries, as far as the format can (BMP: resolution
    only). JPEG is of quality 95 without colour subsampling, all others are lossless. Raises InputError for a
    format that can't hold the depth, the size or the profile.

    known: what came back, beside the pieces, with an earlier picture: a PNG takes over the strips that both have.
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
        return png.encode(pixels, _png_chunks(kept), known)
    if kind == "TIFF":
        return [_tiff_of(pixels, kept)], {}
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
    return [stream.getvalue()], {}


def check_writable(path: Path) -> None:
    """Raise InputError unless `path` has a known extension and lies in a folder that can be written to."""
    if path.suffix.lower() not in WRITABLE:
        raise InputError(f"'{path}': unknown picture format; use one of {', '.join(sorted(WRITABLE))}")
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a file name")
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"folder '{path.parent}' can't be written to; choose another, or change its permissions")


# Reading


def _raster(pictured: Pictured, max_pixels: int) -> tuple[Path, _Raster, str]:
    """Any picture -> its path, or what it is; its values; the SHA-256 of its bytes."""
    if isinstance(pictured, np.ndarray):
        planes, alpha = _split("array", _integers("array", pictured))
        return Path("array"), _Raster(planes.copy(), alpha), _sha256(pictured)
    if isinstance(pictured, Image.Image):
        with _refusing("image"):
            _limit("image", pictured.width, pictured.height, max_pixels)
            raster = _of_image("image", pictured, b"")
        return Path("image"), raster, _sha256(raster.planes)
    path = Path(pictured)
    data, name = _bytes_of(path, max_pixels), str(path)
    with _refusing(name), _quiet():
        raster = _of_tiff(name, data, max_pixels) or _of_file(name, data, max_pixels)
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
        reason = (error.strerror or type(error).__name__).lower()
        raise InputError(f"'{path}' can't be read: {reason}; check the path") from error
    except (ValueError, MemoryError) as error:
        raise InputError(f"{str(path)!r} can't be read: {error or 'out of memory'}; check the path") from error
    if not data:
        raise InputError(f"'{path}' is empty (0 bytes); give a picture file")
    return data


@contextmanager
def _refusing(name: str) -> Iterator[None]:
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
        raise InputError(
            f"'{name}' is no picture that can be read, or damaged ({reason}); give a PNG, JPEG, WebP, TIFF or BMP"
        ) from error


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


def _limit(name: str, width: int, height: int, max_pixels: int) -> None:
    if width <= 0 or height <= 0:
        raise InputError(f"'{name}' is {width}x{height}, without pixels; give a picture of at least 1x1")
    if width * height > max_pixels:
        raise InputError(
            f"'{name}' is {width}x{height}, {width * height / 1e6:.4g} megapixels, over the limit of "
            f"{max_pixels / 1e6:.4g}; if you mean it, raise the limit with --max-pixels"
        )


def _of_file(name: str, data: bytes, max_pixels: int) -> _Raster:
    try:
        image = Image.open(io.BytesIO(data), formats=_READABLE)
    except UnidentifiedImageError:
        raise InputError(f"'{name}' is no picture that can be read; give a PNG, JPEG, WebP, TIFF or BMP") from None
    _limit(name, image.width, image.height, max_pixels)
    return _of_image(name, image, data)


def _of_image(name: str, image: Image.Image, data: bytes) -> _Raster:
    remarks: tuple[str, ...] = ()
    if image.format == "TIFF":
        # Loading turns a TIFF upright, takes the orientation out of its metadata and closes them.
        with suppress(Exception):
            image.getexif()
    image.load()
    try:
        exif, orientation = _description(image.getexif()), image.getexif().get(_ORIENTATION, 1)
    except Exception:
        exif, orientation, remarks = None, 1, ("its metadata are damaged and were left out",)
    planes, alpha = _values(name, image, data)
    planes, alpha = _upright(planes, orientation), None if alpha is None else _upright(alpha, orientation)
    dpi = _resolution(image.info.get("dpi"), orientation)
    profile = None if image.mode == "LAB" else image.info.get("icc_profile")
    return _Raster(planes, alpha, profile, exif, dpi, remarks)


def _values(name: str, image: Image.Image, data: bytes) -> tuple[Pixels, Float | None]:
    """(H, W, 1), (H, W, 3) or (H, W, 4) as the file has them, and alpha."""
    if image.format == "PNG" and data[12:16] == b"IHDR" and data[24] == 16:
        import imagecodecs

        # Pillow cuts 16-bit colours to 8.
        planes, alpha = _split(name, np.asarray(imagecodecs.png_decode(_bare_png(data))))
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
        return _split(name, _integers(name, np.asarray(image)))
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
        planes, alpha = _split(name, np.array(image.convert("RGBA")))
        return (planes[..., :1] if grey else planes), alpha
    wanted = "L" if grey else "RGB"
    return _split(name, np.array(image if mode == wanted else image.convert(wanted)))


def _bare_png(data: bytes) -> bytes:
    """Without the chunks that libpng remarks upon on the terminal, and the colour key, which it gives as alpha."""
    chunks, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            chunks.append(data[at:end])
        at = end
    if data[26:28] != b"\0\0":
        raise ValueError("unknown compression or filter method")
    return b"".join(chunks)


def _of_tiff(name: str, data: bytes, max_pixels: int) -> _Raster | None:
    """A TIFF's first page; None for other files, and for the colour spaces that only Pillow converts.

    Pillow cuts a TIFF to 8 bits, and its decoder writes to the terminal when the file is damaged.
    """
    if data[:2] not in (b"II", b"MM"):
        return None
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        photometric, bits = int(page.photometric), page.bitspersample
        # Decoding JPEG's YCbCr gives RGB.
        colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3 if page.compression == 7 else 0}.get(photometric, 0)
        _limit(name, page.imagewidth, page.imagelength, max_pixels)
        if not colours <= page.samplesperpixel <= colours + 4 or page.imagedepth != 1:
            raise InputError(f"'{name}' has {page.samplesperpixel} channels; give a picture of 1 to 4")
        if not colours or page.dtype is None or not isinstance(bits, int):
            return None
        if page.tilewidth * page.tilelength > max(4 * max_pixels, 2**20):
            raise InputError(f"'{name}' is damaged (tiles of {page.tilewidth}x{page.tilelength} pixels)")
        # (planes, depth, H, W, channels), of which planes or channels is 1.
        array = page.asarray().reshape(page.shaped)[:, 0]
        array = np.moveaxis(array[..., 0], 0, 2) if len(array) > 1 else array[0]
        tags = {tag.code: tag.value for tag in page.tags.values() if tag.code in (_ORIENTATION, _ICC)}
        extra, palette = tuple(int(use) for use in page.extrasamples), page.colormap
    if photometric == 3:
        # Palettes have 16 bits, of which files of 8 use the upper ones.
        array = np.moveaxis((np.asarray(palette) >> 8).astype(np.uint8)[:, array[..., 0]], 0, 2)
        colours = 3
    elif array.dtype in (np.uint8, np.uint16) and bits < 8 * array.dtype.itemsize:
        array = np.rint(array * (np.iinfo(array.dtype).max / (2**bits - 1))).astype(array.dtype)
    values = _integers(name, array)
    planes, alpha = np.ascontiguousarray(values[..., :colours]), None
    if photometric == 0:
        planes = np.iinfo(values.dtype).max - planes
    # 1: alpha that the colours were multiplied by, 2: alpha beside them, 0: anything.
    if photometric != 3 and extra and extra[0] in (1, 2):
        alpha = _unit(values[..., colours])
        if extra[0] == 1:
            whole = _unit(planes) / np.maximum(alpha, np.float32(1 / 65535))[..., None]
            planes = _rounded(whole.astype(np.float32), planes.dtype)
    remarks: tuple[str, ...] = ()
    exif, dpi = None, None
    orientation = tags.get(_ORIENTATION, 1)
    try:
        metadata = Image.Exif()
        metadata.bigtiff, metadata.endian = file.is_bigtiff, file.byteorder
        metadata.load_from_fp(io.BytesIO(data), page.offset)
        exif = _description(metadata)
        inch = {2: 1.0, 3: 2.54}.get(metadata.get(_RESOLUTION_UNIT, 2), 0.0)
        pair = (metadata.get(_X_RESOLUTION, 0) * inch, metadata.get(_Y_RESOLUTION, 0) * inch)
        dpi = _resolution(pair, orientation)
    except Exception:
        remarks = ("its metadata are damaged and were left out",)
    alpha = None if alpha is None else _upright(alpha, orientation)
    return _Raster(_upright(planes, orientation), alpha, tags.get(_ICC), exif, dpi, remarks)


def _integers(name: str, array: npt.NDArray[Any]) -> Pixels:
    """Any depth as uint8 or uint16."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(array.dtype.newbyteorder("="))
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(f"'{name}' has values that are not finite (NaN or infinity); replace them")
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"'{name}' has floating-point values in {array.min():.4g}..{array.max():.4g}; scale them to 0..1"
            )
        return np.rint(array.astype(np.float64) * 65535).astype(np.uint16)
    raise InputError(f"'{name}' has values of type {array.dtype}; give 8 or 16 bits a channel, or floats in 0..1")


def _split(name: str, values: Pixels) -> tuple[Pixels, Float | None]:
    """(H, W), (H, W, 1..4) -> (H, W, 1 or 3) and alpha."""
    planes = values[..., None] if values.ndim == 2 else values
    if planes.ndim != 3 or planes.shape[2] not in (1, 2, 3, 4) or not planes.size:
        raise InputError(f"'{name}' of shape {values.shape} is no picture; give (H, W), (H, W, 3) or (H, W, 4)")
    alpha = None
    if planes.shape[2] in (2, 4):
        alpha, planes = _unit(planes[..., -1]), planes[..., :-1]
    return np.ascontiguousarray(planes), alpha


def _upright(array: npt.NDArray[Any], orientation: Any) -> npt.NDArray[Any]:
    """EXIF orientation 1..8 applied to the first two axes; another value is 1."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _description(read: Image.Exif) -> bytes | None:
    """The metadata that hold for the picture in any file, orientation 1, as an EXIF block; None without any."""
    kept = Image.Exif()
    kept.endian = read.endian
    for tag in _DESCRIPTIVE:
        if tag in read:
            kept[tag] = read[tag]
    for tag in (_EXIF_IFD, _GPS_IFD):
        # A dictionary where a program set it, a place in the file where it was read.
        found = read.get(tag)
        found = found if isinstance(found, dict) else read.get_ifd(tag)
        if entries := {key: value for key, value in found.items() if key not in _STALE}:
            kept[tag] = entries
    if not kept:
        return None
    kept[_ORIENTATION] = 1
    return kept.tobytes()


def _resolution(dpi: Any, orientation: Any) -> tuple[float, float] | None:
    """Pixels an inch along (width, height), of the upright picture."""
    try:
        pair = (float(dpi[0]), float(dpi[1]))
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    pair = pair[::-1] if orientation in (5, 6, 7, 8) else pair
    return pair if all(0 < value < 1e5 for value in pair) else None


# Colour


def _picture(path: Path, raster: _Raster, sha256: str) -> Picture:
    """The raster in sRGB. Grey and CMYK are converted for good; RGB keeps its profile."""
    planes, profile, remarks = raster.planes, raster.profile, list(raster.remarks)
    native = _ink_to_rgb(planes) if planes.shape[2] == 4 else planes
    native = np.repeat(planes, 3, 2) if planes.shape[2] == 1 else native
    pixels, kept = native, None
    if profile:
        # A grey picture may carry an RGB profile.
        named = {1: (b"GRAY", b"RGB "), 3: (b"RGB ",), 4: (b"CMYK",)}[planes.shape[2]]
        coloured = profile[16:20] == b"RGB "
        try:
            if profile[16:20] not in named:
                raise ValueError(f"it is for {profile[16:20]!r} colours")
            if not _is_srgb(profile):
                pixels = _to_srgb(native if coloured else planes, profile)
        except (RuntimeError, ValueError) as error:
            remarks.append(f"its colour profile can't be used ({error}) and was ignored")
        else:
            native, kept = (native, profile) if coloured else (pixels, None)
    for remark in remarks:
        warnings.warn(f"'{path}': {remark}", stacklevel=3)
    return Picture(path, pixels, native, raster.alpha, kept, raster.exif, raster.dpi, sha256)


@lru_cache(maxsize=1)
def _srgb() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    """Whether the profile changes no colour by more than 8 bits show: names tell less (there is a linear sRGB)."""
    ramp = np.linspace(0, 1, 18, dtype=np.float32)
    if profile[16:20] == b"CMYK":
        return False
    if profile[16:20] == b"GRAY":
        return bool(np.abs(_converted(ramp[:, None], profile, _srgb()) - ramp[:, None]).max() < 1 / 255)
    colours = np.stack(np.meshgrid(ramp, ramp, ramp), -1).reshape(-1, 3)
    return bool(np.abs(_converted(colours, profile, _srgb()) - colours).max() < 1 / 255)


def _converted(colours: Float, source: bytes, goal: bytes) -> Float:
    """(N, 1 or 3) in 0..1 from one ICC profile to another, relative colorimetric with black point compensation.

    In floating point: Little CMS's 16-bit path interpolates a grid, and is off by some levels of 8 bits.
    """
    given = colours[None] if colours.shape[1] == 3 else np.ascontiguousarray(colours.T)
    made = _transformed(given, source, goal, "rgb" if colours.shape[1] == 3 else "gray")
    return np.nan_to_num(np.asarray(made[0], np.float32)).clip(0, 1)


def _transformed(values: npt.NDArray[Any], source: bytes, goal: bytes, space: str) -> npt.NDArray[Any]:
    import imagecodecs

    intent = int(imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC)
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    return np.asarray(
        imagecodecs.cms_transform(
            values, source, goal, colorspace=space, outcolorspace="rgb", intent=intent, flags=flags
        )
    )


def _to_srgb(planes: Pixels, profile: bytes) -> Pixels:
    """(H, W, 1, 3 or 4) of a profile -> (H, W, 3) sRGB of the same depth."""
    height, width, channels = planes.shape
    if channels == 4:
        return _transformed(planes, profile, _srgb(), "cmyk")
    rows, made = max(1, _BLOCK // width), np.empty((height, width, 3), planes.dtype)
    for top in range(0, height, rows):
        colours = _unit(planes[top : top + rows]).reshape(-1, channels)
        made[top : top + rows] = _rounded(_converted(colours, profile, _srgb()), planes.dtype).reshape(
            -1, width, 3
        )
    return made


def _ink_to_rgb(planes: Pixels) -> Pixels:
    """CMYK without a profile: each ink and black take their share of the light, (1 - C) (1 - K)."""
    light = 1 - _unit(planes)
    return _rounded(light[..., :3] * light[..., 3:], planes.dtype)


def _unit(values: Pixels) -> Float:
    """uint8 or uint16 -> 0..1."""
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _rounded(values: Float, dtype: npt.DTypeLike) -> Pixels:
    """0..1 -> uint8 or uint16."""
    return np.rint(values.clip(0, 1) * np.float32(np.iinfo(np.dtype(dtype)).max)).astype(dtype)


# Writing: Pillow writes no 16-bit colours.


def _png_chunks(kept: Picture) -> list[tuple[bytes, bytes]]:
    """Profile (iCCP), resolution (pHYs) and metadata (eXIf)."""
    chunks = []
    if kept.profile is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(kept.profile)))
    if kept.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in kept.dpi), 1)))
    if kept.exif is not None:
        chunks.append((b"eXIf", kept.exif.removeprefix(b"Exif\0\0")))
    return chunks


def _tiff_of(pixels: Pixels, kept: Picture) -> bytes:
    """A TIFF of one deflated strip of (H, W, 3) uint8 or uint16.

    An EXIF block is a TIFF without a picture: with the picture's tags added and its data behind, it is one with.
    """
    tags = Image.Exif()
    if kept.exif is not None:
        tags.load(kept.exif)
    tags.endian = tags.endian or "<"
    height, width = pixels.shape[:2]
    # Horizontal differences (TIFF 6.0, section 14), modulo the depth.
    differences = np.diff(pixels, axis=1, prepend=pixels[:, :1] * 0)
    ordered = pixels.dtype.newbyteorder("<" if tags.endian == "<" else ">")
    strip = zlib.compress(differences.astype(ordered).tobytes(), 6)
    bits = 8 * pixels.dtype.itemsize
    tags[_WIDTH], tags[_HEIGHT], tags[_ROWS_PER_STRIP] = width, height, height
    tags[_BITS], tags[_SAMPLES], tags[_PHOTOMETRIC] = (bits, bits, bits), 3, 2
    tags[_COMPRESSION], tags[_PREDICTOR], tags[_STRIP_SIZES], tags[_STRIP_OFFSETS] = 8, 2, len(strip), 0
    if kept.dpi is not None:
        tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_RESOLUTION_UNIT] = *kept.dpi, 2
    if kept.profile is not None:
        tags[_ICC] = kept.profile
    # Pillow counts the strip's offset from where the tags and their data end.
    return tags.tobytes().removeprefix(b"Exif\0\0") + strip
