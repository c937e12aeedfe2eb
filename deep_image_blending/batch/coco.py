"""COCO's object annotations, from the records of a batch.

Ids are made from the rows' ids, so that they are the same in every shard and after every resumption: the images
and annotations of shards may be put one after the other. Categories are the whole manifest's, from 1, in the order
of their names. See https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO, Any

from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.errors import InputError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Shares of training, validation and test pictures. One share: no split."""

    shares: tuple[Fraction, ...] = (Fraction(1),)
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return ("",) if len(self.shares) == 1 else tuple(f"_{part}" for part in PARTS[: len(self.shares)])

    def part_of(self, scene: str) -> int:
        """The part that a scene's pictures go to, from 0: by a hash, whatever else is in the manifest."""
        digest = hashlib.sha256(f"{self.seed}/{scene}".encode()).digest()
        place, edge = Fraction(int.from_bytes(digest[:8], "big"), 2**64), Fraction(0)
        for number, share in enumerate(self.shares):
            edge += share
            if place < edge:
                return number
        return len(self.shares) - 1


def split_of(text: str | None, seed: int) -> Split:
    """`0.8,0.1,0.1` are shares of training, validation and test pictures. Raises InputError."""
    if text is None:
        return Split()
    try:
        shares = tuple(Fraction(part.strip()) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--split {text!r} are no numbers; give shares such as 0.8,0.1,0.1") from None
    if not 2 <= len(shares) <= len(PARTS) or sum(shares) != 1 or min(shares) < 0:
        raise InputError(f"--split {text!r}: give two or three shares that make 1, such as 0.8,0.1,0.1")
    return Split(shares, seed)


def stable_id(name: str) -> int:
    """A positive whole number of 52 bits, which every JSON reader keeps whole."""
    return (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 12) or 1


def image_of(row: Row, record: dict[str, Any]) -> dict[str, Any]:
    """COCO's entry of a picture."""
    (name,) = record["outputs"]
    height, width = record["canvas"]
    return {"id": stable_id(row.id), "file_name": name, "width": width, "height": height}


def annotations_of(row: Row, record: dict[str, Any], categories: Sequence[str]) -> Iterator[dict[str, Any]]:
    """COCO's entries of the objects that are seen in a picture."""
    for number, one in enumerate(record["objects"]):
        if not one["annotate"] or "segmentation" not in one:
            continue
        yield {
            "id": stable_id(f"{row.id}/{number}"),
            "image_id": stable_id(row.id),
            "category_id": 1 + categories.index(one["category"]),
            "bbox": one["bbox"],
            "area": one["area"],
            "segmentation": one["segmentation"],
            "iscrowd": 0,
        }


@dataclass
class _File:
    """One annotations file on its way: images go on, annotations wait in a temporary file."""

    images: IO[bytes]
    annotations: IO[bytes]
    count: dict[str, int] = field(default_factory=lambda: {"images": 0, "annotations": 0})

    def add(self, kind: str, entry: dict[str, Any]) -> None:
        stream = self.images if kind == "images" else self.annotations
        stream.write(((",\n" if self.count[kind] else "") + json.dumps(entry)).encode())
        self.count[kind] += 1


@dataclass
class Annotations:
    """The annotations of a batch, written as its records come by, in constant memory."""

    store: Store
    categories: Sequence[str]
    split: Split
    suffix: str = ""

    def write(self, finished: Iterable[tuple[Row, dict[str, Any]]]) -> list[str]:
        """Write the files; their names. finished: rows with their records, in the manifest's order."""
        with ExitStack() as stack:

            def opened() -> IO[bytes]:
                return stack.enter_context(tempfile.TemporaryFile())

            files = [_File(opened(), opened()) for _ in self.split.names]
            for row, record in finished:
                file = files[self.split.part_of(row.scene)]
                file.add("images", image_of(row, record))
                for entry in annotations_of(row, record, self.categories):
                    file.add("annotations", entry)
            return [self._written(part, file) for part, file in zip(self.split.names, files, strict=True)]

    def _written(self, part: str, file: _File) -> str:
        name = f"annotations{part}{self.suffix}.json"
        categories = [{"id": number, "name": one} for number, one in enumerate(self.categories, 1)]
        with tempfile.TemporaryFile() as whole:
            whole.write(b'{"info": {"description": "made by deep-image-blending"}')
            for key, stream in (("images", file.images), ("annotations", file.annotations)):
                whole.write(f',\n"{key}": [\n'.encode())
                stream.seek(0)
                shutil.copyfileobj(stream, whole)
                whole.write(b"\n]")
            whole.write(f',\n"categories": {json.dumps(categories)}}}\n'.encode())
            whole.seek(0)
            self.store.copy_in(name, whole)
        return name
