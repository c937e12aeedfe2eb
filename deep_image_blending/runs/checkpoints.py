"""Checkpoints as bytes, piece by piece: all that a pass needs to continue. `directory.py` writes and keeps them.

A file is a SHA-256 of the rest, the length of a JSON header, the header, and the tensors' bytes. The header says
each tensor's name, type and shape, so that nothing larger than the file is ever made from it.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deep_image_blending.errors import InputError

KEPT = 2
"""Checkpoints of a pass that are kept, the newest."""
_LONGEST_HEADER = 1 << 24
_PIECE = 1 << 24
"""Bytes that are copied at a time."""


def pieces(tensors: Mapping[str, Any], numbers: Mapping[str, Any]) -> Iterator[bytes]:
    """The file, piece by piece: beside the tensors' own memory it takes that of one piece."""
    entries = [(name, str(one.dtype).removeprefix("torch."), list(one.shape)) for name, one in tensors.items()]
    header = json.dumps({"numbers": dict(numbers), "tensors": entries}).encode()
    digest = hashlib.sha256()
    for piece in _body(header, tensors):
        digest.update(piece)
    yield digest.digest()
    yield from _body(header, tensors)


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(tensors, numbers); None for a file that is not whole. Raises InputError for one of another version."""
    import torch

    with path.open("rb") as stream:
        expected, digest = stream.read(32), hashlib.sha256()
        while piece := stream.read(_PIECE):
            digest.update(piece)
        if len(expected) < 32 or digest.digest() != expected:
            return None
        stream.seek(32)
        try:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LONGEST_HEADER:
                raise ValueError("a header of another version")
            header = json.loads(stream.read(length))
            left = path.stat().st_size - stream.tell()
            found = {}
            for name, kind, shape in header["tensors"]:
                dtype = getattr(torch, kind)
                size = math.prod(shape) * dtype.itemsize
                if size < 0 or size > left:
                    raise ValueError("tensors larger than the file")
                left -= size
                tensor = (
                    torch.frombuffer(bytearray(stream.read(size)), dtype=dtype)
                    if size
                    else torch.empty(0, dtype=dtype)
                )
                found[str(name)] = tensor.reshape(shape)
            return found, dict(header["numbers"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, struct.error) as error:
            raise InputError(f"checkpoint '{path}' is of another version; start a new run") from error


def _body(header: bytes, tensors: Mapping[str, Any]) -> Iterator[bytes]:
    yield struct.pack("<Q", len(header))
    yield header
    for tensor in tensors.values():
        flat = tensor.detach().reshape(-1)
        step = max(1, _PIECE // flat.element_size())
        for begin in range(0, flat.numel(), step):
            yield flat[begin : begin + step].cpu().contiguous().view(-1).numpy().tobytes()
