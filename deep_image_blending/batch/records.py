"""Records: one small file a picture, written last. What has one is done; nothing else is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.batch.manifest import short
from deep_image_blending.batch.row import FAILED, Row
from deep_image_blending.batch.store import Store

FOLDER = "records"
FORMAT = 1
_AT_ONCE = 16
_AHEAD = 8 * _AT_ONCE


def record_name(id: str, failed: bool = False) -> str:
    """Where a picture's record lies."""
    return f"{FOLDER}/{id}{FAILED if failed else ''}.json"


def write_record(store: Store, id: str, entries: dict[str, Any], failed: bool = False) -> None:
    """Write a picture's record, which commits it."""
    whole = {"format": FORMAT, "id": id, **entries}
    store.write(record_name(id, failed), (json.dumps(whole, sort_keys=True) + "\n").encode())


def read_record(store: Store, id: str, failed: bool = False) -> dict[str, Any] | None:
    """A picture's record, or None where there is none, or none that can be read."""
    try:
        found = json.loads(store.read(record_name(id, failed)))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class Ledger:
    """Which pictures have a record, in eight bytes each. other: finished ids whose rows have changed since."""

    store: Store
    done: npt.NDArray[np.uint64]
    failed: npt.NDArray[np.uint64]

    def finished(self, row: Row) -> bool:
        """Whether a row's picture is there. Where its id is not made from its content, the record is asked."""
        if not _among(self.done, short(row.id)):
            return False
        if row.made_up:
            return True
        record = read_record(self.store, row.id)
        return record is not None and record.get("row") == row.content

    def looked_up(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
        """Each row, and whether it is finished; of the records that must be asked a few are read at once."""
        waiting = iter(rows)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while several := list(islice(waiting, _AHEAD)):
                yield from zip(several, pool.map(self.finished, several), strict=True)

    def has_failed(self, row: Row) -> bool:
        """Whether there is a record of a failure."""
        return _among(self.failed, short(row.id))


def ledger(store: Store) -> Ledger:
    """What is there now."""
    done: list[int] = []
    failed: list[int] = []
    for name in store.names(FOLDER):
        if name.endswith(f"{FAILED}.json"):
            failed.append(short(name.removesuffix(f"{FAILED}.json")))
        elif name.endswith(".json"):
            done.append(short(name.removesuffix(".json")))
    return Ledger(store, *(np.unique(np.array(one, np.uint64)) for one in (done, failed)))


def records_of(store: Store, rows: Iterable[Row]) -> Iterator[tuple[Row, dict[str, Any] | None, bool]]:
    """The rows in their order, each with its record, or that of its failure (True); a few are read at once."""

    def found(row: Row) -> tuple[Row, dict[str, Any] | None, bool]:
        record = read_record(store, row.id)
        if record is not None and record.get("row") == row.content:
            return row, record, False
        return row, read_record(store, row.id, failed=True), True

    waiting = iter(rows)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while several := list(islice(waiting, _AHEAD)):
            yield from pool.map(found, several)


def _among(known: npt.NDArray[np.uint64], key: int) -> bool:
    at = int(np.searchsorted(known, np.uint64(key)))
    return at < len(known) and int(known[at]) == key
