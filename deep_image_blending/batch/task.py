"""What a worker does: one row to one picture and its record. Nothing here knows of Ray."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from deep_image_blending.batch.blending import Limits, Made, NeedsMemory, blend_row
from deep_image_blending.batch.outlines import segmentation
from deep_image_blending.batch.records import read_record, write_record
from deep_image_blending.batch.row import Row
from deep_image_blending.batch.store import Store
from deep_image_blending.errors import BlendError, is_out_of_memory, reason_of
from deep_image_blending.pictures import encode_picture
from deep_image_blending.runs.job import Hooks

Ending = Literal["done", "failed", "again", "more memory"]
_GRACE = 60.0
"""Seconds after a timeout in which a worker that hears no signal is left alive."""


@dataclass(frozen=True)
class Task:
    """A row to be made on a worker. timeout: seconds, or None. attempt: from 1."""

    row: Row
    root: str
    limits: Limits
    timeout: float | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Report:
    """What came of a task. peak: bytes that its plan asked for, 0 where there was none; of `more memory`, what it
    lacks. reason: why it failed, or should be tried again, in a line."""

    ending: Ending
    id: str
    seconds: float = 0.0
    node: str = ""
    peak: int = 0
    reason: str = ""


class _TimedOut(BaseException):
    """No Exception: what a decoder's mishaps are told by must not take it for one of them."""


def picture_name(id: str) -> str:
    """Where a picture lies."""
    return f"pictures/{id}.png"


def work(task: Task) -> Report:
    """Make a row's picture, and commit it by its record. What goes wrong is told, not raised.

    A picture that an earlier attempt has committed is not made again.
    """
    begun = time.perf_counter()
    row, node = task.row, platform.node()

    def report(ending: Ending, peak: int = 0, reason: str = "") -> Report:
        return Report(ending, row.id, time.perf_counter() - begun, node, peak, " ".join(reason.split()))

    try:
        store = Store(task.root)
        if task.attempt > 1:
            earlier = read_record(store, row.id)
            if earlier is not None and earlier.get("row") == row.content:
                return report("done")
        with _within(task.timeout), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = blend_row(row, task.limits, Hooks(download=_fetch))
        _commit(store, task, made, begun, node)
    except NeedsMemory as error:
        return report("more memory", error.needed)
    except _TimedOut:
        return report("failed", reason=f"timed out after {task.timeout:g} s")
    except BlendError as error:
        return report("failed", reason=str(error))
    except OSError as error:
        return report("again", reason=f"{reason_of(error)}: {error.filename or error}")
    except Exception as error:
        if is_out_of_memory(error):
            return report("again", reason="not enough memory")
        return report("failed", reason=f"{type(error).__name__}: {error}")
    return report("done", made.peak)


def _fetch(url: str, path: Path) -> None:
    from deep_image_blending.networks.download import fetch

    fetch(url, path)


def _commit(store: Store, task: Task, made: Made, begun: float, node: str) -> None:
    """The picture first, then the record, which says that it is there."""
    row, name = task.row, picture_name(task.row.id)
    data = encode_picture(Path(name), made.pixels, like=made.like)
    store.write(name, data)
    height, width = made.pixels.shape[:2]
    objects = [
        {
            "category": one.category,
            "annotate": one.annotate,
            "options": dict(one.options),
            "measures": dict(one.measures),
            **_annotation(one.mask, one.box, one.hidden),
        }
        for one in made.objects
    ]
    write_record(
        store,
        row.id,
        {
            "row": row.content,
            "status": "done",
            "scene": row.scene,
            "method": row.method,
            "outputs": {name: hashlib.sha256(data).hexdigest()},
            "canvas": [height, width],
            "objects": objects,
            "seconds": round(time.perf_counter() - begun, 3),
            "node": node,
            "pid": os.getpid(),
            "attempt": task.attempt,
        },
    )


def _annotation(mask: Any, box: tuple[int, int, int, int] | None, hidden: bool) -> dict[str, Any]:
    """What COCO asks of an object; nothing where nothing of it is seen."""
    if box is None:
        return {}
    top, left, bottom, right = box
    return {
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask.sum()),
        "segmentation": segmentation(mask, whole=not hidden),
    }


@contextlib.contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    """Raise _TimedOut in the body after so many seconds. A body that hears no signal ends with its process."""
    here = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if seconds is None or not here:
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise _TimedOut

    last = threading.Timer(seconds + _GRACE, os._exit, (1,))
    last.daemon = True
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    last.start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        last.cancel()
