"""An extension of griffe, which reads the docstrings for the site: it fences their examples as Python's prompt."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):  # type: ignore[misc, unused-ignore]
    """Every block of lines that begins with `>>>` becomes a fenced block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with its examples fenced.

    >>> fenced("Adds.\\n\\n>>> 1 + 1\\n2").splitlines()
    ['Adds.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    blocks = text.split("\n\n")
    return "\n\n".join(
        f"```pycon\n{block.strip()}\n```" if block.lstrip().startswith(">>> ") else block for block in blocks
    )
