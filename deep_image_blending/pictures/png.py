"""PNG files (third edition, W3C 2025): of 8 and 16 bits, read and written by libpng."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path

import numpy as np

from deep_image_blending.pictures.bit_depth import Pixels
from deep_image_blending.pictures.picture import Picture
from deep_image_blending.pictures.raster import require_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAKER = b"Software\0deep-image-blending"
_HEADING_END = 33
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row and column, and the steps to the next, of the seven passes of an interlaced picture.
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_PIECE = 1 << 20
# Pillow refuses a picture for a longer text or profile.
_LONGEST_TEXT, _ALL_TEXT, _LONGEST_PROFILE = 1 << 20, 1 << 25, 1 << 25
_SRGB_GAMMA = 45_455


def encode(pixels: Pixels, kept: Picture | None) -> bytes:
    """The file of (H, W, 3) uint8 or uint16, with the profile, the resolution and the metadata of `kept`.

    None: what is no picture of the user's, such as a preview. It names this program in place of them.
    """
    import imagecodecs

    # Of what is photographed, little recurs but runs: looking for more takes four times as long for nothing.
    data = imagecodecs.png_encode(
        np.ascontiguousarray(pixels),
        level=1,
        strategy=imagecodecs.PNG.STRATEGY.RLE,
        filter=imagecodecs.PNG.FILTER.PAETH,
    )
    described = b"".join(starmap(_chunk, [(b"tEXt", _MAKER)] if kept is None else _described_by(kept)))
    if not described:
        return bytes(data)
    return b"".join((data[:_HEADING_END], described, memoryview(data)[_HEADING_END:]))


def names_us(path: Path) -> bool:
    """Whether a file is a PNG that names this program, as `encode` writes it."""
    with path.open("rb") as stream:
        return stream.read(_HEADING_END + 12 + len(_MAKER)).endswith(_chunk(b"tEXt", _MAKER))


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk: length, kind, body and checksum."""
    checksum = struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    return b"".join((struct.pack(">I", len(body)), kind, body, checksum))


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


def checked(name: str, data: bytes, max_pixels: int) -> Checked:
    """A PNG whose chunks and rows are whole. Raises InputError for its size, ValueError for its damage.

    Decoders fill what is missing with black, and some read on past a wrong checksum.
    """
    if data[12:16] != b"IHDR" or len(data) < _HEADING_END:
        raise ValueError("no heading")
    heading = _Heading.of(data)
    if heading.width and heading.height:
        require_size(name, heading.width, heading.height, max_pixels)
    found = shortened(data)
    rows = _rows(heading, [body for kind, body, _ in _chunks(data) if kind == b"IDAT"])
    return found if rows is None else dataclasses.replace(found, deep=_deep(heading, rows))


def shortened(data: bytes) -> Checked:
    """A PNG as Pillow takes it: without the texts and the profile that are too long. No row is looked at.

    Raises ValueError for a damaged chunk.
    """
    kept: list[bytes | memoryview] = [data[:8]]
    remarks: list[str] = []
    found: dict[bytes, bytes] = {}
    large: bytes | None = None
    text, left_out = 0, False
    for kind, body, whole in _chunks(data):
        size = _unpacked_size(kind, body) if kind in (b"tEXt", b"zTXt", b"iTXt") else 0
        text += size
        if size > _LONGEST_TEXT or text > _ALL_TEXT:
            text, left_out = text - size, True
            remarks.append("a text in it is too long and was left out")
            continue
        if kind == b"iCCP" and _unpacked_size(kind, body) > _LONGEST_TEXT:
            large, left_out = _profile(body), True
            continue
        if kind in (b"iCCP", b"sRGB", b"gAMA"):
            found[kind] = bytes(body)
        kept.append(whole)
    gamma = int.from_bytes(found.get(b"gAMA", b""), "big")
    if gamma and abs(gamma - _SRGB_GAMMA) > 500 and not large and not found.keys() & {b"iCCP", b"sRGB"}:
        remarks.append(f"its gamma of {100_000 / gamma:.3g} was ignored: it is read as sRGB")
    file = b"".join(kept) if left_out else data
    return Checked(file, None, large, tuple(dict.fromkeys(remarks)))


