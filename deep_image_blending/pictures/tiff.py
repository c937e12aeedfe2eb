"""TIFF files: pages of any layout and depth are read, RGB of 8 and 16 bits is written."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import Pixels, as_integers, as_unit, from_unit
from deep_image_blending.pictures.metadata import (
    ORIENTATION,
    PROFILE,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    description,
    resolution,
    upright,
)
from deep_image_blending.pictures.picture import Picture
from deep_image_blending.pictures.raster import Raster, require_size

TIFF_SIGNATURES = (b"II", b"MM")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
_SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PREDICTOR = 277, 278, 279, 317


def read_tiff(name: str, data: bytes, max_pixels: int) -> Raster | None:
    """A TIFF's first page; None for other files, and for the colour spaces that only Pillow converts.

    Pillow cuts a TIFF to 8 bits, and its decoder writes to the terminal when the file is damaged.
    """
    if not data.startswith(TIFF_SIGNATURES):
        return None
    import tifffile

    with io.BytesIO(data) as stream, tifffile.TiffFile(stream) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        photometric, bits = int(page.photometric), page.bitspersample
        # Decoding JPEG's YCbCr gives RGB.
        colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3 if page.compression == 7 else 0}.get(photometric, 0)
        require_size(name, page.imagewidth, page.imagelength, max_pixels)
        if not colours <= page.samplesperpixel <= colours + 4 or page.imagedepth != 1:
            raise InputError(f"'{name}' has {page.samplesperpixel} channels; give a picture of 1 to 4")
        if not colours or page.dtype is None or not isinstance(bits, int):
            return None
        if page.tilewidth * page.tilelength > max(4 * max_pixels, 2**20):
            raise InputError(f"'{name}' is damaged (tiles of {page.tilewidth}x{page.tilelength} pixels)")
        # (planes, depth, H, W, channels), of which planes or channels is 1.
        array = page.asarray().reshape(page.shaped)[:, 0]
        array = np.moveaxis(array[..., 0], 0, 2) if len(array) > 1 else array[0]
        tags = {tag.code: tag.value for tag in page.tags.values() if tag.code in (ORIENTATION, PROFILE)}
        # Previews and masks of the first page are no pages of their own.
        frames = sum(1 for one in file.pages if not getattr(one, "subfiletype", 0)) if len(file.pages) > 1 else 1
        extra, palette = tuple(int(use) for use in page.extrasamples), page.colormap
    if photometric == 3:
        # Palettes are written in 16 bits, of which only the upper 8 are sure: some writers leave the lower ones 0.
        array = np.moveaxis((np.asarray(palette) >> 8).astype(np.uint8)[:, array[..., 0]], 0, 2)
        colours = 3
    elif array.dtype in (np.uint8, np.uint16) and bits < 8 * array.dtype.itemsize:
        array = np.rint(array * (np.iinfo(array.dtype).max / (2**bits - 1))).astype(array.dtype)
    values = as_integers(name, array)
    planes, alpha = np.ascontiguousarray(values[..., :colours]), None
    if photometric == 0:
        planes = np.iinfo(values.dtype).max - planes
    # 1: alpha that the colours were multiplied by, 2: alpha beside them, 0: anything.
    if photometric != 3 and extra and extra[0] in (1, 2):
        alpha = as_unit(values[..., colours])
        if extra[0] == 1:
            whole = as_unit(planes) / np.maximum(alpha, np.float32(1 / 65535))[..., None]
            planes = from_unit(whole.astype(np.float32), planes.dtype)
    remarks: tuple[str, ...] = ()
    exif, dpi = None, None
    orientation = tags.get(ORIENTATION, 1)
    try:
        metadata = Image.Exif()
        metadata.bigtiff, metadata.endian = file.is_bigtiff, file.byteorder
        metadata.load_from_fp(io.BytesIO(data), page.offset)
        exif = description(metadata)
        inch = {2: 1.0, 3: 2.54}.get(metadata.get(RESOLUTION_UNIT, 2), 0.0)
        pair = (metadata.get(X_RESOLUTION, 0) * inch, metadata.get(Y_RESOLUTION, 0) * inch)
        dpi = resolution(pair, orientation)
    except Exception:
        remarks = ("its metadata are damaged and were left out",)
    alpha = None if alpha is None else upright(alpha, orientation)
    return Raster(upright(planes, orientation), alpha, tags.get(PROFILE), exif, dpi, remarks, frames)


def tiff_size(data: bytes) -> tuple[int, int, int]:
    """(width, height, orientation) of the first page as it is stored."""
    import tifffile

    with io.BytesIO(data) as stream, tifffile.TiffFile(stream) as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        turned = page.tags.get(ORIENTATION)
        return page.imagewidth, page.imagelength, 1 if turned is None else int(turned.value)


def encode(pixels: Pixels, kept: Picture) -> bytes:
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
        tags[X_RESOLUTION], tags[Y_RESOLUTION], tags[RESOLUTION_UNIT] = *kept.dpi, 2
    if kept.profile is not None:
        tags[PROFILE] = kept.profile
    # Pillow counts the strip's offset from where the tags and their data end.
    return tags.tobytes().removeprefix(b"Exif\0\0") + strip
