"""Manifests: CSV or JSON Lines, a row a picture, checked whole before anything starts."""

from __future__ import annotations

import csv
import functools
import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from deep_image_blending.batch.row import Row, row_of
from deep_image_blending.batch.store import is_url, local_copy, readable
from deep_image_blending.errors import InputError, reason_of

BadRow = Callable[[int, str], None]
"""Told of the line and of what is wrong with it."""


@dataclass(frozen=True)
class Shard:
    """Every count-th row of a manifest, from the number-th on (from 1)."""

    number: int = 1
    count: int = 1

    def has(self, position: int) -> bool:
        return position % self.count == self.number - 1

    @property
    def suffix(self) -> str:
        """What files of this shard are told apart by; empty where it is all."""
        return "" if self.count == 1 else f".{self.number}-of-{self.count}"


@dataclass(frozen=True)
class Checked:
    """A manifest that was read through. bad: the lines that can't be used. categories: of annotated objects."""

    path: str
    rows: int
    bad: frozenset[int]
    categories: tuple[str, ...]

    def read(self, shard: Shard | None = None) -> Iterator[Row]:
        """The good rows, one at a time."""
        shard = shard or Shard()
        for position, (line, values) in enumerate(lines_of(self.path)):
            if line not in self.bad and not isinstance(values, str) and shard.has(position):
                yield row_of(values, _folder(self.path))

    def count(self, shard: Shard) -> int:
        """How many good rows a shard has."""
        if shard.count == 1:
            return self.rows
        return sum(
            line not in self.bad and shard.has(position) for position, (line, _) in enumerate(lines_of(self.path))
        )


def shard_of(text: str) -> Shard:
    """`2/8` is the second of eight. Raises InputError."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"--shard {text!r} is no shard; give i/n, such as 2/8 for the second of eight")
    return Shard(int(number), int(count))


def check(path: str, bad_row: BadRow) -> Checked:
    """Read a manifest through. bad_row is told of every row that can't be used.

    Memory: sixteen bytes a row, and what is bad. Raises InputError where there is no manifest, or nothing in it.
    """
    if is_url(path):
        with _told(path):
            # It may have been mended since it was last read.
            local_copy(path, fresh=True)
    folder = _folder(path)
    bad: set[int] = set()
    categories: set[str] = set()
    lines, ids = array("Q"), array("Q")

    def refuse(line: int, reason: str) -> None:
        bad.add(line)
        bad_row(line, reason)

    total = 0
    for line, values in lines_of(path):
        total += 1
        if isinstance(values, str):
            refuse(line, values)
            continue
        try:
            row = row_of(values, folder)
            for one in row.objects:
                for name in ("source_file", "mask_file", "target_file", "weights"):
                    if name in one.given:
                        _require(str(one.given[name]), name)
        except InputError as error:
            refuse(line, str(error))
            continue
        lines.append(line)
        ids.append(short(row.id))
        categories.update(one.label.category for one in row.objects if one.label.annotate)
    if not total:
        raise InputError(f"manifest '{path}' has no row; give a line for each picture")
    for line, first in _doubles(lines, ids):
        refuse(line, f"the same id as in line {first}; give each row its own, or leave one out")
    return Checked(path, total - len(bad), frozenset(bad), tuple(sorted(categories)))


def short(name: str) -> int:
    """64 bits that stand for an id."""
    import hashlib

    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def lines_of(path: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each row's line, from 1, and its values, or what is wrong with it. Raises InputError for no manifest."""
    with _opened(path) as stream:
        if path.lower().endswith((".jsonl", ".ndjson")):
            yield from _json_lines(stream)
        elif path.lower().endswith(".csv"):
            yield from _csv_rows(stream, path)
        else:
            raise InputError(f"manifest '{path}' is neither CSV nor JSON Lines; name it .csv or .jsonl")


def _json_lines(stream: TextIO) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except ValueError as error:
            yield line, f"no JSON ({error})"
            continue
        yield line, values if isinstance(values, dict) else "no table of columns; give {...}"


def _csv_rows(stream: TextIO, path: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(stream)
    try:
        header = [name.strip() for name in next(reader, [])]
        if len(set(header)) != len(header):
            raise InputError(f"manifest '{path}' has a column twice; name each once")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) > len(header):
                yield reader.line_num, f"{len(cells)} cells, but {len(header)} columns"
            else:
                yield reader.line_num, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        raise InputError(f"manifest '{path}', line {reader.line_num}: {error}") from None


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    with _told(path):
        copy = local_copy(path)
        # A pipe would never end.
        if not copy.is_file():
            raise FileNotFoundError
        with copy.open(encoding="utf-8-sig", newline="") as stream:
            yield stream


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Tell what is wrong with a manifest as a whole by an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"manifest '{path}' does not exist, or is no file; check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"manifest '{path}' is no text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"manifest '{path}' can't be read ({reason_of(error)}); give another") from error


def _folder(path: str) -> str:
    return path.rpartition("/")[0] if is_url(path) else str(Path(path).absolute().parent)


def _require(path: str, name: str) -> None:
    if not _readable(path):
        raise InputError(f"{name} '{path}' does not exist; check the path")


_readable = functools.lru_cache(65_536)(readable)


def _doubles(lines: array[int], ids: array[int]) -> Iterator[tuple[int, int]]:
    """Lines whose id an earlier line has, and that line."""
    if not ids:
        return
    values = np.frombuffer(ids, np.uint64)
    order = np.argsort(values, kind="stable")
    again = np.flatnonzero(values[order][1:] == values[order][:-1]) + 1
    first: dict[int, int] = {}
    for at in again:
        key = int(values[order[at]])
        first.setdefault(key, lines[int(order[at - 1])])
        yield lines[int(order[at])], first[key]