def without_rows(data: bytes) -> bytes:
    """A PNG's heading and metadata, also those behind its rows. Raises ValueError for a damaged chunk."""
    rows = (b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")
    described = [whole for kind, _, whole in _chunks(data) if kind not in rows]
    return shortened(b"".join((data[:8], *described, _chunk(b"IDAT", b""), _chunk(b"IEND", b"")))).data


@dataclass(frozen=True)
class Checked:
    """data: the file without what is too long for Pillow. deep: the values (H, W[, C]) of 16 bits, which Pillow
    cuts to 8. profile: a colour profile that is too long for Pillow. remarks: what was left out.
    """

    data: bytes
    deep: Pixels | None
    profile: bytes | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Heading:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @classmethod
    def of(cls, data: bytes) -> _Heading:
        width, height, depth, colour, packing, filters, order = struct.unpack(">IIBBBBB", data[16:29])
        if colour not in _CHANNELS or packing or filters or order > 1:
            raise ValueError("unknown colour type, compression, filter or order")
        return cls(width, height, depth, colour, bool(order))

    def passes(self) -> Iterator[tuple[slice, slice, int, int]]:
        """Rows and columns of the picture that a pass holds, and how many."""
        for top, left, down, across in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(self.height - top) // down), -(-(self.width - left) // across)
            if rows > 0 and columns > 0:
                yield slice(top, None, down), slice(left, None, across), rows, columns

    def length(self, rows: int, columns: int) -> int:
        """Bytes of a pass: each row begins with its filter."""
        return rows * (1 + (columns * _CHANNELS[self.colour] * self.depth + 7) // 8)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Kind, body and the whole of each, to the end or to where the file is cut."""
    view, at, kind = memoryview(data), 8, b""
    while kind != b"IEND" and at + 12 <= len(data):
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        if end > len(data):
            return
        kind = bytes(view[at + 4 : at + 8])
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ValueError(f"wrong checksum of {kind.decode('ascii', 'replace')!r}")
        yield kind, view[at + 8 : end - 4], view[at:end]
        at = end


def _rows(heading: _Heading, bodies: list[memoryview]) -> bytes | None:
    """The filtered rows of a 16-bit picture; None for others, whose rows are counted alone."""
    expected = sum(heading.length(rows, columns) for _, _, rows, columns in heading.passes())
    unpacker, count, pieces = zlib.decompressobj(), 0, []
    for body in bodies:
        rest: bytes | memoryview = body
        while len(rest) and count < expected and not unpacker.eof:
            piece = unpacker.decompress(rest, min(_PIECE, expected - count))
            count, rest = count + len(piece), unpacker.unconsumed_tail
            if heading.depth == 16:
                pieces.append(piece)
    if count < expected:
        raise ValueError(f"cut off: {count} of {expected} bytes of its rows")
    return b"".join(pieces) if heading.depth == 16 else None


def _deep(heading: _Heading, rows: bytes) -> Pixels:
    """The values (H, W[, C]) uint16. libpng, which remarks upon interlacing, gets each pass as a picture."""
    import imagecodecs

    made, at = None, 0
    for down, across, height, width in heading.passes():
        end = at + heading.length(height, width)
        plain = struct.pack(">IIBBBBB", width, height, 16, heading.colour, 0, 0, 0)
        packed = zlib.compress(memoryview(rows)[at:end], 0)
        file = b"".join((SIGNATURE, _chunk(b"IHDR", plain), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")))
        part, at = np.asarray(imagecodecs.png_decode(file)), end
        if not heading.interlaced:
            return part
        if made is None:
            made = np.empty((heading.height, heading.width, *part.shape[2:]), part.dtype)
        made[down, across] = part
    if made is None:
        raise ValueError("no pixels")
    return made


def _packed(kind: bytes, body: memoryview) -> bytes | None:
    """The compressed part of a text or a profile; None where it is not compressed."""
    _, _, rest = bytes(body).partition(b"\0")
    if kind == b"tEXt":
        return None
    if kind != b"iTXt":
        return rest[1:]
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else None


def _unpacked_size(kind: bytes, body: memoryview) -> int:
    """Bytes of a text or a profile, counted to just past the longest."""
    packed = _packed(kind, body)
    if packed is None:
        return len(body)
    try:
        return len(zlib.decompressobj().decompress(packed, _LONGEST_TEXT + 1))
    except zlib.error:
        return 0


def _profile(body: memoryview) -> bytes:
    return zlib.decompressobj().decompress(_packed(b"iCCP", body) or b"", _LONGEST_PROFILE)
