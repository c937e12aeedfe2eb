"""Formats beyond Pillow's own: how a file is told, which library reads it, what to do with one that none reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import as_integers
from deep_image_blending.pictures.raster import Raster, require_size, split_alpha

_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UNREAD = {
    b"8BPS": "a Photoshop document",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"gimp xcf": "a GIMP document",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"<svg": "an SVG drawing",
}
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def is_jpeg_xl(data: bytes) -> bool:
    return data.startswith(_JPEG_XL)


def is_heif(data: bytes) -> bool:
    """HEIF with HEVC inside, as phones write it (.heic); AVIF is another."""
    brands = data[8 : max(16, int.from_bytes(data[:4], "big"))][:64]
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF and b"avif" not in brands


def is_tga(path: Path) -> bool:
    """By its name: a TGA file has no signature."""
    return path.suffix.lower() in (".tga", ".icb", ".vda", ".vst")


def refuse_unread(name: str, data: bytes) -> None:
    """Raise InputError for a known kind of file that nothing here reads, with the way to one that is read."""
    start = data[:256].lstrip()
    for signature, kind in _UNREAD.items():
        if start.startswith(signature) or (
            signature == b"<svg" and start[:5] == b"<?xml" and signature in data[:2048]
        ):
            raise InputError(
                f"'{name}' is {kind}, no picture that can be read; export it as PNG, or convert it: "
                "magick IN OUT.png (ImageMagick)"
            )


def register_heif(name: str) -> None:
    """Let Pillow read HEIC. Raises InputError where the library is not installed."""
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"'{name}' is HEIC, which needs a library more: pip install 'deep-image-blending[formats]'; "
            "or convert it: magick IN OUT.png (ImageMagick)"
        ) from None
    pillow_heif.register_heif_opener()


def read_jpeg_xl(name: str, data: bytes, max_pixels: int) -> Raster:
    """A JPEG XL's first frame, upright. Its colours are taken for sRGB."""
    import imagecodecs

    require_size(name, *jpeg_xl_size(data), max_pixels)
    values = np.asarray(imagecodecs.jpegxl_decode(data, index=0))
    planes, alpha = split_alpha(name, as_integers(name, values))
    return Raster(planes, alpha)


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """(width, height) from the heading of the codestream (ISO/IEC 18181-1, D.2). Raises ValueError."""
    heading = _codestream(data)[2:18]
    if len(heading) < 8:
        raise ValueError("cut off in its heading")
    bits = int.from_bytes(heading, "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        return height * over // under, height
    return side(), height


def _codestream(data: bytes) -> bytes:
    """The first bytes of it: bare, or in the boxes `jxlc` or `jxlp` of a file."""
    at = 0 if data.startswith(_JPEG_XL[1]) else len(data)
    while at + 16 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        begin = at + (16 if length == 1 else 8)
        if kind in (b"jxlc", b"jxlp"):
            begin += 4 if kind == b"jxlp" else 0
            return data[begin : begin + 32]
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:
            raise ValueError("a box without a length")
        at += length
    if not data.startswith(_JPEG_XL[0]):
        raise ValueError("no codestream")
    return data[:32]
