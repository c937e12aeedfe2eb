"""The site's tables are made from the declarations, all of them."""

from __future__ import annotations

import re

import pytest

from deep_image_blending.cli.declared import ENTRIES
from deep_image_blending.losses.declaration import declared
from deep_image_blending.measures import MEASURES
from deep_image_blending.networks.backbones import BACKBONES
from deep_image_blending.options.catalogue import catalogue
from deep_image_blending.options.presets import names
from tools.reference import PARTS, on_page_markdown


def test_every_declared_thing_is_on_the_site() -> None:
    expected = {
        "options": [f"`{one.flag}`" for one in catalogue().values()],
        "presets": names(),
        "losses": declared(),
        "backbones": BACKBONES,
        "measures": MEASURES,
        "rooms": ("`cli/`", "`losses/`", "`errors.py`"),
    }
    for part, words in expected.items():
        text = PARTS[part]()
        assert all(word in text for word in words), part
    shown = PARTS["commands"]()
    assert all((f"## blend {name}\n" in shown) is not entry.hidden for name, entry in ENTRIES.items())


def test_the_rows_of_a_table_have_as_many_cells_as_its_header() -> None:
    for part in ("options", "presets", "losses", "backbones", "measures", "rooms"):
        for table in re.findall(r"(?:^\|.*\|$\n?)+", PARTS[part](), re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_a_mark_that_names_nothing_is_an_error() -> None:
    assert on_page_markdown("no mark") == "no mark"
    with pytest.raises(KeyError):
        on_page_markdown("<!-- declared: nothing -->")
