"""Pictures in the terminal: the escape codes are taken apart again as the protocols' documents say."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from deep_image_blending.cli.terminal import CHUNK, iterm2_codes, kitty_codes, protocol_of, show
from deep_image_blending.errors import InputError
from tests.conftest import smooth_picture

KITTY = {"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}
ITERM = {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _kitty_decoded(text: str) -> tuple[dict[str, str], bytes]:
    """The control data of the first code and the whole payload, as a terminal puts them together."""
    first: dict[str, str] = {}
    payload = b""
    more = "1"
    parts = re.findall(r"\x1b_G([^;\x1b]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{control};{data}\x1b\\" for control, data in parts) == text
    for index, (control, data) in enumerate(parts):
        assert more == "1", "data after the last chunk"
        keys = dict(pair.split("=") for pair in control.split(","))
        more = keys["m"]
        assert len(data) <= 4096
        # All chunks but the last are multiples of 4, and those after the first have no keys but m and q.
        assert more == "0" or len(data) % 4 == 0
        assert index == 0 or set(keys) <= {"m", "q"}
        first = first or keys
        payload += base64.b64decode(data, validate=True)
    assert more == "0"
    return first, payload


@pytest.mark.parametrize("size", [1, 3 * CHUNK // 4 - 1, 3 * CHUNK // 4, 3 * CHUNK // 4 + 1, 20_000])
def test_kitty_gets_every_byte_in_chunks(size: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    keys, payload = _kitty_decoded("".join(kitty_codes(data, 40)))
    assert payload == data
    # Transmit and display, a PNG, within the code itself, 40 columns wide, and no answer to it.
    assert (keys["a"], keys["f"], keys["t"], keys["c"], keys["q"]) == ("T", "100", "d", "40", "2")


def test_iterm2_gets_one_inline_file_of_the_size_that_it_says() -> None:
    data = np.random.default_rng(0).bytes(5001)
    (code,) = iterm2_codes(data, 40)
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", code)
    assert found
    keys = dict(pair.split("=") for pair in found[1].split(";"))
    assert keys == {
        "inline": "1",
        "size": "5001",
        "width": "40",
        "height": "auto",
        "preserveAspectRatio": "1",
    }
    assert base64.b64decode(found[2], validate=True) == data


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        (KITTY, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "240200"}, "kitty"),
        (ITERM, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
        ({**KITTY, "TMUX": "/tmp/tmux"}, None),
        ({**ITERM, "TERM": "screen-256color"}, None),
    ],
)
def test_terminals_are_known_by_what_they_say(environment: dict[str, str], protocol: str | None) -> None:
    assert protocol_of(environment) == protocol


def test_the_picture_is_shown_as_it_is_and_no_wider_than_the_terminal() -> None:
    picture = smooth_picture(1, 40, 305)
    for columns, expected in ((100, "31"), (20, "20")):
        terminal = Terminal()
        assert show(picture, terminal, KITTY, columns)
        keys, png = _kitty_decoded(terminal.getvalue().removesuffix("\n"))
        assert keys["c"] == expected
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), picture)


def test_iterm2_is_shown_a_picture_that_fits_its_longest_code() -> None:
    picture, terminal = smooth_picture(1, 700, 2000), Terminal()
    assert show(picture, terminal, ITERM, 200)
    assert len(terminal.getvalue()) < 2**20
    encoded = terminal.getvalue().removesuffix("\x07\n").rsplit(":", 1)[1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))), int)
    # The picture has noise of 8 grey levels, whose colour JPEG takes away.
    assert np.abs(shown - picture).mean() < 8


def test_nothing_is_written_into_pipes_other_terminals_or_when_not_wanted() -> None:
    picture = smooth_picture(1, 8, 8)
    pipe, plain, unwanted = io.StringIO(), Terminal(), Terminal()
    assert not show(picture, pipe, KITTY, 80)
    assert not show(picture, plain, {"TERM": "xterm"}, 80)
    assert not show(picture, unwanted, KITTY, 80, asked=False)
    assert pipe.getvalue() == plain.getvalue() == unwanted.getvalue() == ""
    for stream, environment in ((pipe, KITTY), (plain, {"TERM": "xterm"})):
        with pytest.raises(InputError, match="--show"):
            show(picture, stream, environment, 80, asked=True)
