"""Reading and writing pictures safely: depth, orientation, colour profile and metadata kept."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps
from scipy import ndimage

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write

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
_DEEP = (".png", ".tif", ".tiff")
_ORIENTATION, _ICC = 0x0112, 0x8773
_CUBE = 33


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    pixels: (H, W, 3) uint8 or uint16 in sRGB, upright. native: the same in the file's own colour profile (is
    `pixels` itself where that is sRGB). alpha: (H, W) in 0..1 where the file has transparency. profile, exif,
    dpi: kept for the output. sha256: of the file's bytes.
    """

    path: Path
    pixels: Pixels
    native: Pixels
    alpha: Float | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    sha256: str = ""


def load_picture(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """A path, a PIL image or an array -> Picture.

    Arrays: (H, W), (H, W, 3) or (H, W, 4); uint8, uint16, bool, or float in 0..1 (kept at 16 bits).
    Raises InputError that names the file and the remedy.
    """
    if isinstance(pictured, np.ndarray):
        return _of_array(Path("array"), pictured)
    if isinstance(pictured, Image.Image):
        return _of_image(Path("image"), pictured.copy(), b"", _orientation(pictured))
    return read_picture(Path(pictured), max_pixels=max_pixels)


def load_mask(pictured: Pictured, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Float:
    """A path, a PIL image or an array -> (H, W) float32 in 0..1.

    Grey over the greatest value of its depth; colours by their luminance, times alpha. A picture of one colour
    with transparency is a mask in its alpha channel.
    """
    picture = load_picture(pictured, max_pixels=max_pixels)
    pixels, scale = picture.native, np.iinfo(picture.native.dtype).max
    grey = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all()
    if picture.alpha is not None and (pixels == pixels[:1, :1]).all():
        return picture.alpha
    weights = np.array([1, 0, 0] if grey else [0.299, 0.587, 0.114], np.float32)
    plane = (pixels.astype(np.float32) @ weights) / np.float32(scale)
    plane = plane if picture.alpha is None else plane * picture.alpha
    return np.asarray(plane.clip(0, 1), np.float32)


def read_picture(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read a file. Raises InputError where it is missing, no picture, damaged, or larger than `max_pixels`."""
    data = _bytes_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                if data[:4] in (b"II*\0", b"MM\0*") and (deep := _deep_tiff(path, data, max_pixels)) is not None:
                    return deep
                image = Image.open(io.BytesIO(data))
                _limit(path, image.width, image.height, max_pixels)
                # Pillow turns a TIFF upright, and forgets how it lay, while loading.
                orientation = _orientation(image)
                image.load()
                picture = _of_image(path.absolute(), image, data, orientation)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"'{path}' does not fit into memory; give a smaller picture") from error
    except Exception as error:
        # Decoders raise whatever a damaged file leads them to.
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(
            f"'{path}' is no picture that can be read, or damaged ({reason}); give a PNG, JPEG, WebP, TIFF or BMP"
        ) from error
    return picture


def compose_like(target: Picture, result: Float, changed: npt.NDArray[np.bool_]) -> Pixels:
    """The array to write: `result` where `changed`, elsewhere the target's own pixels, bit for bit.

    result (H, W, 3) float, sRGB, 0..255; changed (H, W). In the target's depth and colour profile.
    """
    written = target.native.copy()
    scale = 257 if written.dtype == np.uint16 else 1
    values = np.rint(result[changed].clip(0, 255) * scale).astype(written.dtype)
    if target.native is not target.pixels and target.profile is not None and values.size:
        values = _converted(values[None], _srgb(), _profile(target.profile))[0]
    written[changed] = values
    return written


def write_picture(path: Path, pixels: Pixels, *, like: Picture | None = None) -> None:
    """Write (H, W, 3) uint8 or uint16, format by extension, whole or not at all.

    like: whose colour profile, metadata and resolution the file carries. JPEG is written at quality 95 without
    colour subsampling, WebP lossless. Raises InputError for a format that is unknown, or too shallow for 16 bits.
    """
    check_writable(path)
    extension = path.suffix.lower()
    profile = like.profile if like is not None else None
    exif = like.exif if like is not None else None
    dpi = like.dpi if like is not None else None
    if pixels.dtype == np.uint16:
        if extension not in _DEEP:
            raise InputError(f"'{path}' can't hold the target's 16 bits a channel; write a .png or .tif")
        data = _png_of(pixels, profile, exif) if extension == ".png" else _tiff_of(pixels, profile)
    else:
        settings: dict[str, dict[str, Any]] = {
            "JPEG": {"quality": 95, "subsampling": 0},
            "WEBP": {"lossless": True},
            "PNG": {"compress_level": 4},
        }
        more = dict(settings.get(WRITABLE[extension], {}))
        kept = {"icc_profile": profile, "exif": exif, "dpi": dpi}
        more.update({key: value for key, value in kept.items() if value is not None})
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, WRITABLE[extension], **more)
        data = stream.getvalue()
    with atomic_write(path) as file:
        file.write(data)


def check_writable(path: Path) -> None:
    """Raise InputError unless `path` has a known extension and lies in a folder."""
    if path.suffix.lower() not in WRITABLE:
        raise InputError(f"'{path}': unknown picture format; use one of {', '.join(sorted(WRITABLE))}")
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a file name")
    if not path.parent.is_dir():
        raise InputError(f"folder '{path.parent}' does not exist; make it first")


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"'{path}' is a folder; give a picture file") from error
    except OSError as error:
        raise InputError(f"'{path}' can't be read: {(error.strerror or 'error').lower()}") from error
    except ValueError as error:
        raise InputError(f"'{path!s}' is not a path: {error}") from error
    if not data:
        raise InputError(f"'{path}' is empty (0 bytes); give a picture file")
    return data


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _of_image(path: Path, image: Image.Image, data: bytes, orientation: int) -> Picture:
    exif = image.getexif()
    profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    deep = _deep_pixels(path, image, data)
    alpha: Float | None = None
    if deep is not None:
        pixels, alpha = deep
        pixels = _upright(pixels, orientation)
        alpha = None if alpha is None else _upright(alpha, orientation)
    else:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
        if image.mode in ("CMYK", "LAB", "YCbCr") and profile and _profile(profile) is not None:
            converted = ImageCms.profileToProfile(image, _profile(profile), _srgb(), outputMode="RGB")
            assert converted is not None
            image = converted
            profile = None
        elif image.mode == "CMYK":
            profile = None
        pixels = np.array(image.convert("RGB"))
    if not pixels.size:
        raise InputError(f"'{path}' has no pixels; give a picture of at least 1x1")
    exif[_ORIENTATION] = 1
    kept = exif.tobytes() if len(exif) > 1 else None
    native, pixels, profile = _through_profile(path, pixels, profile)
    sha256 = hashlib.sha256(data).hexdigest() if data else ""
    return Picture(path, pixels, native, alpha, profile, kept, _resolution(dpi), sha256)


def _resolution(dpi: Any) -> tuple[float, float] | None:
    try:
        pair = (float(dpi[0]), float(dpi[1]))
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return pair if all(0 < value < 1e5 for value in pair) else None


def _of_array(path: Path, array: npt.NDArray[Any]) -> Picture:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise InputError(f"an array of shape {array.shape} is not a picture; give (H, W), (H, W, 3) or (H, W, 4)")
    values = _integers("array", array)
    pixels, alpha = _split(values)
    return Picture(path, pixels, pixels, alpha, sha256=hashlib.sha256(array.tobytes()).hexdigest())


def _integers(name: str, array: npt.NDArray[Any]) -> Pixels:
    """Any depth as uint8 or uint16."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype in (np.uint8, np.uint16):
        return array
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(f"'{name}' has values that are not finite (NaN or infinity); replace them")
        if array.size and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"'{name}' has floating-point values in {array.min():.4g}..{array.max():.4g}; scale them to 0..1"
            )
        return np.rint(array.astype(np.float64) * 65535).astype(np.uint16)
    if np.issubdtype(array.dtype, np.integer) and array.size and array.min() >= 0 and array.max() <= 65535:
        return array.astype(np.uint16)
    raise InputError(f"'{name}' has values of type {array.dtype}; give 8 or 16 bits a channel, or floats in 0..1")


def _split(values: Pixels) -> tuple[Pixels, Float | None]:
    """(H, W), (H, W, 1..4) -> (H, W, 3) and alpha."""
    planes = values[..., None] if values.ndim == 2 else values
    alpha = None
    if planes.shape[2] in (2, 4):
        alpha = planes[..., -1].astype(np.float32) / np.float32(np.iinfo(planes.dtype).max)
        planes = planes[..., :-1]
    if planes.shape[2] == 1:
        planes = np.repeat(planes, 3, 2)
    return np.ascontiguousarray(planes[..., :3]), alpha


def _deep_pixels(path: Path, image: Image.Image, data: bytes) -> tuple[Pixels, Float | None] | None:
    """Pixels of more than 8 bits, which Pillow would cut; None where there are none."""
    if image.format == "PNG" and len(data) > 25 and data[24] == 16:
        import imagecodecs

        if data[25] == 3:
            return None
        return _split(np.asarray(imagecodecs.png_decode(data)))
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _split(_integers(str(path), np.asarray(image)))
    return None


def _deep_tiff(path: Path, data: bytes, max_pixels: int) -> Picture | None:
    """A TIFF of more than 8 bits, read by tifffile; None for others."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        if page.dtype is None or page.dtype in (np.uint8, np.bool_) or page.photometric not in (0, 1, 2):
            return None
        _limit(path, page.imagewidth, page.imagelength, max_pixels)
        array = page.asarray()
        orientation, profile = page.tags.get(_ORIENTATION), page.tags.get(_ICC)
    if array.ndim == 3 and page.planarconfig == 2:
        array = np.moveaxis(array, 0, 2)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
        raise InputError(f"'{path}' has {array.shape} values: not a picture of 1 to 4 channels")
    values = _integers(str(path), array)
    pixels, alpha = _split(np.iinfo(values.dtype).max - values if page.photometric == 0 else values)
    turn = int(orientation.value) if orientation is not None else 1
    pixels = _upright(pixels, turn)
    native, pixels, kept = _through_profile(path, pixels, profile.value if profile is not None else None)
    alpha = None if alpha is None else _upright(alpha, turn)
    return Picture(path.absolute(), pixels, native, alpha, kept, sha256=hashlib.sha256(data).hexdigest())


def _limit(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InputError(
            f"'{path}' is {width}x{height}, {width * height / 1e6:.0f} megapixels, over the limit of "
            f"{max_pixels / 1e6:.0f}; if you mean it, raise the limit with --max-pixels"
        )


def _through_profile(path: Path, native: Pixels, profile: bytes | None) -> tuple[Pixels, Pixels, bytes | None]:
    """(native, sRGB pixels, profile to keep); the two are one array where no conversion is needed."""
    if not profile or _is_srgb(profile):
        return native, native, profile
    own = _profile(profile)
    if own is None:
        warnings.warn(f"'{path}': its colour profile is damaged and was ignored", stacklevel=2)
        return native, native, None
    if own.profile.xcolor_space.strip() != "RGB":
        # A grey profile: its pixels were read as grey, and sRGB's own curve is close.
        return native, native, None
    return native, _converted(native, own, _srgb()), profile


def _upright(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """EXIF orientation 1..8 applied to the first two axes."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _srgb() -> Any:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _profile(data: bytes) -> Any:
    """A parsed profile, or None where it is damaged."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return None


def _is_srgb(data: bytes) -> bool:
    own = _profile(data)
    try:
        return own is not None and "srgb" in ImageCms.getProfileDescription(own).lower()
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError):
        return False


def _converted(pixels: Pixels, source: Any, goal: Any) -> Pixels:
    """(H, W, 3) from one RGB profile to another. 16 bits go through an interpolated colour cube."""
    if pixels.dtype == np.uint8:
        image = ImageCms.profileToProfile(Image.fromarray(pixels), source, goal, outputMode="RGB")
        assert image is not None
        return np.array(image)
    levels = np.rint(np.linspace(0, 255, _CUBE)).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(_CUBE, -1, 3)
    mapped = _converted(cube, source, goal).reshape(_CUBE, _CUBE, _CUBE, 3).astype(np.float32)
    places = np.interp(pixels.reshape(-1, 3) / 257.0, levels, np.arange(_CUBE)).T
    planes = [ndimage.map_coordinates(mapped[..., i], places, order=1) for i in range(3)]
    return np.rint(np.stack(planes, -1).reshape(pixels.shape) * 257).clip(0, 65535).astype(np.uint16)


def _png_of(pixels: npt.NDArray[np.uint16], profile: bytes | None, exif: bytes | None) -> bytes:
    """A 16-bit RGB PNG with its profile and metadata: Pillow writes none."""
    import imagecodecs

    encoded = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=4))
    chunks = b""
    if profile is not None:
        chunks += _chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    # The signature has 8 bytes and IHDR 25; both chunks belong between it and the data.
    return encoded[:33] + chunks + encoded[33:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _tiff_of(pixels: npt.NDArray[np.uint16], profile: bytes | None) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb", compression="zlib", iccprofile=profile)
    return stream.getvalue()
