"""Pictures, profiles and files that the tests make."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (7, 9, 3)).astype(np.uint16)
FLAT = (DEEP >> 8).astype(np.uint8)
ADOBE = bytes(
    imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3127, 0.3290, 1), primaries=(0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1), gamma=2.2
    )
)
LINEAR_SRGB = bytes(
    imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3127, 0.3290, 1), primaries=(0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1), gamma=1.0
    )
)
GREY_18 = bytes(imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.3290, 1), gamma=1.8))


def encoded_srgb(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, linear 0..1 -> encoded 0..1."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _to_xyz(primaries: list[tuple[float, float]]) -> np.ndarray:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


ADOBE_TO_XYZ = _to_xyz([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)])
SRGB_TO_XYZ = _to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    """Closed form of ADOBE -> sRGB, 0..1, clipped."""
    return encoded_srgb(values**2.2 @ np.linalg.solve(SRGB_TO_XYZ, ADOBE_TO_XYZ).T)


def srgb_to_adobe(values: np.ndarray) -> np.ndarray:
    """Closed form of sRGB -> ADOBE, 0..1."""
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return (light @ np.linalg.solve(ADOBE_TO_XYZ, SRGB_TO_XYZ).T).clip(0, 1) ** (1 / 2.2)


def ink_profile() -> bytes:
    """A CMYK profile of which the closed form is known: L* = 100 (1 - K) without C, M, Y; else darker; neutral."""
    corners = [
        0 if key else round(255 * (1 - (cyan + magenta + yellow) / 3))
        for cyan in (0, 1)
        for magenta in (0, 1)
        for yellow in (0, 1)
        for key in (0, 1)
    ]
    identity = struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4
    lut += b"".join(bytes((level, 128, 128)) for level in corners) + ramp * 3
    tag = b"A2B0" + struct.pack(">II", 144, len(lut))
    header = struct.pack(">I4xI4s4s4s12x4s", 144 + len(lut), 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I", 1) + tag + lut


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(rows: bytes, width: int, height: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG from filtered scan lines."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + png_chunk(b"IEND", b"")


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(stream, kind, **options)
    return stream.getvalue()
