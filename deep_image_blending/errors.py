"""What can go wrong, in words for the person at the terminal."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class BlendError(Exception):
    """A failure whose message names what was wrong, where, and what would be right."""

    exit_code = 1


class InputError(BlendError):
    """Bad usage or bad input: nothing was computed, nothing was written."""

    exit_code = 2


class RunError(BlendError):
    """A run that had started and could not finish; earlier files are intact."""


class Stopped(BlendError):
    """The user ended what had begun; the message says how to go on."""

    exit_code = 130


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator gave up.

    Told by the type. PyTorch's allocator on the CPU has none of its own: it is told by the name that it signs
    with.
    """
    types = {kind.__name__ for kind in type(error).__mro__}
    return bool(types & {"MemoryError", "OutOfMemoryError"}) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def reason_of(error: OSError) -> str:
    """Why the system refused, in a few words."""
    return error.strerror or type(error).__name__


def suggestion(given: str, choices: Collection[str]) -> str:
    """`did you mean 'natural'?`, or, where nothing is near, what there is to choose from.

    >>> suggestion("natral", ("natural", "painterly"))
    "did you mean 'natural'?"
    >>> suggestion("sepia", ("natural", "painterly"))
    'choose one of natural, painterly'
    """
    close = difflib.get_close_matches(given.lower(), choices, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(choices)}"


def require_one_of(what: str, given: str, choices: Collection[str]) -> None:
    """Raise InputError, with a suggestion, for what is not among the choices."""
    if given not in choices:
        raise InputError(f"{what} {given!r} is not there; {suggestion(given, choices)}")
