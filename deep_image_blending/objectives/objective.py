"""What the loop minimises, and what a pass asks of a kind of objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from deep_image_blending.networks.network import Network
    from deep_image_blending.objectives.schedule import Round, Stage
    from deep_image_blending.options.pass_options import PassName, PassOptions
    from deep_image_blending.pictures import Float
    from deep_image_blending.pictures.scene import Scene, Window


class Unknowns(Protocol):
    """What the solver's vector stands for."""

    def gather(self, image: Tensor) -> Tensor:
        """The unknowns of a picture (1, 3, h, w)."""
        ...

    def scatter(self, x: Tensor) -> Tensor:
        """The picture (1, 3, h, w) of the unknowns, not yet blended with the target."""
        ...


class Objective(Protocol):
    """A function of the unknowns.

    start: (1, 3, h, w), the picture that the solver begins with; None: what the resolution before has made,
    brought to this one.
    """

    @property
    def pixels(self) -> Unknowns: ...

    @property
    def start(self) -> Tensor | None: ...

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """The weighted loss terms (0-dim) at the unknowns x."""
        ...

    def picture(self, x: Tensor) -> Tensor:
        """The blend (1, 3, h, w), 0..255, not clamped."""
        ...


class Prepared:
    """What passes on one scene with the same networks have in common, computed once: give one to all of them.

    again: the first pass will be done again, and its guidance and start are kept for it.
    """

    def __init__(self, *, again: bool = False) -> None:
        self._kept: dict[object, Any] = {}
        self._again = again

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for by this key, which holds all that it depends on."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def picture(self, key: object, make: Callable[[], Any]) -> Any:
        """The same of what the first pass alone needs."""
        return self.once(key, make) if self._again else make()

    def latest(self, name: str, key: object, make: Callable[[], Any]) -> Any:
        """The same, of which only the latest of a name is kept: it is large."""
        known = self._kept.get(name)
        if known is None or known[0] != key:
            self.forget(name)
            known = self._kept[name] = (key, make())
        return known[1]

    def forget(self, name: str) -> None:
        """Give back what `latest` keeps of a name."""
        self._kept.pop(name, None)


@dataclass(frozen=True)
class Setting:
    """What an objective is built from: a pass at one resolution.

    begun: (h, w, 3), 0..255, what this resolution begins with; in the second pass the frozen first-pass picture.
    tile: side of the tiles in which features are evaluated; 0: all at once. round: where the pass goes in rounds.
    before: (1, 3, h', w'), what the round before ended with, at its own resolution. whole: the pass's window at
    full resolution, and what the pass begins with at it; None: they are `window` and `begun`.
    """

    name: PassName
    scene: Scene
    window: Window
    options: PassOptions
    network: Network
    begun: Float
    device: torch.device
    prepared: Prepared
    tile: int = 0
    round: Round | None = None
    before: Tensor | None = None
    whole: tuple[Window, Float] | None = None

    @property
    def fine(self) -> Window:
        """The pass's window at full resolution."""
        return self.window if self.whole is None else self.whole[0]

    @property
    def full(self) -> Float:
        """What the pass begins with there, (h, w, 3)."""
        return self.begun if self.whole is None else self.whole[1]


class Kind(Protocol):
    """A kind of objective: the questions that a pass, its plan and its checks ask of it.

    whole_canvas: it sees the canvas, not a window around the object. every_pixel: it optimises every pixel that
    it sees, not the mask's alone. mask_alone: the unknowns are the mask's pixels. thrifty: it can be evaluated
    tile by tile. harmonises: its first pass takes the source made to meet the target by a membrane. matches: it
    matches the object with the painting around it, whose features it keeps. sees: the layers, `style` or
    `content`, that it looks at whatever losses are weighed.
    """

    whole_canvas: bool
    every_pixel: bool
    mask_alone: bool
    thrifty: bool
    harmonises: bool
    matches: bool
    sees: frozenset[str]

    def evaluations(self, num_steps: int) -> int:
        """Evaluations that a pass of so many steps makes."""
        ...

    def schedule(self, scene: Scene, options: PassOptions) -> list[Stage]:
        """The stages of a pass, in their order."""
        ...

    def surroundings(self, scene: Scene, network: Network) -> tuple[int | None, int]:
        """The margin around the object and the alignment of a pass's window; None: the whole canvas."""
        ...

    def require(self, scene: Scene) -> None:
        """Raise InputError where the scene is not one that it can be computed on."""
        ...

    def smallest(self, scene: Scene) -> tuple[tuple[int, int], str]:
        """The smallest picture (rows, columns) that its features are computed of, and what it is."""
        ...

    def build(self, setting: Setting) -> Objective:
        """The objective of a stage."""
        ...

    def unknowns(self, target: Tensor, mask: Tensor) -> Unknowns:
        """What a vector stands for in a window's target (1, 3, h, w) and mask (1, 1, h, w)."""
        ...

    def finisher(self, setting: Setting) -> Callable[[Float], Float]:
        """What makes the pass's picture (h, w, 3) at full resolution of that of its last stage."""
        ...
