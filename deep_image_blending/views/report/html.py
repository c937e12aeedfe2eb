"""HTML elements. All text becomes markup here and nowhere else, so that nothing is forgotten to be escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = ("input", "meta")
"""Elements without content, which are not closed."""


class Html(str):
    """Text that is markup already: made by `element`, or by a library that is trusted to make it."""

    __slots__ = ()


def element(tag: str, *children: str | Iterable[str], **attributes: object) -> Html:
    """An element around its children, which are escaped unless they are elements themselves.

    Attributes lose an underscore at the end, and those inside become hyphens (`class_`, `aria_label`); True stands
    by its name alone, False and None are left out.

    >>> str(element("p", "Tom & Jerry ", element("b", "<run>"), class_="note"))
    '<p class="note">Tom &amp; Jerry <b>&lt;run&gt;</b></p>'
    """
    named = "".join(_attribute(name, value) for name, value in attributes.items() if value not in (None, False))
    opened = f"<{tag}{named}>"
    return Html(opened if tag in VOID else f"{opened}{joined(children)}</{tag}>")


def joined(children: Iterable[str | Iterable[str]]) -> Html:
    """Children one after the other, escaped unless they are elements."""
    return Html("".join(_markup(child) if isinstance(child, str) else joined(child) for child in children))


def _markup(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def _attribute(name: str, value: object) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
