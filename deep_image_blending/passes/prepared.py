"""What passes on one scene have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Prepared:
    """What passes on one scene with the same networks have in common, computed once: give one to all of them."""

    def __init__(self) -> None:
        self._kept: dict[object, Any] = {}

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for by this key, which holds all that it depends on."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]
