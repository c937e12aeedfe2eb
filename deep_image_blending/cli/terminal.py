"""Pictures shown inside a terminal, by the protocol that it understands.

Kitty's graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol/) is spoken by kitty, Ghostty and
Konsole; iTerm2's inline images (https://iterm2.com/documentation-images.html) by iTerm2, WezTerm and mintty.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import Literal, TextIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.errors import InputError

Protocol = Literal["kitty", "iterm2"]

CHUNK = 4096
"""Most bytes of base64 in one of kitty's escape codes."""
CELL = 10
"""Pixels that a column of text is taken to be wide: a picture is not enlarged beyond them."""


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """The protocol that the terminal names itself for in its environment variables, or None.

    Within tmux and screen, None: they swallow the codes, or pass them on to the wrong place.
    """
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or terminal.startswith(("screen", "tmux")):
        return None
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    named = terminal in ("xterm-kitty", "xterm-ghostty") or program == "ghostty"
    return "kitty" if named or "KITTY_WINDOW_ID" in environment or "KONSOLE_VERSION" in environment else None


def show(
    picture: npt.NDArray[np.uint8],
    stream: TextIO,
    environment: Mapping[str, str],
    columns: int,
    *,
    asked: bool | None = None,
) -> bool:
    """Show a picture (H, W, 3) in the terminal behind `stream`, at most `columns` wide; whether it was shown.

    asked: None shows it where that is possible; True raises InputError where it is not; False does not show it.
    """
    protocol = protocol_of(environment) if stream.isatty() else None
    if asked is False or (protocol is None and asked is None):
        return False
    if protocol is None:
        raise InputError(
            "--show: this terminal names itself for none that shows pictures "
            "(kitty, Ghostty, Konsole, iTerm2, WezTerm, mintty; not within tmux); leave it out and open the file"
        )
    width = min(columns, -(-picture.shape[1] // CELL))
    data = io.BytesIO()
    if protocol == "kitty":
        Image.fromarray(picture).save(data, "PNG", compress_level=1)
        codes = kitty_codes(data.getvalue(), width)
    else:
        # In one code, which iTerm2 takes up to 1 MiB; any format will do.
        Image.fromarray(picture).save(data, "JPEG", quality=90)
        codes = iterm2_codes(data.getvalue(), width)
    for code in codes:
        stream.write(code)
    stream.write("\n")
    stream.flush()
    return True


def kitty_codes(png: bytes, columns: int) -> Iterator[str]:
    """Escape codes that transmit a PNG and place it at the cursor, `columns` wide, the height in proportion.

    `a=T` transmits and displays, `f=100` is PNG, `t=d` has the data in the code itself, `c` is the width in
    columns, and `q=2` asks for no answer, which a shell would take for typed. Data are cut into chunks of at most
    4096 bytes; `m=1` says that more follow, and those after the first carry `m` (and `q`) alone.
    """
    encoded = base64.standard_b64encode(png).decode("ascii")
    for start in range(0, len(encoded), CHUNK):
        more = int(start + CHUNK < len(encoded))
        control = f"a=T,f=100,t=d,c={columns},q=2,m={more}" if start == 0 else f"q=2,m={more}"
        yield f"\x1b_G{control};{encoded[start : start + CHUNK]}\x1b\\"


def iterm2_codes(data: bytes, columns: int) -> Iterator[str]:
    """The escape code `OSC 1337 ; File = arguments : base64 BEL` of an inline picture, `columns` cells wide."""
    arguments = f"inline=1;size={len(data)};width={columns};height=auto;preserveAspectRatio=1"
    yield f"\x1b]1337;File={arguments}:{base64.standard_b64encode(data).decode('ascii')}\x07"
