"""PNG files (third edition, W3C 2025): of 8 and 16 bits, read and written by libpng."""

from __future__ import annotations

import struct
import zlib
from itertools import starmap

import imagecodecs
import numpy as np

from deep_image_blending.pictures.depth import Pixels
from deep_image_blending.pictures.picture import Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADING_END = 33


def encode(pixels: Pixels, kept: Picture) -> bytes:
    """The file of (H, W, 3) uint8 or uint16, with the profile, the resolution and the metadata of `kept`."""
    # Of what is photographed, little recurs but runs: looking for more takes four times as long for nothing.
    data = imagecodecs.png_encode(
        np.ascontiguousarray(pixels),
        level=1,
        strategy=imagecodecs.PNG.STRATEGY.RLE,
        filter=imagecodecs.PNG.FILTER.PAETH,
    )
    described = b"".join(starmap(_chunk, _described_by(kept)))
    return bytes(data[:_HEADING_END] + described + data[_HEADING_END:])


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk: length, kind, body and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def bare(data: bytes) -> bytes:
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


def _described_by(kept: Picture) -> list[tuple[bytes, bytes]]:
    """Profile (iCCP), resolution (pHYs) and metadata (eXIf)."""
    chunks = []
    if kept.profile is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(kept.profile)))
    if kept.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in kept.dpi), 1)))
    if kept.exif is not None:
        chunks.append((b"eXIf", kept.exif.removeprefix(b"Exif\0\0")))
    return chunks
