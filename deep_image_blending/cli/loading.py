"""Importing what computes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Within it PyTorch is imported. Its million objects stay to the end: nobody looks for garbage among them.

    Otherwise the collector would go through all of them over and over while they are made, and once more at the
    exit: a quarter of a second's work each.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
