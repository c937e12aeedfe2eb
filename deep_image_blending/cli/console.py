"""What the command line says, and to whom. What is not our own text is never taken for markup."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["live", "plain", "quiet"]


class Unfailing:
    """A stream of words: what can't be written, on a full disk or to a closed pipe, is no reason to end a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams() -> None:
    """Standard output takes any character, and a failing stderr ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is not None:
        sys.stderr = cast("TextIO", Unfailing(sys.stderr))


def console_for(quiet: bool, stderr: bool = True) -> Console:
    """A console that prints words as they are: no markup, no emoji, no colours of its own."""
    from rich.console import Console

    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)


def sayer(console: Console) -> Callable[[str], None]:
    """Prints a line as it is."""
    return lambda message: console.print(message, soft_wrap=True)


def style_of(console: Console, quiet: bool, plain: bool = False) -> Style:
    """How progress is shown: a live table in a terminal, plain lines in a pipe, or nothing."""
    if quiet:
        return "quiet"
    return "live" if console.is_terminal and not plain else "plain"


def complain(message: str) -> None:
    """One line on stderr, in whatever characters the terminal has; a closed one is no reason to fail."""
    line = f"blend: {' '.join(message.split())}"
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    except (OSError, ValueError):
        return


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a line."""
    complain(f"note: {message}")
