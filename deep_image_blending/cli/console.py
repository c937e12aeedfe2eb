"""What the command line says, and to whom. What is not our own text is never taken for markup."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Style = Literal["live", "plain", "quiet"]


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
