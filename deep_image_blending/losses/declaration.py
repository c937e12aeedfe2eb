"""What the program must know of a loss: declared in the loss's own file, found by looking through the folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deep_image_blending.declaration import Option, Scope
from deep_image_blending.losses.term import Context, Term


@dataclass(frozen=True)
class Loss:
    """A loss, by the name that its weight has in run.json, its column in the loss table and its row on the screen.

    order: its place among the columns. weight: the option that sets its weight. taps: the layers that it looks at,
    the style layers or the content layer; None looks at pixels. colour: in plots. objectives: the kinds of
    objective that compute it.
    """

    name: str
    order: int
    help: str
    colour: str
    scope: Scope = "both"
    weight: str = ""
    taps: str | None = None
    objectives: tuple[str, ...] = ("normalised", "published")
    common: bool = False
    term: Callable[[Context], Term] | None = None
    copies: int = 0
    copies_by_head: int | None = None

    @property
    def option(self) -> Option:
        """The option of its weight."""
        return Option(
            name=self.weight or f"{self.name}_weight",
            kind="number",
            default=0.0,
            help=self.help,
            group="Losses",
            low=0,
            scope=self.scope,
            pair=self.scope == "both",
            common=self.common,
        )


@functools.cache
def declared() -> Mapping[str, Loss]:
    """Every loss by its name, in the order of the columns.

    >>> list(declared())[:3], declared()["gradient"].option.flag
    (['gradient', 'style', 'content'], '--grad-weight')
    """
    from deep_image_blending import losses

    found = []
    # A loss is a file. A folder holds what losses compute with, PyTorch among it, and is no declaration.
    for module in (one for one in pkgutil.iter_modules(losses.__path__) if not one.ispkg):
        entry = getattr(importlib.import_module(f"{losses.__name__}.{module.name}"), "LOSS", None)
        if isinstance(entry, Loss):
            found.append(entry)
    return {loss.name: loss for loss in sorted(found, key=lambda loss: loss.order)}
